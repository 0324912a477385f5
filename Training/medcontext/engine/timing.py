"""How many steps fit into a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medcontext.engine.course import LEAST_STEPS
from medcontext.engine.method import Stage


@dataclass(frozen=True)
class Fit:
    """So many steps, of so many seconds each on average."""

    steps: int
    seconds: float


def fitting_steps(
    budget: float, costs: Mapping[str, float], stages_of: Callable[[int], list[Stage]], stages: list[Stage]
) -> Fit:
    """How many steps fit.

    Args:
        budget: seconds.
        costs: seconds of a step of each stage, by its name.
        stages_of: the stages of a run of so many steps.
        stages: of the run as it was planned until now.
    """
    steps, seconds = 0, 0.0
    for _ in range(2):  # a short run may have fewer stages, and so room for other numbers of steps
        seconds = sum(stage.share * costs[stage.name] for stage in stages)
        steps = max(LEAST_STEPS, int(budget / seconds))
        stages = stages_of(steps)
    return Fit(steps, seconds)


RECENT = 0.98
"""Weight of the past in the time of a step: about the last fifty count."""


class StepTime:
    """How long a step takes of late, all that happens between two steps included.

    Args:
        seconds: spent on the run before the first step.
    """

    def __init__(self, seconds: float) -> None:
        self._last = seconds
        self._count = 0
        self._mean = 0.0

    def note(self, seconds: float) -> None:
        """A step ended when so many seconds had been spent."""
        self._count += 1
        share = max(1 - RECENT, 1 / self._count)
        self._mean += share * (seconds - self._last - self._mean)
        self._last = seconds

    def left(self, steps: int) -> float | None:
        """Seconds that so many more steps take; None after a step or two, of which the first is slow."""
        return steps * self._mean if self._count > 2 else None
