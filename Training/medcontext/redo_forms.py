"""The ways of doing a region of a result again, and what was measured of each.

The numbers are those of ``Testing/Benchmarks/results/redo.json`` (hippocampus models, 50 held-out cases); a test
compares them. What does not help is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass

from medcontext.cards import CardSummary


@dataclass(frozen=True)
class RedoForm:
    """One way of doing a region again.

    Attributes:
        id: its name in requests: finer, context or model.
        offered: whether it helps in the setting it is for, and so is offered.
        setting: what it was measured on, as the benchmark names it.
        before: mean Dice inside the region before.
        after: mean Dice inside the region after.
        low, high: 95 % interval of the mean difference.
        reason: why it is offered or not, in one line.
    """

    id: str
    offered: bool
    setting: str
    before: float
    after: float
    low: float
    high: float
    reason: str


FORMS = (
    RedoForm(
        "finer",
        offered=True,
        setting="small windows: most wrong",
        before=0.7729,
        after=0.7797,
        low=0.0021,
        high=0.0127,
        reason="A little better where a person sees errors, if scans are larger than the window; else the same.",
    ),
    RedoForm(
        "context",
        offered=True,
        setting="artefacts",
        before=0.7147,
        after=0.8323,
        low=0.1004,
        high=0.1346,
        reason="Much better where metal or a void left no image; worse under motion, noise and on clean scans.",
    ),
    RedoForm(
        "model",
        offered=True,
        setting="most wrong",
        before=0.7788,
        after=0.8058,
        low=0.0144,
        high=0.04,
        reason="Better in the worst regions of a scan, even by a model that is no better on whole scans.",
    ),
)

OFFERED = tuple(form.id for form in FORMS if form.offered)
"""Ids of the forms that help with some model."""

MASKED_METHODS = ("medcontext",)
"""Methods that teach a network to do without parts of the image. One that never learnt it gained nothing over the
artefacts of the benchmark, and lost most where those left something to see."""


def offered_for(card: CardSummary) -> tuple[str, ...]:
    """Ids of the forms that help with a model, in the order of :data:`FORMS`.

    Finer windows change nothing where one of them holds a usual image; context needs a network that learnt from it.
    """
    fits = {"finer": _looks_through_windows(card), "context": card.method in MASKED_METHODS}
    return tuple(form for form in OFFERED if fits.get(form, True))


def _looks_through_windows(card: CardSummary) -> bool:
    """Whether a training image of middle size is larger than the window on any axis."""
    if card.window is None or card.field_of_view_range is None:
        return False
    low, high = card.field_of_view_range
    return any((a + b) / 2 > side for a, b, side in zip(low, high, card.window, strict=True))
