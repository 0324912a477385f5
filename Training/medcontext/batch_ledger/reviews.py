"""What people say of the results of a batch."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from medcontext.batch_ledger.layout import Layout
from medcontext.batch_ledger.locking import HeldError
from medcontext.batch_ledger.reading import read_lines
from medcontext.batch_ledger.rows import DONE, Row
from medcontext.batch_ledger.writing import LineFile
from medcontext.errors import InputError

Verdict = Literal["accept", "correct", "reject", "open"]
VERDICTS: tuple[str, ...] = get_args(Verdict)

OPEN = "open"
"""No verdict, or none any more; a correction may have been kept all the same."""

VOID = "void"
"""Stands for a verdict on a result that is there no more."""

_PATIENCE_S = 3.0
"""A verdict takes milliseconds to write; who holds the file longer hangs."""


@dataclass(frozen=True)
class Review:
    """One verdict. The newest of a case counts, as long as the result is there on which it was given.

    Attributes:
        case: its name in the ledger.
        verdict: "accept", "correct" (the corrected file is the result), "reject" or "open" (none).
        corrected: the corrected segmentation, relative to the output folder; may be empty.
        note: free words.
        time: Unix time.
        result: which result was judged, see :func:`result_id`; empty where nobody said.

    Raises:
        InputError: there is no such verdict.
    """

    case: str
    verdict: str
    corrected: str = ""
    note: str = ""
    time: float = field(default_factory=time.time)
    result: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(f"There is no verdict '{self.verdict}'.", f"Allowed: {', '.join(VERDICTS)}.")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Review:
        """From a line of ``reviews.jsonl``."""
        moment = data.get("time")
        texts = {key: str(data.get(key) or "") for key in ("case", "verdict", "corrected", "note", "result")}
        return cls(**texts, time=float(moment) if isinstance(moment, int | float) else 0.0)

    def judges(self, result: str, finished: float) -> bool:
        """Whether it was given on a result.

        Args:
            result: which one, see :func:`result_id`.
            finished: Unix time at which it was; tells where the verdict does not name its result.
        """
        return self.result == result if self.result else self.time >= finished


def result_id(row: Row) -> str:
    """Which result a row of the ledger speaks of: changes when a case is done again, in whatever way."""
    facts = {name: row.get(name) for name in ("input_sha256", "model_sha256", "options_hash", "outputs")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def standing_reviews(
    rows: Mapping[str, Row], reviews: Mapping[str, Review]
) -> tuple[dict[str, Review], dict[str, Review]]:
    """The verdicts on the results that are there, and those on results that are there no more; both by case.

    Args:
        rows: the newest row of each case, see :func:`read_rows`.
        reviews: the newest verdict of each case, see :func:`read_reviews`.
    """
    stand: dict[str, Review] = {}
    void: dict[str, Review] = {}
    for case, review in reviews.items():
        row = rows.get(case)
        if row is None or review.verdict == OPEN:
            continue
        moment = row.get("time")
        finished = float(moment) if isinstance(moment, int | float) else 0.0
        there = row.get("state") == DONE and review.judges(result_id(row), finished)
        (stand if there else void)[case] = review
    return stand, void


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
