"""What a user relies on: a training without an end can be stopped at any moment and has a usable model then."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.engine.config import OptimiserConfig
from medcontext.engine.course import OPEN_STEPS, WARM_STEPS, Course, OpenCourse, open_course
from medcontext.engine.loop import CHECKPOINT, train
from medcontext.engine.method import Stage
from medcontext.engine.run import Run
from medcontext.engine.schedule import clock_at
from medcontext.engine.validation import validate
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.methods import make_config, make_method

pytestmark = pytest.mark.usefixtures("undrawn")


def course_of(method: str, *settings: str, unlabelled: int = 3) -> OpenCourse:
    made = make_method(method, make_config(method).updated(list(settings)))
    return open_course(lambda total: made.stages(4, unlabelled, total), seed=0)


def open_run(run_of: Callable[..., Run], folder: Path, method: str = "medcontext", **changes: Any) -> Run:
    return run_of(folder, method, steps=None, until_stopped=True, **changes)


def test_scans_without_labels_join_after_the_least_steps() -> None:
    course = course_of("medcontext")
    names = [course.clock(step).stage.name for step in (0, 599, 600, 601, 100_000)]
    assert names == ["labelled", "labelled", "joined", "joined", "joined"]


def test_they_join_at_once_where_the_settings_say_so() -> None:
    course = course_of("medcontext", "unlabelled.least_steps=0", "unlabelled.start=0")
    assert course.clock(0).stage.name == "joined"


@pytest.mark.parametrize(("method", "unlabelled"), [("medcontext", 0), ("supervised", 3)])
def test_without_such_scans_there_is_one_stage(method: str, unlabelled: int) -> None:
    assert len({course_of(method, unlabelled=unlabelled).clock(s).stage for s in (0, 700, 10**6)}) == 1


def test_progress_of_a_stage_grows_to_one_and_stays() -> None:
    course = course_of("medcontext")
    clocks = [course.clock(step) for step in range(0, 5000, 10)]
    assert all(a.stage_progress <= b.stage_progress for a, b in itertools.pairwise(clocks[60:]))
    assert clocks[-1].stage_progress == 1
    assert all(clock.total > clock.step for clock in clocks)
    assert course.share_done(5000) is None


def test_batches_are_drawn_for_the_stages_of_the_course() -> None:
    course = course_of("medcontext")
    total, stages = course.to_draw()
    assert total == OPEN_STEPS
    for step in (0, 599, 600, 5000, OPEN_STEPS - 1):
        drawn, learnt = clock_at(step, total, stages, 0).stage, course.clock(step).stage
        assert (drawn.labelled, drawn.unlabelled) == (learnt.labelled, learnt.unlabelled)


def test_the_learning_rate_rises_and_stays() -> None:
    course = course_of("medcontext", unlabelled=0)
    config = OptimiserConfig(learning_rate=0.01)
    rates = [course.rate(config, course.clock(step)) for step in range(5000)]
    assert all(a < b for a, b in itertools.pairwise(rates[:WARM_STEPS]))
    assert set(rates[WARM_STEPS:]) == {0.01}


def test_the_average_forgets_the_beginning_soon() -> None:
    """A ninth of what was done is most of what it holds, whenever the run is stopped."""
    course = course_of("supervised")
    for steps in (50, 300, 5000):
        weights = np.ones(0)
        for step in range(steps):
            momentum = course.momentum(step, None)
            weights = np.append(momentum * weights, 1 - momentum)
        assert weights.sum() == pytest.approx(1)
        assert weights[-steps // 4 :].sum() > 0.85
        assert weights.max() < 20 / steps
    assert course.momentum(10**6, None) == 0.9995
    assert course.momentum(10**6, 0.9) == 0.9


def test_a_run_with_an_end_is_as_it_was() -> None:
    stages = [Stage("supervised", 1.0, 1.0, 2)]
    course = Course(stages, 100, 0)
    assert course.to_draw() == (100, stages)
    assert course.share_done(25) == 0.25


@pytest.mark.parametrize("stop", [100, 130])
def test_wherever_it_is_stopped_the_model_is_usable(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, stop: int
) -> None:
    asked.at("train", stop, "stop")
    settings = ["engine.optimiser.learning_rate=1e-2", "mask.cell=4"]
    run = open_run(run_of, tmp_path, settings=settings, unlabelled=[], control=asked)
    outcome = train(run, Reporter(asked.hear))
    assert outcome.steps == stop
    dice = validate(outcome.network, run.task.labelled, run.task.plan, "fp32")
    assert min(dice.values()) > 0.6


def test_progress_has_no_end_and_counts_steps(tmp_path: Path, run_of: Callable[..., Run], asked: Any) -> None:
    asked.at("train", 10, "stop")
    train(open_run(run_of, tmp_path, control=asked), Reporter(asked.hear))
    told = [(event["value"], event["eta_s"], event["step"]) for event in asked.of("progress")]
    assert told[0][:2] == (None, None)
    assert told[-1][2] == 10


def test_the_best_on_the_validation_cases_is_kept(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, clocks: Any
) -> None:
    """By a set clock: first after ten seconds, then every minute. Stopped between two, the better one is kept."""
    clocks.each = 2.0
    asked.at("train", 50, "stop")
    cases = run_of(tmp_path).task.labelled
    run = open_run(run_of, tmp_path, "supervised", validation=cases, control=asked)
    outcome = train(run, Reporter(asked.hear))
    told = [event for event in asked.of("metric") if "dice" in event]
    assert [event["step"] for event in told] == [5, 35]
    best = max(told, key=lambda event: sum(event["dice"].values()))
    assert outcome.dice == best["dice"]
    assert not any(event["held_out"] for event in told)


def test_a_killed_run_without_end_goes_on_with_the_same_losses(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any
) -> None:
    def losses(folder: Path) -> list[Any]:
        return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]

    asked.at("train", 20, "stop")
    train(open_run(run_of, tmp_path / "whole", control=asked), Reporter(asked.hear))
    stopped = Reporter(cancelled=lambda: (tmp_path / "halves" / "log.jsonl").exists() and next(polls) > 15)
    polls = itertools.count()
    with pytest.raises(CancelledError, match="Continue with --resume"):
        train(open_run(run_of, tmp_path / "halves"), stopped)
    asked.answer, asked.events = None, []
    asked.at("train", 20, "stop")
    train(open_run(run_of, tmp_path / "halves", resume=True, control=asked), Reporter(asked.hear))
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")


def test_a_run_without_end_is_not_resumed_as_one_with_an_end(
    tmp_path: Path, run_of: Callable[..., Run]
) -> None:
    with pytest.raises(CancelledError):
        train(run_of(tmp_path), Reporter(cancelled=lambda: True))
    with pytest.raises(InputError, match="--until-stopped"):
        train(open_run(run_of, tmp_path, resume=True), Reporter())


def test_at_a_terminal_ctrl_c_keeps_the_model(tmp_path: Path, run_of: Callable[..., Run], asked: Any) -> None:
    """Who cancels and who may stop is the same person there."""
    asked.at("train", 5, "stop")
    reporter = Reporter(asked.hear, cancelled=lambda: asked.answer == "stop")
    assert train(open_run(run_of, tmp_path, control=asked), reporter).steps == 5
    assert (tmp_path / CHECKPOINT).exists()
