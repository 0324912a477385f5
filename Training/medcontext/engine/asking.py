"""What people ask of a run while it goes on, and the time that it spends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medcontext.errors import CancelledError
from medcontext.events import Reporter

if TYPE_CHECKING:
    from accelerate import Accelerator

    from medcontext.engine.one_process import OneProcess

PAUSE, STOP, CANCEL = 1, 2, 3
_CODES = {None: 0, "pause": PAUSE, "stop": STOP}
POLL_SECONDS = 0.2

Control = Callable[[], str | None]


class Stopwatch:
    """Seconds spent on a run. It stands still while the run rests and knows nothing of the time of day.

    Args:
        spent: seconds that were spent before.
    """

    def __init__(self, spent: float = 0.0) -> None:
        self._began = time.monotonic() - spent

    @property
    def seconds(self) -> float:
        """Seconds spent until now."""
        return time.monotonic() - self._began

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside takes no time."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began


class Requests:
    """Pause, stop (keep what is there) and cancel. All processes do what any of them was asked to.

    Args:
        control: asked for "stop", "pause" or None.
        reporter: knows whether someone cancelled.
        accelerator: joins the processes.
        keeps: a run without an end keeps what it has even when it is cancelled by who may also stop it.
    """

    def __init__(
        self, control: Control, reporter: Reporter, accelerator: Accelerator | OneProcess, keeps: bool
    ) -> None:
        self._control = control
        self._reporter = reporter
        self._accelerator = accelerator
        self._keeps = keeps

    def go_on(self, stopwatch: Stopwatch, before_pause: Callable[[], object] = lambda: None) -> bool:
        """False when the run shall end and keep what is there; sleeps while paused.

        Args:
            stopwatch: stands still while paused.
            before_pause: called before the run rests.

        Raises:
            CancelledError: someone asked to stop at once.
        """
        # Only a training needs torch for this; a batch can be paused without it.
        from medcontext.engine.processes import largest_of_all

        asked = largest_of_all(self._accelerator, self._mine())
        if asked == CANCEL:
            raise CancelledError("Stopped on request.")
        if asked == PAUSE:
            before_pause()
            with stopwatch.stopped():
                wait_while_paused(self._control, self._reporter)
        return asked != STOP

    def _mine(self) -> int:
        if self._keeps and self._control() == "stop":
            return STOP
        return CANCEL if self._reporter.cancelled else _CODES[self._control()]


def wait_while_paused(control: Control, reporter: Reporter) -> None:
    """Return when ``control`` no longer says "pause".

    Raises:
        CancelledError: someone asked to stop at once.
    """
    while control() == "pause":
        reporter.check_cancelled()
        time.sleep(POLL_SECONDS)


def obedient(reporter: Reporter, control: Control) -> Reporter:
    """A reporter for work that leaves nothing worth keeping: a pause holds it, a stop cancels it."""

    def cancelled() -> bool:
        wait_while_paused(control, reporter)
        return control() == "stop"

    return reporter.stopped_by(cancelled)


def patient(reporter: Reporter, control: Control) -> Reporter:
    """A reporter for work after a run that may have been stopped: a pause holds it, that stop does not end it."""

    def held() -> bool:
        wait_while_paused(control, reporter)
        return False

    return reporter.stopped_by(held)
