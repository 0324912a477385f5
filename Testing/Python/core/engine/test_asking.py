"""What a user relies on: a training can be paused and stopped at any moment, and only training takes time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medcontext.engine.asking import obedient
from medcontext.engine.loop import CHECKPOINT, train
from medcontext.engine.run import Run
from medcontext.errors import CancelledError
from medcontext.events import Reporter

pytestmark = pytest.mark.usefixtures("undrawn")

HOUR = 3600.0


def test_stop_keeps_what_was_learnt(tmp_path: Path, run_of: Callable[..., Run], asked: Any) -> None:
    asked.at("train", 5, "stop")
    run = run_of(tmp_path, steps=200, control=asked)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    outcome = train(run, Reporter(asked.hear))
    assert outcome.steps == 5
    assert any(not torch.equal(before[name], value) for name, value in outcome.network.state_dict().items())


@pytest.fixture
def hours_of_rest(monkeypatch: pytest.MonkeyPatch, clocks: Any, asked: Any) -> list[bool]:
    """A pause lasts for two hours; the list tells of each whether a checkpoint was there."""
    rests: list[bool] = []

    def sleep(_seconds: float) -> None:
        rests.append(True)
        clocks.passed += HOUR
        if len(rests) == 2:
            asked.answer = None

    monkeypatch.setattr("medcontext.engine.asking.time.sleep", sleep)
    return rests


def test_a_pause_saves_and_costs_no_time(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, hours_of_rest: list[bool]
) -> None:
    asked.at("train", 10, "pause")
    outcome = train(run_of(tmp_path, steps=20, control=asked), Reporter(asked.hear))
    assert len(hours_of_rest) == 2
    assert (tmp_path / CHECKPOINT).exists()
    assert outcome.steps == 20
    assert 60 * outcome.minutes == pytest.approx(2.5)
    left = [event["eta_s"] for event in asked.of("progress")]
    assert left[-2:] == pytest.approx([0.625, 0.0])


@pytest.mark.parametrize("stage", ["time", "train"])
@pytest.mark.usefixtures("hours_of_rest")
def test_a_pause_does_not_shorten_a_training_by_time(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, stage: str
) -> None:
    """While the first steps are timed, and in the first tenth, from which the steps are counted anew."""
    asked.at(stage, 3, "pause")
    run = run_of(tmp_path, "supervised", steps=None, minutes=0.125, control=asked)
    outcome = train(run, Reporter(asked.hear))
    assert asked.answer is None
    assert outcome.steps == 60
    assert 60 * outcome.minutes == pytest.approx(7.5 + 2.5)  # twenty steps were timed


def test_a_stop_while_the_first_steps_are_timed_ends_at_once(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any
) -> None:
    asked.at("time", 3, "stop")
    with pytest.raises(CancelledError, match="before the training began"):
        train(run_of(tmp_path, steps=None, minutes=1.0, control=asked), Reporter(asked.hear))
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_wall_clock_that_jumps_changes_nothing(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, clocks: Any
) -> None:
    """Back and forth, with each event."""
    jumps = itertools.cycle([-5 * HOUR, 0.0, 5 * HOUR, 0.0])

    def sink(event: dict[str, Any]) -> None:
        asked.hear(event)
        clocks.wrong = next(jumps)

    run = run_of(tmp_path, "supervised", steps=None, minutes=0.125, control=asked)
    outcome = train(run, Reporter(sink))
    assert outcome.steps == 60
    assert 60 * outcome.minutes == pytest.approx(7.5 + 2.5)
    left = [event["eta_s"] for event in asked.of("progress") if event["stage"] == "train"]
    assert left[-3:] == pytest.approx([1.25, 0.625, 0.0])


def test_preparing_rests_while_paused_and_ends_when_asked_to_stop(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = obedient(Reporter(asked.hear), asked)
    reporter.check_cancelled()
    asked.answer, rests = "pause", []

    def sleep(_seconds: float) -> None:
        rests.append(1)
        asked.answer = None if len(rests) == 3 else "pause"

    monkeypatch.setattr("medcontext.engine.asking.time.sleep", sleep)
    reporter.check_cancelled()
    assert len(rests) == 3
    asked.answer = "stop"
    with pytest.raises(CancelledError):
        reporter.check_cancelled()
    reporter.progress("prepare", 0.5)
    assert asked.of("progress")[0]["stage"] == "prepare"
