"""The one protocol in which work reports itself: to a progress bar, a panel, a log or another program.

Every event is a flat JSON object with ``event``, ``id``, ``time`` and, where there is one, ``case``:
``hello`` (protocol), ``progress`` {stage, value 0..1 or null where nobody knows the end, eta_s},
``metric`` {step, loss {...}, dice {...}, held_out, signals {...}}, ``picture`` {path, case, held_out, step},
``case``, ``info`` {message}, ``warning`` {message}, ``result``, ``error`` {kind, message, hint}.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any, TextIO

from medcontext.errors import CancelledError, MedContextError

PROTOCOL_VERSION = 1

Event = dict[str, Any]
Sink = Callable[[Event], None]


class Reporter:
    """Sends events to a sink and asks whether to go on.

    Args:
        sink: receives each event; events are dropped when it is None.
        cancelled: answers whether someone asked to stop; asked between small pieces of work.
        run_id: value of ``id`` in each event.
    """

    def __init__(
        self, sink: Sink | None = None, cancelled: Callable[[], bool] | None = None, run_id: str = ""
    ) -> None:
        self._sink = sink
        self._cancelled = cancelled
        self._started: dict[str, tuple[float, float]] = {}
        self.run_id = run_id
        self.case: str | None = None

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event; ``case`` is added while a case is being worked on."""
        if self._sink is None:
            return
        context = {"case": self.case} if self.case is not None else {}
        self._sink({"event": event, "id": self.run_id, "time": time.time(), **context, **fields})

    def progress(self, stage: str, value: float | None, eta_s: float | None = None, **facts: Any) -> None:
        """Report that ``value`` (0..1) of a stage is done; the time left is estimated when not given.

        ``value`` is None where nobody knows the end.
        """
        if value is None:
            self.emit("progress", stage=stage, value=None, eta_s=None, **facts)
            return
        now = time.monotonic()
        if value <= 0 or stage not in self._started:
            self._started[stage] = (now, value)
        began, first = self._started[stage]
        if eta_s is None and first < value < 1:
            eta_s = (now - began) * (1 - value) / (value - first)
        if value >= 1:  # the same stage of the next piece of work starts its own clock
            del self._started[stage]
        self.emit("progress", stage=stage, value=round(min(1.0, value), 4), eta_s=eta_s, **facts)

    def info(self, message: str, **facts: Any) -> None:
        """Tell the user what was decided, such as the device or the number of steps."""
        self.emit("info", message=message, **facts)

    def warning(self, message: str) -> None:
        """Tell the user something that does not stop the work."""
        self.emit("warning", message=message)

    def error(self, error: MedContextError) -> None:
        """Report the error that ends the work."""
        self.emit("error", kind=error.kind, message=error.message, hint=error.hint)

    @property
    def cancelled(self) -> bool:
        """Whether someone asked to stop."""
        return self._cancelled is not None and self._cancelled()

    def silent(self) -> Reporter:
        """A reporter that says nothing but is stopped by the same request."""
        return Reporter(None, self._cancelled, self.run_id)

    def stopped_by(self, request: Callable[[], bool]) -> Reporter:
        """A reporter that says the same and is stopped by one more request."""
        return Reporter(self._sink, lambda: self.cancelled or request(), self.run_id)

    def check_cancelled(self) -> None:
        """Raise :class:`CancelledError` if someone asked to stop."""
        if self.cancelled:
            raise CancelledError("Stopped on request.")


def json_lines(stream: TextIO) -> Sink:
    """A sink that writes one JSON object a line."""

    def write(event: Event) -> None:
        stream.write(json.dumps(plain(event)) + "\n")
        stream.flush()

    return write


def plain(value: Any) -> Any:
    """The value as JSON has it: numbers of numpy and torch as numbers, what is not finite as null, paths as text."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
