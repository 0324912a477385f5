"""Ctrl-C, and the signal that clusters send, as a request to stop instead of the end of this process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from slicer.i18n import tr as _

from medcontext.errors import CancelledError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stops:
    """Takes the signals as long as the ``with`` block lasts; without it Slicer ends at once, and nobody waits.

    The first one is a request. The second one ends the block with a ``CancelledError``, wherever it is.

    Attributes:
        asked: how often somebody asked to stop.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._told: Callable[[], None] | None = None
        self._before: dict[int, Any] = {}

    def passOnTo(self, told: Callable[[], None]) -> None:
        """Call this each time somebody asks to stop, at once."""
        self._told = told
        for _time in range(self.asked):
            told()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: it was set by what is no Python, such as Slicer.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _take(self, _number: int, _frame: Any) -> None:
        self.asked += 1
        if self._told is not None:
            self._told()
        if self.asked == 2:
            raise CancelledError(_("Stopped at once."), _("The same command finishes the rest."))
