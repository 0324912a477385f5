"""An interval covers what it says, and speaks about draws and cases, not about rows of a table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medcontext.errors import InputError
from medcontext.metrics.bootstrap import hierarchical_interval, paired_interval


def test_the_paired_interval_agrees_with_scipy() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(0.80, 0.1, 50)
    b = a + generator.normal(0.01, 0.03, 50)
    found = paired_interval(a.tolist(), b.tolist())
    expected = stats.bootstrap((b - a,), np.mean, method="percentile", n_resamples=10_000, random_state=0)
    assert found.difference == pytest.approx((b - a).mean())
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=5e-4)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=5e-4)
    assert (found.cases, found.draws, found.pairs) == (50, 1, 50)


def test_pairing_sees_a_small_gain_that_the_spread_of_cases_would_hide() -> None:
    generator = np.random.default_rng(1)
    a = generator.normal(0.8, 0.2, 40)
    b = a + 0.01 + generator.normal(0, 0.005, 40)
    assert paired_interval(a.tolist(), b.tolist()).verdict == "better"
    assert paired_interval(b.tolist(), a.tolist()).verdict == "worse"
    assert paired_interval(b.tolist(), a.tolist()).share_above_zero < 0.01
    assert paired_interval(a.tolist(), generator.permutation(b).tolist()).verdict == "undecided"


def test_a_difference_that_one_draw_makes_is_not_decided_by_many_cases() -> None:
    """Ten draws that differ by .03, 50 cases each: taken as 500 independent rows it would look certain."""
    generator = np.random.default_rng(3)
    a = np.full((10, 50), 0.8)
    b = a + generator.normal(0.0, 0.03, (10, 1)) + generator.normal(0, 0.02, (10, 50))
    pooled = paired_interval(a.ravel().tolist(), b.ravel().tolist())
    found = hierarchical_interval(a.tolist(), b.tolist())
    assert found.difference == pytest.approx(pooled.difference)
    assert found.high - found.low > 2 * (pooled.high - pooled.low)
    assert (found.cases, found.draws, found.pairs) == (50, 10, 500)


def test_the_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        draws, cases = generator.normal(0, 0.03, (12, 1)), generator.normal(0, 0.03, (1, 30))
        table = 0.02 + draws + cases + generator.normal(0, 0.03, (12, 30))
        found = hierarchical_interval(np.zeros((12, 30)).tolist(), table.tolist(), resamples=500)
        covered += found.low <= 0.02 <= found.high
    assert 0.85 <= covered / 200 <= 0.995


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = [0.1, 0.5, 0.3, 0.9], [0.2, 0.4, 0.6, 0.8]
    assert paired_interval(a, b, seed=3) == paired_interval(a, b, seed=3)
    assert paired_interval(a, b, seed=3) != paired_interval(a, b, seed=4)


def test_pairs_with_a_missing_score_are_left_out() -> None:
    found = paired_interval([0.5, None, 0.7, float("nan"), 0.6], [0.6, 0.9, None, 0.1, 0.7])
    assert found.pairs == found.cases == 2
    assert found.difference == pytest.approx(0.1)
    table = hierarchical_interval([[0.5, None, 0.5], [0.5, 0.5, 0.5]], [[0.6, 0.6, 0.6], [0.6, None, 0.6]])
    assert (table.pairs, table.cases) == (4, 2)
    assert table.low == pytest.approx(0.1)
    assert table.high == pytest.approx(0.1)


def test_equal_methods_are_undecided_and_even() -> None:
    found = paired_interval([0.5, 0.6], [0.5, 0.6])
    assert (found.verdict, found.share_above_zero) == ("undecided", 0.5)


def test_scores_that_do_not_pair_are_refused() -> None:
    with pytest.raises(InputError, match="same shape"):
        paired_interval([0.5, 0.6], [0.5])
    with pytest.raises(InputError, match="same shape"):
        hierarchical_interval([[0.5, 0.6], [0.5]], [[0.5, 0.6], [0.5]])
    with pytest.raises(InputError, match="at least two cases"):
        paired_interval([0.5, None], [0.5, 0.6])
    with pytest.raises(InputError, match="two training draws"):
        hierarchical_interval([[0.5, 0.6]], [[0.5, 0.6]])
    with pytest.raises(InputError, match="no interval"):
        paired_interval([0.5, 0.6], [0.5, 0.7], confidence=95)
