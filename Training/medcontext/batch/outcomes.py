"""What becomes of the cases of a run: into the ledger, told to whoever follows, and counted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from medcontext.batch.rows import file_facts
from medcontext.batch_ledger import DONE, FAILED, RUNNING, Layout, LedgerWriter, Row
from medcontext.events import Reporter


class Outcomes:
    """The ledger as stages and workers see it. May be used from several threads.

    Args:
        writer: of the ledger.
        layout: of the output folder.
        attempts: how often each case was tried before.
        targets: every file that each case may get.
        reporter: told of each case.
        total: how many cases there are to do.

    Attributes:
        done: cases finished.
        failed: cases that failed.
    """

    def __init__(
        self,
        writer: LedgerWriter,
        layout: Layout,
        attempts: Mapping[str, int],
        targets: Mapping[str, list[Path]],
        reporter: Reporter,
        total: int,
    ) -> None:
        self._writer, self._layout, self._reporter, self._total = writer, layout, reporter, total
        self._attempts, self._targets = attempts, targets
        self._lock = threading.Lock()
        self.done = self.failed = 0

    def begin(self) -> None:
        """Tell that nothing is done yet."""
        self._reporter.progress("cases", 0, done=0, total=self._total)

    def append(self, row: Row) -> None:
        """Take the next row of a case.

        Raises:
            InputError: the ledger cannot be written.
            ResourceError: the disk is full.
        """
        case = str(row["case"])
        row = {**row, "attempt": self._attempts.get(case, 0) + 1}
        if row["state"] == FAILED and "left" not in row:
            # What lies at the places of the case is of this batch, else it had not begun; it may be replaced.
            row["left"] = file_facts(self._layout, [p for p in self._targets.get(case, []) if p.exists()])
        self._writer.append(row)
        if row["state"] != RUNNING:
            self._tell(case, row)

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
