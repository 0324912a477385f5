"""One run at a time, kept going by a timer, so that the panel never waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _

from medcontext.errors import MedContextError
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Run.RunProgress import overall, timeText
from MedContextSegmentLib.Worker.WorkerTexts import stageTitle

INTERVAL_MS = 20
BAR_STEPS = 1000
DOUBLE_CLICK_SECONDS = 0.5


class Run(Protocol):
    """What is kept going: a :class:`SegmentationRun.SegmentationRun` or :class:`SequenceRun.SequenceRun`."""

    state: str
    error: MedContextError | None

    def poll(self) -> bool:
        """Do a small step; whether it goes on."""

    def cancel(self) -> None:
        """Stop soon."""


class RunControl:
    """Begins runs and shows how they go.

    Args:
        progressBar: a QProgressBar.
        onChanged: called when a run begins, ends, or is asked to stop.
        onText: called when there is something else to read.
    """

    def __init__(self, progressBar: Any, onChanged: Callable[[], None], onText: Callable[[], None]) -> None:
        self._bar, self._onChanged, self._onText = progressBar, onChanged, onText
        self._run: Run | None = None
        self._ended: Callable[[Any], None] | None = None
        self._cancelling = False
        self._began = 0.0
        self.ignoredSeconds = DOUBLE_CLICK_SECONDS
        self._title = self._left = ""
        self._heard = False
        self.notes: list[str] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)
        progressBar.setRange(0, BAR_STEPS)
        progressBar.setVisible(False)

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self._run is not None

    @property
    def cancelling(self) -> bool:
        """Whether the run was asked to stop and has not yet."""
        return self._cancelling

    @property
    def text(self) -> str:
        """What the run is doing, for people; "" without a run."""
        if self._run is None:
            return ""
        if self._cancelling:
            return _("Stopping...")
        return ", ".join(part for part in (self._title, self._left) if part)

    def start(self, begin: Callable[[RunListener], Run], ended: Callable[[Any], None]) -> None:
        """Begin a run.

        Args:
            begin: makes the run, given who listens to it.
            ended: called with the run when it has ended.

        Raises:
            MedContextError: what ``begin`` raises; nothing has begun then.
        """
        self.notes = []
        self._cancelling = self._heard = False
        self._title, self._left = _("Preparing"), ""
        self._run, self._ended = begin(self), ended
        self._bar.setRange(0, BAR_STEPS)
        self._bar.setValue(0)
        self._bar.setVisible(True)
        self._began = time.monotonic()
        self._timer.start()
        self._onChanged()

    def cancel(self) -> None:
        """Stop the run soon; it still ends by itself."""
        if self._run is not None and not self._cancelling:
            self._cancelling = True
            self._run.cancel()
            self._onChanged()

    def cancelByClick(self) -> None:
        """Stop the run soon, but not for the second half of the double click that began it."""
        if time.monotonic() - self._began >= self.ignoredSeconds:
            self.cancel()

    def forget(self) -> None:
        """Let go of a run without hearing of its end, such as when the panel goes away."""
        self._timer.stop()
        run, self._run, self._ended = self._run, None, None
        if run is not None:
            run.cancel()
        self._bar.setVisible(False)

    # RunListener

    def progress(self, stage: str, value: float, etaSeconds: float | None) -> None:
        """See :class:`RunListener.RunListener`."""
        self._heard = self._heard or stage != "prepare"
        done = round(BAR_STEPS * overall(stage, value))
        self._bar.setRange(0, BAR_STEPS)
        self._bar.setValue(max(self._bar.value, done))
        self._title, self._left = stageTitle(stage), timeText(etaSeconds)
        self._onText()

    def message(self, text: str) -> None:
        """See :class:`RunListener.RunListener`."""
        self._note(text)

    def warning(self, text: str) -> None:
        """See :class:`RunListener.RunListener`."""
        self._note(text)

    def ended(self, run: Any) -> None:
        """See :class:`RunListener.RunListener`."""
        if run is not self._run and self._run is not None:
            return  # one that was forgotten
        self._timer.stop()
        ended, self._run, self._ended = self._ended, None, None
        self._cancelling = False
        self._bar.setVisible(False)
        try:
            if ended is not None:
                ended(run)
        finally:  # whatever went wrong with the result, the panel can be used again
            self._onChanged()

    def _note(self, text: str) -> None:
        if text and text not in self.notes:
            self.notes.append(text)
            self._onText()

    def _poll(self) -> None:
        run = self._run
        if run is None:
            self._timer.stop()
            return
        if run.state == "computing" and not self._heard:
            self._waitForWorker()
        run.poll()

    def _waitForWorker(self) -> None:
        """Between sending the image and the first sign of life a cold worker imports its libraries."""
        self._heard = True
        self._bar.setRange(0, 0)
        self._title, self._left = _("Starting (the first run takes longer)"), ""
        self._onText()
