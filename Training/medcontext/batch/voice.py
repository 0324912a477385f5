"""How the threads of a run speak: one after the other, of one case each, and without names of patients."""

from __future__ import annotations

import threading

from medcontext.batch.case import BatchCase
from medcontext.batch.identifiers import scrub
from medcontext.events import Event, Reporter


def shared(reporter: Reporter) -> Reporter:
    """A reporter for several threads: events reach the sink one after the other."""
    lock = threading.Lock()

    def sink(event: Event) -> None:
        with lock:
            reporter.emit(**event)

    return Reporter(sink, lambda: reporter.cancelled, reporter.run_id)


class CaseReporter(Reporter):
    """Speaks of one case: says which, leaves out identifiers, and remembers warnings for the ledger.

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

    def _pass_on(self, event: Event) -> None:
        if "message" in event:
            event = {**event, "message": scrub(str(event["message"]), self._of)}
        if event["event"] == "warning":
            if event["message"] in self.warnings:
                return
            self.warnings.append(event["message"])
        self._onward.emit(**event)
