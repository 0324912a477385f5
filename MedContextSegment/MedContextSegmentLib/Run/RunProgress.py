"""How far a run is as a whole, and how long it will still take, in words."""

from __future__ import annotations

from slicer.i18n import tr as _

_SPANS = {
    "prepare": (0.0, 0.04),
    "read segments": (0.0, 0.5),
    "receive": (0.04, 0.06),
    "load model": (0.06, 0.10),
    "preprocess": (0.10, 0.15),
    "plan": (0.15, 0.16),
    "adapt": (0.10, 0.78),
    "segment": (0.16, 0.80),
    "propose": (0.06, 0.92),
    "certainty": (0.80, 0.86),
    "label": (0.86, 0.90),
    "send": (0.90, 0.92),
    "read": (0.92, 0.93),
    "write": (0.93, 1.0),
}
"""Share of the bar of each stage; of a segmentation most of the time is spent in the network."""


def overall(stage: str, value: float) -> float:
    """Share of the whole run (0 to 1) that is done when ``value`` of a stage is; an unknown stage is the whole."""
    start, end = _SPANS.get(stage, (0.0, 1.0))
    return start + (end - start) * min(1.0, max(0.0, value))


def timeText(seconds: float | None) -> str:
    """Time left in words; "" where it is not known or over in a moment."""
    if seconds is None or seconds < 1:
        return ""
    if seconds < 90:
        return _("about {count} s left").format(count=round(seconds))
    if seconds < 2 * 3600:
        return _("about {count} min left").format(count=round(seconds / 60))
    return _("about {count} h left").format(count=round(seconds / 3600))
