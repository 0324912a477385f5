"""How sure a difference of two methods is: paired bootstrap over cases, or over training draws and cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medcontext.errors import InputError

Score = float | None


@dataclass(frozen=True)
class Interval:
    """Mean of ``b - a`` over all pairs and the percentile interval of that mean.

    ``share_above_zero`` is the share of the resamples in which b was ahead (0.5 says nothing).
    """

    difference: float
    low: float
    high: float
    confidence: float
    share_above_zero: float
    cases: int
    draws: int
    pairs: int

    @property
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """Whether ``b`` is better than ``a`` where more is better, as far as these cases can tell."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "undecided"


def paired_interval(
    a: Sequence[Score],
    b: Sequence[Score],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean difference ``b - a`` of two methods scored on the same cases.

    Args:
        a, b: scores of the same cases in the same order; a pair with a None or NaN is left out.
        resamples: bootstrap resamples.
        confidence: share of the resampled means inside the interval.
        seed: the same seed gives the same interval.

    Raises:
        InputError: lengths differ, fewer than two whole pairs, or a setting makes no sense.
    """
    return _interval(_differences([a], [b]), resamples, confidence, seed)


def hierarchical_interval(
    a: Sequence[Sequence[Score]],
    b: Sequence[Sequence[Score]],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean difference ``b - a`` over training draws, each tested on the same cases.

    Draws and cases are resampled independently of each other, so that the interval speaks about other
    training sets and other patients, not about this table: a test case that is hard is hard in every draw, so
    its rows are no independent observations.

    Args:
        a, b: ``[draw][case]`` scores; draw and case mean the same in both; see ``paired_interval``.
        resamples, confidence, seed: as there.

    Raises:
        InputError: shapes differ or are ragged, fewer than two draws or cases, or a setting makes no sense.
    """
    if len(a) < 2:
        raise InputError(
            f"At least two training draws are needed, not {len(a)}.", "One draw: paired_interval."
        )
    return _interval(_differences(a, b), resamples, confidence, seed)


def _differences(a: Sequence[Sequence[Score]], b: Sequence[Sequence[Score]]) -> np.ndarray:
    if [len(row) for row in a] != [len(row) for row in b] or len({len(row) for row in a}) != 1:
        raise InputError(
            f"Paired scores must have the same shape; given {[len(row) for row in a]} and "
            f"{[len(row) for row in b]} scores.",
            "Score both methods on the same cases.",
        )
    return np.array(b, dtype=np.float64) - np.array(a, dtype=np.float64)  # None becomes NaN


def _interval(differences: np.ndarray, resamples: int, confidence: float, seed: int) -> Interval:
    known = np.isfinite(differences)
    draws, cases = int(known.any(1).sum()), int(known.any(0).sum())
    if cases < 2:
        raise InputError(f"A paired comparison needs at least two cases scored by both, not {cases}.")
    if resamples < 1 or not 0 < confidence < 1:
        raise InputError(
            f"{resamples} resamples at confidence {confidence} is no interval.", "Try 10000, 0.95."
        )
    generator = np.random.default_rng(seed)
    # A resample is how often each row and each column was drawn: the sums below cost no array of
    # resamples x draws x cases.
    rows, columns = (
        generator.multinomial(n, np.full(n, 1 / n), resamples).astype(np.float64) for n in differences.shape
    )
    totals = ((rows @ np.where(known, differences, 0.0)) * columns).sum(1)
    weights = ((rows @ known.astype(np.float64)) * columns).sum(1)
    means = totals[weights > 0] / weights[weights > 0]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        difference=float(differences[known].mean()),
        low=float(low),
        high=float(high),
        confidence=confidence,
        share_above_zero=float((means > 0).mean() + (means == 0).mean() / 2),
        cases=cases,
        draws=draws,
        pairs=int(known.sum()),
    )
