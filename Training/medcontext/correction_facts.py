"""What was measured of learning from a correction, and which models it is offered for.

The numbers are those of ``Testing/Benchmarks/results/correction.json`` (hippocampus models, held-out cases); a test
compares them. What does not help is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass

from medcontext.cards import CardSummary


@dataclass(frozen=True)
class CorrectionFact:
    """What corrections of one kind were worth to one kind of model.

    Attributes:
        model: "few-shot" or "bundled", as the benchmark names it.
        correction: what was corrected, as the benchmark names it.
        cases: how many cases.
        before: mean Dice of the slices that were not corrected, before.
        after: the same after learning from those that were.
        low, high: 95 % interval of the mean difference.
        helps: whether the interval lies above zero.
    """

    model: str
    correction: str
    cases: int
    before: float
    after: float
    low: float
    high: float
    helps: bool


FACTS: tuple[CorrectionFact, ...] = (
    CorrectionFact("few-shot", "1 slice", 16, 0.8053, 0.8589, 0.0341, 0.0772, True),
    CorrectionFact("few-shot", "3 slices", 16, 0.8049, 0.8797, 0.0569, 0.0966, True),
    CorrectionFact("bundled", "1 slice", 16, 0.88, 0.9121, 0.0225, 0.0449, True),
    CorrectionFact("bundled", "3 slices", 16, 0.882, 0.9176, 0.0269, 0.0458, True),
)

FEW_SHOTS = 50
"""A model of so many labelled cases is like the few-shot one of the benchmark; of more, like the bundled one."""


def offered_for(card: CardSummary) -> bool:
    """Whether learning from a correction was measured to help models like this one, in each kind of correction."""
    kind = "few-shot" if 0 < card.shots <= FEW_SHOTS else "bundled"
    facts = [fact for fact in FACTS if fact.model == kind]
    return bool(facts) and all(fact.helps for fact in facts)
