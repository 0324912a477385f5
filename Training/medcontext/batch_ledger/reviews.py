"""What people say of the results of a batch."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from medcontext.batch_ledger.layout import Layout
from medcontext.batch_ledger.locking import HeldError
from medcontext.batch_ledger.reading import read_lines
from medcontext.batch_ledger.writing import LineFile
from medcontext.errors import InputError

Verdict = Literal["accept", "correct", "reject"]
VERDICTS: tuple[str, ...] = get_args(Verdict)

_PATIENCE_S = 3.0
"""A verdict takes milliseconds to write; who holds the file longer hangs."""


@dataclass(frozen=True)
class Review:
    """One verdict. The newest of a case counts.

    Attributes:
        case: its name in the ledger.
        verdict: "accept", "correct" (the corrected file is the result) or "reject".
        corrected: the corrected segmentation, relative to the output folder; may be empty.
        note: free words.
        time: Unix time.

    Raises:
        InputError: there is no such verdict.
    """

    case: str
    verdict: str
    corrected: str = ""
    note: str = ""
    time: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(f"There is no verdict '{self.verdict}'.", f"Allowed: {', '.join(VERDICTS)}.")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Review:
        """From a line of ``reviews.jsonl``."""
        moment = data.get("time")
        texts = {key: str(data.get(key) or "") for key in ("case", "verdict", "corrected", "note")}
        return cls(**texts, time=float(moment) if isinstance(moment, int | float) else 0.0)


def append_review(out: Path, review: Review) -> None:
    """Add a verdict; it is on the disk when this returns. Several people may do so at once.

    Raises:
        InputError: the folder cannot be written, or a path leads out of it.
        ResourceError: the disk is full.
    """
    layout = Layout(out)
    if review.corrected:
        layout.absolute(review.corrected)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with LineFile(layout.reviews) as lines:
                lines.write(asdict(review))
            return
        except HeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def read_reviews(out: Path) -> dict[str, Review]:
    """The newest verdict of each case; lines that are none are passed over.

    Raises:
        InputError: the file cannot be read.
    """
    lines = read_lines(Layout(out).reviews)
    return {line["case"]: Review.from_json(line) for line in lines if line.get("verdict") in VERDICTS}
