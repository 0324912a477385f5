"""What becomes of the cases of a run: into the ledger, told to whoever follows, and counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medcontext.batch import rows
from medcontext.batch.resume import Earlier, untouched
from medcontext.batch_ledger import DONE, FAILED, RUNNING, Layout, LedgerWriter, Row
from medcontext.events import Reporter


class Outcomes:
    """The ledger as stages and workers see it. May be used from several threads.

    Args:
        writer: of the ledger.
        layout: of the output folder.
        before: the newest row of each case when the run began.
        earlier: what its cases were then.
        targets: every file that each case may get.
        reporter: told of each case.
        total: how many cases there are to do.
        mark: of this run, entered in the rows of cases that it finished.

    Attributes:
        done: cases finished.
        failed: cases that failed.
    """

    def __init__(
        self,
        writer: LedgerWriter,
        layout: Layout,
        before: Mapping[str, Row],
        earlier: Earlier,
        targets: Mapping[str, list[Path]],
        reporter: Reporter,
        total: int,
        mark: str = "",
    ) -> None:
        self._writer, self._layout, self._reporter, self._total = writer, layout, reporter, total
        self._before, self._foreign, self._targets, self._mark = before, earlier.foreign, targets, mark
        self._begun: dict[str, Row] = {}
        self._lock = threading.Lock()
        self.done = self.failed = 0

    def begin(self) -> None:
        """Tell that nothing is done yet."""
        self._reporter.progress("cases", 0, done=0, total=self._total)

    def append(self, row: Row) -> None:
        """Take the next row of a case. Its time is that of this process, whoever worked on the case.

        Raises:
            InputError: the ledger cannot be written.
            ResourceError: the disk is full.
        """
        case = str(row["case"])
        before = self._before.get(case)
        row = {**row, "time": time.time(), "attempt": rows.attempts(before) + 1, **self._numbered(before)}
        if row["state"] == RUNNING:
            row["deaths"] = rows.deaths(before)
        if row["state"] == DONE and self._mark:
            row["mark"] = self._mark
        if row["state"] == FAILED and "left" not in row:
            row["left"] = self._left(case)
        self._writer.append(row)
        with self._lock:
            self._begun.pop(case, None)
            if row["state"] == RUNNING:
                self._begun[case] = row
        if row["state"] != RUNNING:
            self._tell(case, row)

    def give_back(self, idle: bool) -> None:
        """Have no case that was begun count as running: the run ends, and that is not their fault.

        A case whose earlier result is still there gets its earlier row back.

        Args:
            idle: whether it is certain that nobody writes files of these cases any more.

        Raises:
            InputError: the ledger cannot be written.
            ResourceError: the disk is full.
        """
        with self._lock:
            begun, self._begun = self._begun, {}
        for case, row in begun.items():
            self._writer.append(self._as_it_was(case, row, idle))

    def _as_it_was(self, case: str, row: Row, idle: bool) -> Row:
        before = self._before.get(case)
        numbered = self._numbered(before)
        foreign = self._foreign.get(case, [])
        if (
            idle
            and before is not None
            and before["state"] == DONE
            and untouched(before, self._layout, foreign)
        ):
            return {**before, **numbered}
        left = {"left": self._left(case, foreign)} if idle else {}
        if idle and before is not None and before["state"] == FAILED:
            return {**before, **numbered, **left}
        return rows.unfinished(row, {"attempt": rows.attempts(before), "deaths": rows.deaths(before), **left})

    def _left(self, case: str, foreign: Sequence[Path] = ()) -> list[dict[str, Any]]:
        """What lies at the places of a case is of this batch, else it had not begun; it may be replaced."""
        there = [path for path in self._targets.get(case, []) if path.exists() and path not in foreign]
        return rows.file_facts(self._layout, there)

    @staticmethod
    def _numbered(before: Row | None) -> Row:
        return {"sequence": rows.sequence(before) + 1}

    def sync(self) -> None:
        """Have all rows on the disk when this returns."""
        self._writer.sync()

    def _tell(self, case: str, row: Row) -> None:
        facts = {"case": case, "status": row["state"]}
        if row["state"] == FAILED:
            facts |= {"message": row["error"]["message"], "hint": row["error"]["hint"]}
        with self._lock:
            self.done += row["state"] == DONE
            self.failed += row["state"] == FAILED
            finished = self.done + self.failed
            self._reporter.emit("case", **facts, seconds=(row.get("seconds") or {}).get("total"))
            self._reporter.progress("cases", finished / self._total, done=finished, total=self._total)
