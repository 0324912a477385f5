"""What is done to a case store: one thing at a time, kept going by a timer, so that the panel never waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Panel.RunControl import INTERVAL_MS
from MedContextSegmentLib.Run.RunProgress import timeText

BAR_STEPS = 1000


class Run(Protocol):
    """What is kept going, such as :class:`AddCase.AddCaseRun` or :class:`StoreEdits.StoreRequest`."""

    error: MedContextError | None

    def poll(self) -> bool:
        """Do a small step; whether it goes on."""

    def cancel(self) -> None:
        """Stop soon."""


class CaseWork:
    """Runs one request at a time and shows how it goes; it is the listener of runs that take one.

    Args:
        ui: widgets ``casesProgressBar``, ``casesCancelButton``.
        onChanged: called when something begins or ends, and when there is something else to read.
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None]) -> None:
        self._bar, self._button, self._onChanged = ui.casesProgressBar, ui.casesCancelButton, onChanged
        self._run: Run | None = None
        self._ended: Callable[[Any], None] | None = None
        self._title = self._left = ""
        self.notes: list[str] = []
        self._bar.setRange(0, 0)
        self._button.connect("clicked()", self.cancel)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)
        self._show()

    @property
    def running(self) -> bool:
        """Whether something goes on."""
        return self._run is not None

    @property
    def text(self) -> str:
        """What goes on, in words; "" where nothing does."""
        return ", ".join(part for part in (self._title, self._left) if part) if self.running else ""

    def start(self, title: str, begin: Callable[[Any], Run], ended: Callable[[Any], None]) -> None:
        """Begin something.

        Args:
            title: what it does, for people.
            begin: makes the run, given who listens to it; what it raises is shown, and nothing has begun then.
            ended: called with the run when it has given a result; errors are shown here.
        """
        self.notes = []
        self._title, self._left = title, ""
        try:
            self._run = begin(self)
        except MedContextError as error:
            self._tell(error)
            return
        self._ended = ended
        self._bar.setRange(0, 0)
        self._button.enabled = True
        self._timer.start()
        self._show()
        self._onChanged()

    def cancel(self) -> None:
        """Stop soon; the run still ends by itself."""
        if self._run is not None:
            self._run.cancel()
            self._button.enabled = False
            self._title, self._left = _("Stopping..."), ""
            self._onChanged()

    def forget(self) -> None:
        """Stop, and hear of it no more."""
        self._timer.stop()
        run, self._run, self._ended = self._run, None, None
        if run is not None:
            run.cancel()
        self._show()

    # RunListener

    def progress(self, _stage: str, value: float, etaSeconds: float | None) -> None:
        """See :class:`RunListener.RunListener`."""
        self._bar.setRange(0, BAR_STEPS)
        self._bar.setValue(round(BAR_STEPS * min(1.0, max(0.0, value))))
        self._left = timeText(etaSeconds)
        self._onChanged()

    def message(self, text: str) -> None:
        """See :class:`RunListener.RunListener`."""
        if text and text not in self.notes:
            self.notes.append(text)

    def warning(self, text: str) -> None:
        """See :class:`RunListener.RunListener`."""
        self.message(text)

    def ended(self, _run: Any) -> None:
        """The end is seen by polling."""

    def _poll(self) -> None:
        run = self._run
        if run is None or run.poll():
            return
        self._timer.stop()
        ended, self._run, self._ended = self._ended, None, None
        self._show()
        try:
            if run.error is not None:
                self._tell(run.error)
            elif ended is not None:
                ended(run)
        finally:
            self._onChanged()

    def _tell(self, error: MedContextError) -> None:
        self.notes = [error.message]
        if not isinstance(error, CancelledError):
            slicer.util.errorDisplay(str(error))
        self._onChanged()

    def _show(self) -> None:
        for widget in (self._bar, self._button):
            widget.setVisible(self.running)
