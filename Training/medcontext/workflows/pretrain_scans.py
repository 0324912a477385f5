"""Which scans a pre-training learns from and which it is judged by, the same when it goes on later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.data.pool import ScanPool
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scan
from medcontext.engine.pretext_task import WATCHED
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.atomic import replacing

SCANS_FILE = "scans.json"
HELD_OUT_SHARE = 10
"""One scan of so many is held out."""
LEAST_SCANS = 4
"""Of fewer each is worth more as one to learn from."""


@dataclass(frozen=True)
class Chosen:
    """The scans of a pre-training.

    Attributes:
        learnt: those that are learnt from, usable or not.
        watched: those that the signals are of.
        held_out: whether none of the watched ones is learnt from.
    """

    learnt: tuple[Scan, ...]
    watched: tuple[Scan, ...]
    held_out: bool

    def write(self, path: Path, left_out: Mapping[str, str] | None = None) -> None:
        """Write as JSON, with the reasons why some of the scans could not be used, where these are known."""
        data = {
            "learnt": [_written(scan) for scan in self.learnt],
            "watched": [_written(scan) for scan in self.watched],
            "held_out": self.held_out,
            "left_out": dict(left_out or {}),
        }
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Chosen:
        """What :meth:`write` wrote.

        Raises:
            InputError: the file is gone or broken.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            learnt, watched = (tuple(_read(entry) for entry in data[name]) for name in ("learnt", "watched"))
            return cls(learnt, watched, bool(data["held_out"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is broken.", "Start anew in another folder.") from error


def choose_scans(scans: Sequence[Scan], recipe: Recipe, apart: Collection[str], reporter: Reporter) -> Chosen:
    """Hold out a tenth of the scans, at most 16, by a hash of their names: more scans change little of the choice.

    Args:
        scans: all that were found.
        recipe: how they are prepared; those that are watched are prepared now.
        apart: hashes of images that must not be learnt from.
        reporter: told of the progress.

    Raises:
        InputError: no scan can be used.
        CancelledError: someone asked to stop.
        ResourceError: the disk is full.
    """
    order = sorted(scans, key=lambda scan: hashlib.sha256(scan.id.encode()).hexdigest())
    wanted = min(WATCHED, max(1, len(order) // HELD_OUT_SHARE))
    pool = ScanPool(order, recipe, in_use=apart, reporter=reporter)
    usable = [order[index] for index in pool.ready(wanted + LEAST_SCANS - 1)]
    if not usable:
        raise pool.emptiness()
    if len(usable) < LEAST_SCANS:
        reporter.info(
            f"Of fewer than {LEAST_SCANS} scans none is held out: the signals are of scans that are learnt from."
        )
        return Chosen(tuple(scans), tuple(usable), held_out=False)
    watched = usable[:wanted]
    names = {scan.id for scan in watched}
    return Chosen(tuple(scan for scan in scans if scan.id not in names), tuple(watched), held_out=True)


def _written(scan: Scan) -> dict[str, Any]:
    return {"id": scan.id, "paths": [str(path.absolute()) for path in scan.paths]}


def _read(entry: dict[str, Any]) -> Scan:
    return Scan(str(entry["id"]), tuple(Path(path) for path in entry["paths"]))
