"""The ways of doing a region of a result again, and what was measured of each.

The numbers are those of ``Testing/Benchmarks/results/redo.json`` (bundled hippocampus model, held-out cases); a test
compares them. What does not help is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    RedoForm("finer", False, "", 0, 0, 0, 0, ""),
    RedoForm("context", True, "", 0, 0, 0, 0, ""),
    RedoForm("model", True, "", 0, 0, 0, 0, ""),
)

OFFERED = tuple(form.id for form in FORMS if form.offered)
"""Ids of the forms that are offered."""
