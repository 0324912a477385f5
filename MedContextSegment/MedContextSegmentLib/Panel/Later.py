"""Work beside the main thread, whose result comes back to it by a timer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import qt

from MedContextSegmentLib.Worker.Background import Background

INTERVAL_MS = 20
YIELD_SECONDS = 0.001
PATIENCE_SECONDS = 0.3
"""So long a person does not notice; most work is done by then, and nothing has to be shown twice."""


class Later:
    """Does one thing at a time; of what was begun before it ended, only the newest is told of.

    While Slicer waits for events it keeps Python to itself: the thread gets its turns from the timer.

    Args:
        onDone: called on the main thread with what the work gave.
    """

    def __init__(self, onDone: Callable[[Any], None]) -> None:
        self._onDone = onDone
        self._work: Background[Any] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def busy(self) -> bool:
        """Whether the work goes on."""
        return self._work is not None

    def begin(self, work: Callable[[], Any], patience: float = PATIENCE_SECONDS) -> None:
        """Do something, which must not touch the scene or Qt.

        Args:
            work: what to do.
            patience: seconds to wait for it here; what takes longer, such as a drive that does not answer, goes on
                in the background.
        """
        self._work = Background(work)
        if patience > 0 and self._work.wait(patience):
            self._poll()
        else:
            self._timer.start()

    def stop(self) -> None:
        """Hear of it no more."""
        self._timer.stop()
        self._work = None

    def _poll(self) -> None:
        work = self._work
        if work is None or work.done:
            self.stop()
            if work is not None:
                self._onDone(work.result())
        else:
            time.sleep(YIELD_SECONDS)
