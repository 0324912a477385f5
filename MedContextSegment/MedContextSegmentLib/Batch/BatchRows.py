"""The cases of a batch in memory: what a table shows of them, in any order. No Qt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.batch_ledger import OPEN, VOID, Review
from MedContextSegmentLib.Batch.CaseRow import CaseRow
from MedContextSegmentLib.Batch.FolderReader import FolderNews, RunFacts
from MedContextSegmentLib.Learn.NaturalOrder import natural

NEWEST, CASE, STATE, SECONDS, VOLUME, CERTAINTY, NOTES, VERDICT = (
    "newest",
    "case",
    "state",
    "seconds",
    "volume",
    "certainty",
    "notes",
    "verdict",
)


@dataclass(frozen=True)
class Order:
    """How cases are sorted.

    Attributes:
        by: one of the names above.
        descending: the other way round; cases that lack the number come last either way.
        label: whose volume counts; that of all together when "".
    """

    by: str = NEWEST
    descending: bool = False
    label: str = ""


class BatchRows:
    """All that is known of the cases of one output folder.

    Attributes:
        folder: the output folder; None for none.
        cases: by name, in the order in which they came.
        labels: names of the labels, in the order in which they came.
        reviews: what people said last, by case; it may be about a result that is there no more.
        queue: the finished cases, those first that need a person.
        reasons: why, by case.
        run: what the run is; None where nobody knows.
        hasReport: whether there is a report to look at.
        problem: why nothing could be read, or "".
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.cases: dict[str, CaseRow] = {}
        self.labels: list[str] = []
        self.reviews: dict[str, Review] = {}
        self.queue: tuple[str, ...] = ()
        self.reasons: Mapping[str, tuple[str, ...]] = {}
        self.run: RunFacts | None = None
        self.hasReport = False
        self.problem = ""
        self._places: dict[str, int] = {}
        self._counts: Counter[str] | None = None

    def take(self, news: FolderNews) -> bool:
        """Add what is new; whether anything is shown differently now."""
        changed = bool(news.rows) or news.hasReport != self.hasReport or news.problem != self.problem
        self.hasReport, self.problem = news.hasReport, news.problem
        if news.rows:
            self._counts = None
        for row in news.rows:
            self.cases.pop(row.case, None)  # it comes last now
            self.cases[row.case] = row
            for label in row.volumes or ():
                if label not in self.labels:
                    self.labels.append(label)
        if news.order is not None and news.reasons is not None:
            self.queue, self.reasons = news.order, news.reasons
            self._places = {case: place for place, case in enumerate(self.queue)}
            changed = True
        if news.reviews is not None:
            for review in news.reviews.values():
                self.add(review)
            changed = True
        if news.run is not None:
            self.run = news.run
            changed = True
        return changed

    def add(self, review: Review) -> None:
        """Take a verdict, unless a later one is known: the file may have been read before that was written."""
        known = self.reviews.get(review.case)
        if known is None or review.time >= known.time:
            self.reviews[review.case] = review

    def review(self, case: str) -> Review | None:
        """What was said last of the result that a case has now; None where nothing was."""
        row, review = self.cases.get(case), self.reviews.get(case)
        if row is None or review is None or not row.done or not review.judges(row.result, row.time):
            return None
        return review

    def verdict(self, case: str) -> str:
        """The verdict on the result that a case has now; "void" where only an earlier one was judged, "" for none."""
        said = self.reviews.get(case)
        if said is None or said.verdict == OPEN:
            return ""
        return said.verdict if self.review(case) is not None else VOID

    def reviewed(self, case: str) -> bool:
        """Whether the result that a case has now was judged."""
        return self.verdict(case) not in ("", VOID)

    def counts(self) -> Counter[str]:
        """How many cases are in each state."""
        if self._counts is None:
            self._counts = Counter(row.state for row in self.cases.values())
        return self._counts

    def notes(self, case: str) -> tuple[str, ...]:
        """What a person should know of a case: why it failed, what is unusual, warnings."""
        row = self.cases[case]
        return tuple(text for text in (row.error, *self.reasons.get(case, ()), *row.warnings) if text)

    def find(self, words: str, order: Order) -> list[CaseRow]:
        """The cases that hold all words, sorted.

        Args:
            words: parts of names, states, verdicts or notes.
            order: how to sort.
        """
        wanted = words.casefold().split()
        rows = [row for row in self.cases.values() if not wanted or self._holds(row, wanted)]
        if order.by == NEWEST:
            return rows if order.descending else rows[::-1]
        key = self._key(order)
        keyed = [(key(row), row) for row in rows]
        known = [entry for entry in keyed if entry[0] is not None]
        known.sort(key=lambda entry: entry[0], reverse=order.descending)
        return [row for _key, row in known] + [row for found, row in keyed if found is None]

    def _key(self, order: Order) -> Any:
        keys = {
            CASE: lambda row: natural(row.case),
            STATE: lambda row: row.state,
            SECONDS: lambda row: row.seconds,
            VOLUME: lambda row: row.volume(order.label),
            CERTAINTY: lambda row: row.certainty,
            NOTES: self._urgency,
            VERDICT: lambda row: self.verdict(row.case) or None,
        }
        return keys[order.by]

    def _urgency(self, row: CaseRow) -> tuple[bool, bool, float] | None:
        """Failures first, then what is unusual, the farthest first, then warnings."""
        if not self.notes(row.case):
            return None
        unusual = row.case in self.reasons
        return not row.error, not unusual, self._places.get(row.case, math.inf)

    def _holds(self, row: CaseRow, words: list[str]) -> bool:
        parts = [row.case, row.state, self.verdict(row.case), *self.notes(row.case)]
        text = "\n".join(parts).casefold()
        return all(word in text for word in words)
