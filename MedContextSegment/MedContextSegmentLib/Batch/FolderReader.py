"""What stands in the output folder of a batch, and what is new there since somebody looked. For a thread; no Qt."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcontext.batch_ledger import Layout, Review, Tail, find_outliers, read_reviews, review_order
from medcontext.errors import MedContextError
from MedContextSegmentLib.Batch.CaseRow import CaseRow, caseRow
from MedContextSegmentLib.Batch.Sources import Sources

PIECE_BYTES = 1 << 22
"""How much of the ledger is read at once: some 4000 cases."""

USUAL = {"certainty": "entropy", "odd": "resample", "plan": None}
"""Options of the command that the panel leaves as they are."""

REST = 10.0
"""What is unusual is looked for again after so many times as long as it took: with 10,000 cases that is 0.2 s."""


@dataclass(frozen=True)
class RunFacts:
    """What ``batch.json`` says of the run.

    Attributes:
        input: what was given, as an absolute path; "" where it was more than one place, or nobody knows.
        model: its ``id@version``, "".
        formats: what each scan becomes.
        certaintyMap: whether a map of certainty is written.
        keepIdentifiers: whether names of patients may be in the results.
        precision: number format of the network's arithmetic.
        unusual: whether it was given options that only the command has, which change results.
        replacing: mark of the cases that were done again by a run that did not come to its end; "" for none.
    """

    input: str = ""
    model: str = ""
    formats: tuple[str, ...] = ()
    certaintyMap: bool = False
    keepIdentifiers: bool = False
    precision: str = "auto"
    unusual: bool = False
    replacing: str = ""


@dataclass(frozen=True)
class FolderNews:
    """What is new in a folder; None of what is as it was.

    Attributes:
        folder: the output folder.
        rows: the newest rows.
        reviews: the verdicts, by case.
        order: the finished cases, those first that need a person.
        reasons: why, by case.
        run: what the run is.
        hasReport: whether there is a report to look at.
        problem: why nothing could be read, or "".
        more: whether there is more to read at once.
    """

    folder: Path
    rows: tuple[CaseRow, ...] = ()
    reviews: Mapping[str, Review] | None = None
    order: tuple[str, ...] | None = None
    reasons: Mapping[str, tuple[str, ...]] | None = None
    run: RunFacts | None = None
    hasReport: bool = False
    problem: str = ""
    more: bool = False


@dataclass
class _Seen:
    stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)
    judged: float = float("-inf")
    pause: float = 0.0
    unjudged: bool = False


class FolderReader:
    """Follows one output folder. All calls of :meth:`look` come one after the other.

    Args:
        folder: the output folder; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._layout = Layout(self.folder)
        self._tail = Tail(self.folder)
        self._rows: dict[str, CaseRow] = {}
        self._seen = _Seen()

    def look(self) -> FolderNews:
        """What is new since the last call; at the first call all that is there, a piece at a time."""
        try:
            rows = self._newRows()
            order, reasons = self._judged(waits=bool(rows))
            return FolderNews(
                self.folder,
                rows,
                self._newReviews(),
                order,
                reasons,
                self._newRun(),
                self._layout.report.is_file(),
                more=bool(rows),
            )
        except (MedContextError, OSError) as error:  # such as a drive that went away
            return FolderNews(self.folder, problem=str(error))

    def _newRows(self) -> tuple[CaseRow, ...]:
        found = {}
        for row in map(caseRow, self._tail.poll(PIECE_BYTES)):
            if row.replaces(self._rows.get(row.case)):
                found[row.case] = self._rows[row.case] = row
        self._seen.unjudged = self._seen.unjudged or bool(found)
        return tuple(found.values())

    def _judged(self, waits: bool) -> tuple[tuple[str, ...] | None, Mapping[str, tuple[str, ...]] | None]:
        """What is unusual among all cases: not while there is more to read, nor all the time."""
        seen = self._seen
        if waits or not seen.unjudged or time.monotonic() < seen.judged + seen.pause:
            return None, None
        began = time.monotonic()
        rows = {case: row.ledgerRow for case, row in self._rows.items() if row.done}
        found = find_outliers(rows)
        reasons = {case: tuple(outlier.text for outlier in texts) for case, texts in found.items()}
        order = tuple(review_order(rows, found))
        seen.judged, seen.unjudged = time.monotonic(), False
        seen.pause = REST * (seen.judged - began)
        return order, reasons

    def _newReviews(self) -> Mapping[str, Review] | None:
        return read_reviews(self.folder) if self._changed(self._layout.reviews) else None

    def _newRun(self) -> RunFacts | None:
        return runFacts(self._layout) if self._changed(self._layout.run) else None

    def _changed(self, path: Path) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        stamp = status.st_mtime_ns, status.st_size
        changed = self._seen.stamps.get(path) != stamp
        self._seen.stamps[path] = stamp
        return changed


def runFacts(layout: Layout) -> RunFacts | None:
    """What ``batch.json`` says; None where there is none or nobody can read it."""
    try:
        data = json.loads(layout.run.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    model, options = _object(data, "model"), _object(data, "options")
    formats = options.get("formats")
    places = _given(layout.sources)
    return RunFacts(
        input=places[0] if len(places) == 1 else "",
        model=f"{model['id']}@{model.get('version', '')}" if model.get("id") else "",
        formats=tuple(str(name) for name in formats) if isinstance(formats, list) else (),
        certaintyMap=bool(options.get("certainty_map")),
        keepIdentifiers=bool(options.get("keep_identifiers")),
        precision=str(options.get("precision") or "auto"),
        unusual=any(options.get(name, usual) != usual for name, usual in USUAL.items()),
        replacing=str(data.get("overwriting") or ""),
    )


def _given(sources: Path) -> list[str]:
    """The input of a batch: it stands under the empty name in ``sources.json``."""
    try:
        entry = Sources(sources).entry("")
    except (OSError, ValueError):  # then a person says it
        return []
    places = entry.get("input") if entry is not None else None
    return [str(place) for place in places] if isinstance(places, list) else []


def _object(data: Any, key: str) -> Mapping[str, Any]:
    value = data.get(key) if isinstance(data, Mapping) else None
    return value if isinstance(value, Mapping) else {}
