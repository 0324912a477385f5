"""What a user relies on: a run of any length passes through the same stages and ends with small steps."""

from __future__ import annotations

import itertools

import pytest

from medcontext.engine.config import OptimiserConfig
from medcontext.engine.method import Stage
from medcontext.engine.schedule import clock_at, ema_momentum, learning_rate

TWO = [Stage("labelled", 0.4, 1.0, 2), Stage("joined", 0.6, 0.5, 2, 2)]
ONE = [Stage("supervised", 1.0, 1.0, 2)]


def rates(total: int, stages: list[Stage], **settings: object) -> list[float]:
    config = OptimiserConfig(**settings)  # type: ignore[arg-type]
    return [learning_rate(config, clock_at(step, total, stages, 0)) for step in range(total)]


@pytest.mark.parametrize("total", [10, 50, 1000, 7919])
def test_stages_take_their_share_of_the_steps_in_order(total: int) -> None:
    names = [clock_at(step, total, TWO, 0).stage.name for step in range(total)]
    first = round(0.4 * total)
    assert names == ["labelled"] * first + ["joined"] * (total - first)


@pytest.mark.parametrize("total", [1, 2, 3, 10, 997])
@pytest.mark.parametrize("stages", [ONE, TWO, [Stage(str(n), 0.1, 1.0, 1) for n in range(10)]])
def test_every_step_of_a_run_of_any_length_has_a_stage_and_progress_below_one(
    total: int, stages: list[Stage]
) -> None:
    for step in range(total):
        clock = clock_at(step, total, stages, 3)
        assert clock.stage is stages[clock.stage_index]
        assert 0 <= clock.stage_progress < 1
        assert (clock.step, clock.total, clock.seed) == (step, total, 3)


def test_progress_starts_at_zero_in_each_stage_and_grows_evenly() -> None:
    progress = [clock_at(step, 100, TWO, 0).stage_progress for step in range(100)]
    assert progress[:40] == pytest.approx([n / 40 for n in range(40)])
    assert progress[40:] == pytest.approx([n / 60 for n in range(60)])


def test_a_run_needs_a_stage() -> None:
    with pytest.raises(ValueError, match="at least one stage"):
        clock_at(0, 10, [], 0)


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_nothing(schedule: str) -> None:
    found = rates(1000, ONE, learning_rate=0.01, warmup=0.1, schedule=schedule)
    top = found.index(max(found))
    assert top == 100
    assert found[top] == pytest.approx(0.01)
    assert 0 < found[0] < 0.0002
    assert all(a < b for a, b in itertools.pairwise(found[: top + 1]))
    assert all(a > b for a, b in itertools.pairwise(found[top:]))
    assert 0 < found[-1] < 0.01 * 0.005


def test_warm_up_is_linear() -> None:
    found = rates(1000, ONE, learning_rate=1.0, warmup=0.1)
    assert found[50] == pytest.approx(0.5, abs=0.01)
    assert found[25] == pytest.approx(0.25, abs=0.01)


def test_without_warm_up_the_first_step_is_the_largest() -> None:
    found = rates(100, ONE, learning_rate=0.01, warmup=0.0)
    assert found[0] == max(found) == pytest.approx(0.01)


def test_cosine_and_poly_have_the_published_shapes() -> None:
    cosine = rates(1000, ONE, learning_rate=1.0, warmup=0.0, schedule="cosine")
    poly = rates(1000, ONE, learning_rate=1.0, warmup=0.0, schedule="poly")
    assert [cosine[n] for n in (250, 500, 750)] == pytest.approx([0.8536, 0.5, 0.1464], abs=1e-3)
    assert [poly[n] for n in (250, 500, 750)] == pytest.approx([0.7719, 0.5359, 0.2872], abs=1e-3)


def test_each_stage_has_a_cycle_and_a_peak_of_its_own() -> None:
    found = rates(1000, TWO, learning_rate=0.01, warmup=0.1)
    assert max(found[:400]) == pytest.approx(0.01)
    assert max(found[400:]) == pytest.approx(0.005)
    assert found[399] < 0.0001
    assert found[400] < 0.0001
    assert found[399] < 0.01 * 0.005


def test_a_run_ten_times_as_long_has_the_same_shape() -> None:
    short = rates(200, TWO, learning_rate=0.01, warmup=0.1)
    long = rates(2000, TWO, learning_rate=0.01, warmup=0.1)
    assert long[::10] == pytest.approx(short, abs=0.01 * 0.05)


def test_the_average_begins_as_a_plain_mean() -> None:
    """After t updates with momentum t / (t + 1) each of the weights seen counts alike."""
    average = 0.0
    for step, value in enumerate([4.0, 8.0, 3.0, 9.0]):
        momentum = ema_momentum(step, 100_000, None)
        average = momentum * average + (1 - momentum) * value
    assert average == pytest.approx(6.0)


@pytest.mark.parametrize(("total", "limit"), [(50, 0.99), (1000, 0.99), (4000, 0.9975), (10**6, 0.9995)])
def test_the_average_then_covers_about_a_tenth_of_the_run(total: int, limit: float) -> None:
    assert ema_momentum(10**6, total, None) == pytest.approx(limit)


def test_the_momentum_can_be_bounded_and_never_falls() -> None:
    found = [ema_momentum(step, 1000, 0.9) for step in range(1000)]
    assert found[0] == 0
    assert max(found) == found[-1] == 0.9
    assert all(a <= b for a, b in itertools.pairwise(found))
