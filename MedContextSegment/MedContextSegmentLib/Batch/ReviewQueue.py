"""Which case of a batch a person looks at next. No Qt."""

from __future__ import annotations

from MedContextSegmentLib.Batch.BatchRows import BatchRows


class ReviewQueue:
    """Goes through the finished cases: those first that need a person, and each until it has a verdict.

    While a batch goes on cases are added and the order changes; what was put off comes last all the same.

    Args:
        rows: what is known of the cases; it may grow.

    Attributes:
        case: the case that is shown, "" for none.
    """

    def __init__(self, rows: BatchRows) -> None:
        self.rows = rows
        self.case = ""
        self._putOff: dict[str, None] = {}  # in the order in which that was done
        self._before: list[str] = []

    @property
    def reviewed(self) -> int:
        """How many cases have a verdict on the result that is there."""
        return sum(map(self.rows.reviewed, self.rows.reviews))

    @property
    def total(self) -> int:
        """How many cases are finished."""
        return len(self.rows.queue)

    def following(self) -> str:
        """The case that comes next; with all verdicts given, the one behind that which is shown. "" for none."""
        rows = self.rows
        for case in rows.queue:
            if case != self.case and case not in self._putOff and not rows.reviewed(case):
                return case
        for case in self._putOff:
            if case != self.case and case in rows.cases and not rows.reviewed(case):
                return case
        if rows.reviewed(self.case) and self.case in rows.queue:
            place = rows.queue.index(self.case) + 1
            return rows.queue[place] if place < len(rows.queue) else ""
        return ""

    def previous(self) -> str:
        """The case that was shown before, "" for none."""
        return self._before[-1] if self._before else ""

    def show(self, case: str) -> None:
        """A case is shown now, "" for none; one that is passed over without a verdict comes last."""
        if case == self.case:
            return
        if case and case == self.previous():
            self._before.pop()
        elif self.case:
            self._before.append(self.case)
            if not self.rows.reviewed(self.case):
                self._putOff.pop(self.case, None)
                self._putOff[self.case] = None
        self.case = case
