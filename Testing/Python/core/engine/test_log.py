"""What a user relies on: the curve moves while a training goes on, and every step is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcontext.engine.log import EACH_STEP, TrainingLog
from medcontext.engine.loop import train
from medcontext.engine.run import Run
from medcontext.errors import TrainingDivergedError
from medcontext.events import Reporter


@pytest.mark.parametrize("each", [0.01, 0.25, 1.5])
def test_losses_are_heard_at_least_every_two_seconds(
    tmp_path: Path, run_of: Callable[..., Run], clocks: Any, each: float
) -> None:
    clocks.each = each
    heard: list[float] = []
    progress: list[float] = []

    def sink(event: dict[str, Any]) -> None:
        if event["event"] == "metric":
            heard.append(clocks.passed)
        elif event["event"] == "progress":
            progress.append(clocks.passed)

    train(run_of(tmp_path, "supervised", steps=24), Reporter(sink))
    assert len(heard) == 24
    for times in (heard, progress):
        assert max(np.diff([0.0, *times])) <= 2.0


def test_of_a_very_long_run_later_steps_are_logged_more_rarely_and_all_are_checked(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, Reporter(), 0)
    for step in range(EACH_STEP - 10, EACH_STEP + 20):
        log.step(step, {"loss": torch.tensor(1.0)})
    log.flush()
    lines = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [*range(EACH_STEP - 10, EACH_STEP), *range(EACH_STEP, EACH_STEP + 20, 2)]
    log.step(EACH_STEP + 1, {"loss": torch.tensor(float("inf"))})
    with pytest.raises(TrainingDivergedError, match=f"'loss' became inf at step {EACH_STEP + 1}"):
        log.flush()


@pytest.mark.parametrize(
    "damage", ['{"step": 2, "lo', "7", "null", '{"loss": {}}', '{"step": "x"}', "\x00\x00"]
)
def test_a_log_that_was_cut_or_edited_is_read_as_far_as_it_can_be(tmp_path: Path, damage: str) -> None:
    lines = "".join(json.dumps({"step": step, "loss": {"a": 1.0}}) + "\n" for step in range(2))
    (tmp_path / "log.jsonl").write_text(lines + damage)
    assert [record["step"] for record in TrainingLog(tmp_path, Reporter(), 2).records] == [0, 1]
    assert (tmp_path / "log.jsonl").read_text() == lines


SIGNALS = {"position_accuracy": 0.5, "chance": 1 / 9, "prediction_loss": 0.2, "best_constant": 0.357}


def test_signals_are_lines_of_the_log_and_events_and_stay_when_a_run_goes_on(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    log = TrainingLog(tmp_path, Reporter(events.append), 0)
    for step in range(3):
        log.step(step, {"a": torch.tensor(1.0)})
    log.signals(3, {**SIGNALS, "effective_rank": np.float32("nan")})
    said = [
        {key: event[key] for key in ("event", "step", "signals")} for event in events if "signals" in event
    ]
    assert said == [{"event": "metric", "step": 3, "signals": {**SIGNALS, "effective_rank": None}}]
    assert events[-2]["step"] == 2  # what was learnt before comes before
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[-1] == {"step": 3, "signals": {**SIGNALS, "effective_rank": None}}
    assert TrainingLog(tmp_path, Reporter(), 3).records == records
    assert [r["step"] for r in TrainingLog(tmp_path, Reporter(), 2).records] == [0, 1]


@pytest.mark.parametrize("names", [[], ["reconstruction_error", "mean_error"], [*SIGNALS, "effective_rank"]])
def test_the_curve_shows_every_signal_beside_what_it_is_compared_to(tmp_path: Path, names: list[str]) -> None:
    from PIL import Image

    log = TrainingLog(tmp_path, Reporter(), 0)
    for step in range(20):
        log.step(step, {"position": torch.tensor(1 / (1 + step)), "negative": torch.tensor(0.1)})
    if names:
        log.signals(10, dict.fromkeys(names, 0.5))
        log.signals(20, dict.fromkeys(names, 0.6))
    log.finish(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.height == (440 if not names else 682)
