"""What the engine of a batch says, as lines for a terminal or a log file."""

from __future__ import annotations

import time
from typing import Any

from slicer.i18n import tr as _

from medcontext.events import Event

LINE_EVERY_S = 10.0
"""Least time between lines on how far the run is."""


class EngineTexts:
    """Turns events into lines, few of them."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def line(self, event: Event) -> str:
        """The line for an event; "" where it is not worth one.

        Errors and the result have none: the engine itself says them in words.
        """
        kind = event["event"]
        if kind == "progress":
            return self._progress(event)
        if kind == "info":
            return str(event.get("message", ""))
        if kind == "warning":
            about = f"{event['case']}: " if event.get("case") else ""
            return _("Warning: {text}").format(text=about + str(event.get("message", "")))
        return _case(event) if kind == "case" else ""

    def _progress(self, event: Event) -> str:
        value, now = event.get("value"), time.monotonic()
        if event.get("stage") != "cases" or value is None or now - self._last < LINE_EVERY_S:
            return ""
        self._last = now
        left = event.get("eta_s")
        if not isinstance(left, int | float):
            return _("{percent} % done").format(percent=round(100 * value))
        return _("{percent} % done, {minutes} min left").format(
            percent=round(100 * value), minutes=max(1, round(left / 60))
        )


def _case(event: dict[str, Any]) -> str:
    status, name = event.get("status"), str(event.get("case", ""))
    if status == "done":
        seconds = event.get("seconds")
        took = f" ({seconds:.1f} s)" if isinstance(seconds, int | float) else ""
        return _("Done: {case}").format(case=name) + took
    if status == "failed":
        reason = f"{event.get('message') or ''} {event.get('hint') or ''}".strip()
        return _("Failed: {case}: {reason}").format(case=name, reason=reason)
    return ""
