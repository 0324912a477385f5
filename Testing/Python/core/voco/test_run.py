"""Runs on the common engine: they learn places, resume exactly, and are not changed by being looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

from medcontext.engine.config import CHECKPOINT
from medcontext.engine.loop import train
from medcontext.engine.run import Run
from medcontext.engine.watch import PICTURE
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.plan import Plan

pytestmark = pytest.mark.usefixtures("names_once")


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The curves, which are tested alone, are empty files."""
    monkeypatch.setattr("medcontext.engine.log.draw_curve", lambda _records, path: path.touch())


def records(folder: Path, key: str) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record[key] for record in lines if key in record]


def test_places_in_scans_that_were_not_seen_are_learnt(
    tmp_path: Path, run_of: Callable[..., Run], plan_of: Callable[..., Plan]
) -> None:
    settings = ("engine.optimiser.learning_rate=5e-3", "grid=[1,2,2]", "random_crops=8")
    wider = ("projector.hidden=64", "projector.out=64")
    plan, events = plan_of(crop=(8, 16, 16)), []
    run = run_of(tmp_path, settings=(*settings, *wider), plan=plan, scans=12, steps=80)
    outcome = train(run, Reporter(events.append))
    last = records(tmp_path, "signals")[-1]
    assert last["chance"] == 0.25
    assert last["position_accuracy"] > 0.4
    assert last["prediction_loss"] < 0.9 * last["best_constant"]
    assert last["effective_rank"] > 4
    assert outcome.unlabelled == 12
    assert imread(tmp_path / PICTURE).ndim == 3
    (*_, told) = [event for event in events if event["event"] == "picture"]
    assert told["case"] == "scan100, scan101"
    assert told["held_out"]


@pytest.mark.parametrize("name", ["default", "v2"])
def test_a_resumed_run_is_the_uninterrupted_one(
    tmp_path: Path, run_of: Callable[..., Run], name: str
) -> None:
    whole = train(run_of(tmp_path / "whole", name), Reporter()).network.state_dict()
    asked = 0

    def stop_after_three() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(CancelledError):
        train(run_of(tmp_path / "parts", name), Reporter(cancelled=stop_after_three))
    state = torch.load(tmp_path / "parts" / CHECKPOINT, weights_only=True)
    assert 0 < state["step"] < 5
    assert state["method_state"]["teacher"]
    resumed = train(run_of(tmp_path / "parts", name, resume=True), Reporter()).network.state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert records(tmp_path / "parts", "loss") == records(tmp_path / "whole", "loss")


def test_a_run_does_not_go_on_with_other_layers(tmp_path: Path, run_of: Callable[..., Run]) -> None:
    train(run_of(tmp_path, steps=1), Reporter())
    with pytest.raises(InputError, match="made with other settings: its layers are not those of this run"):
        train(run_of(tmp_path, settings=("projector.layers=2",), steps=1, resume=True), Reporter())


def test_being_looked_at_does_not_change_a_run(
    tmp_path: Path, run_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository's teacher moves whenever it is asked, but not by a look."""
    plain = train(run_of(tmp_path / "plain", "repo", steps=3), Reporter()).network.state_dict()
    monkeypatch.setattr("medcontext.engine.pretext_watch.PretextWatch.due", lambda *_: True)
    often = train(run_of(tmp_path / "often", "repo", steps=3), Reporter()).network.state_dict()
    assert len(records(tmp_path / "often", "signals")) > len(records(tmp_path / "plain", "signals"))
    assert all(torch.equal(plain[key], often[key]) for key in plain)


def test_mixed_precision_gives_nearly_the_same_losses(tmp_path: Path, run_of: Callable[..., Run]) -> None:
    """Losses themselves are computed in full precision: 1 - |y - l| near 0 has no room in 8 bits."""
    for precision in ("fp32", "bf16"):
        train(run_of(tmp_path / precision, steps=2, precision=precision), Reporter())
    full, half = (records(tmp_path / name, "loss") for name in ("fp32", "bf16"))
    assert half[0] == pytest.approx(full[0], abs=0.1)
    assert half[0] != full[0]
