"""What tells whether a pre-training learns: numbers on scans without labels, each beside what it must beat."""

from __future__ import annotations

from collections.abc import Mapping

from slicer.i18n import tr as _

from MedContextSegmentLib.Learn.Curve import Color, Look

POSITION, CHANCE = "position_accuracy", "chance"
PREDICTION, CONSTANT = "prediction_loss", "best_constant"
REBUILDING, MEAN = "reconstruction_error", "mean_error"

GREEN, RED = (44, 160, 44), (214, 39, 40)
COLORS: dict[str, Color] = {
    POSITION: GREEN,
    CHANCE: GREEN,
    PREDICTION: RED,
    CONSTANT: RED,
    REBUILDING: RED,
    MEAN: RED,
}


def onCurve(signals: Mapping[str, object]) -> dict[str, float]:
    """The signals that are lines of the curve; others have another scale."""
    return {
        name: float(value)
        for name, value in signals.items()
        if name in COLORS and isinstance(value, int | float) and not isinstance(value, bool)
    }


def signalLook() -> Look:
    """How the signals are drawn: what a signal must beat is a broken line of its colour."""
    titles = {
        POSITION: _("Position found"),
        CHANCE: _("by chance"),
        PREDICTION: _("Prediction loss"),
        CONSTANT: _("of the best constant"),
        REBUILDING: _("Error where hidden"),
        MEAN: _("of the mean"),
    }
    return Look(titles=titles, colors=COLORS, references=frozenset((CHANCE, CONSTANT, MEAN)))
