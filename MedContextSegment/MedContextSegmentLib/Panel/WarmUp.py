"""Lets the worker get ready while the person still looks at the panel."""

from __future__ import annotations

import time
from typing import Any

import qt

INTERVAL_MS = 50
YIELD_SECONDS = 0.001


class WarmUp:
    """Asks the worker to load a model, and sees that it hears of it.

    While Slicer waits for events it keeps Python to itself: the threads that talk to the worker run only when a
    callback of Python lets them. A timer does that until the worker has answered.

    Args:
        logic: a :class:`Logic.MedContextSegmentLogic`.
        settings: a :class:`Settings.Settings`; the model is loaded as a click would load it.
    """

    def __init__(self, logic: Any, settings: Any) -> None:
        self._logic, self._settings = logic, settings
        self._request: Any = None
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def waiting(self) -> bool:
        """Whether the answer is still to come."""
        return bool(self._timer.active)

    def begin(self, model: str) -> None:
        """Ask.

        Args:
            model: ``id@version`` of the model to load.
        """
        settings = self._settings
        self._request = self._logic.worker.send(
            "warm", model=model, device=settings.device, precision=settings.precision
        )
        self._timer.start()

    def stop(self) -> None:
        """Wait no longer; the worker goes on."""
        self._timer.stop()

    def _poll(self) -> None:
        if self._request.ended:
            self._timer.stop()
        else:
            time.sleep(YIELD_SECONDS)
