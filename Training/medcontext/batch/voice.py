"""How the threads of a run speak: one after the other, of one case each, and without names of patients."""

from __future__ import annotations

import threading
import time

from medcontext.batch.case import BatchCase
from medcontext.batch.identifiers import scrub
from medcontext.batch.rows import without_folders
from medcontext.events import Event, Reporter


def shared(reporter: Reporter) -> Reporter:
    """A reporter for several threads: events reach the sink one after the other."""
    lock = threading.Lock()

    def sink(event: Event) -> None:
        with lock:
            reporter.emit(**event)

    return Reporter(sink, lambda: reporter.cancelled, reporter.run_id)


QUIET_S = 1.0
"""Progress within a case is told after so many seconds: that of thousands of cases of a second each helps nobody."""


class CaseReporter(Reporter):
    """Speaks of one case: says which, leaves out identifiers, and remembers warnings for the ledger.

    Progress is told now and then only.

    Args:
        reporter: where events go on to.
        case: what it speaks of.
        warnings: those until now, where another one spoke of this case before.

    Attributes:
        warnings: the warnings until now, each once.
    """

    def __init__(self, reporter: Reporter, case: BatchCase, warnings: list[str] | None = None) -> None:
        super().__init__(self._pass_on, lambda: reporter.cancelled, reporter.run_id)
        self._onward, self._of = reporter, case
        self.case = case.id
        self.warnings = [] if warnings is None else warnings
        self._spoke = time.monotonic()
        self._shown: set[str] = set()

    def _pass_on(self, event: Event) -> None:
        if event["event"] == "progress" and not self._worth_telling(event):
            return
        if "message" in event:
            event = {**event, "message": without_folders(scrub(str(event["message"]), self._of), self._of)}
        if event["event"] == "warning":
            if event["message"] in self.warnings:
                return
            self.warnings.append(event["message"])
        self._onward.emit(**event)

    def _worth_telling(self, event: Event) -> bool:
        """Whether a while has passed, or what was told of a stage has to be ended."""
        stage, now = str(event["stage"]), time.monotonic()
        ended = event["value"] is not None and event["value"] >= 1
        if ended and stage in self._shown:
            self._shown.remove(stage)
            return True
        if ended or now - self._spoke < QUIET_S:
            return False
        self._spoke = now
        self._shown.add(stage)
        return True


def size_in_words(count: float) -> str:
    """Bytes as people say them: 740 bytes, 3.1 MB, 12 GB."""
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} bytes"
