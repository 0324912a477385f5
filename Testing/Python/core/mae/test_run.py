"""A run on the common engine: it learns, resumes exactly, and shows what it can do."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from medcontext.data.sampling import generator_for
from medcontext.engine.config import CHECKPOINT
from medcontext.engine.loop import train
from medcontext.engine.run import Run
from medcontext.engine.watch import PICTURE
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.methods.mae.batch import MaskedCrops, draw_crops
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.mae.signals import Rebuilding
from medcontext.networks.encoder import encoder_names
from medcontext.plan import Plan


def records(folder: Path, key: str) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record[key] for record in lines if key in record]


def test_hidden_voxels_of_other_scans_are_rebuilt_better_than_by_their_mean(
    tmp_path: Path, run_of: Callable[..., Run]
) -> None:
    run = run_of(tmp_path, steps=60)
    start = {name: value.clone() for name, value in run.network.state_dict().items()}
    outcome = train(run, Reporter())
    signals = records(tmp_path, "signals")
    assert signals[-1]["reconstruction_error"] < 0.8 * signals[-1]["mean_error"]
    assert signals[-1]["reconstruction_error"] < signals[0]["reconstruction_error"]
    assert {entry["mean_error"] for entry in signals} == {
        signals[0]["mean_error"]
    }  # the same crops and masks
    delivered = outcome.network.state_dict()
    changed = {name for name in delivered if not torch.equal(delivered[name], start[name])}
    encoder = encoder_names(run.network)
    assert changed <= set(encoder)
    assert len(changed) > 0.6 * len(encoder)
    assert outcome.unlabelled == 4
    assert outcome.mask_token is None


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, run_of: Callable[..., Run]) -> None:
    whole = train(run_of(tmp_path / "whole"), Reporter()).network.state_dict()
    batches = 0

    def stop_after_three() -> bool:
        nonlocal batches
        batches += 1
        return batches > 3

    with pytest.raises(CancelledError):
        train(run_of(tmp_path / "parts"), Reporter(cancelled=stop_after_three))
    done = torch.load(tmp_path / "parts" / CHECKPOINT, weights_only=True)["step"]
    assert 0 < done < 8
    resumed = train(run_of(tmp_path / "parts", resume=True), Reporter()).network.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert records(tmp_path / "parts", "loss") == records(tmp_path / "whole", "loss")


def test_the_picture_of_scans_of_several_channels_is_drawn_and_told(
    tmp_path: Path, run_of: Callable[..., Run], plan_of: Callable[..., Plan]
) -> None:
    events: list[dict[str, Any]] = []
    train(run_of(tmp_path, plan=plan_of(channels=3), steps=2), Reporter(events.append))
    told = [event for event in events if event["event"] == "picture"]
    assert (
        told[-1] | {"path": str(tmp_path / PICTURE), "case": "scan100, scan101", "held_out": True} == told[-1]
    )
    assert imread(tmp_path / PICTURE).ndim == 3


def test_the_middle_panel_hides_what_the_network_did_not_see(
    tmp_path: Path, run_of: Callable[..., Run]
) -> None:
    """Hidden parts are blue, the rest grey."""
    run = run_of(tmp_path, ("mask.ratio=0.5",))
    student = run.method.build(run.network, run.task.plan)
    volume = np.random.default_rng(0).standard_normal((1, 20, 20, 20)).astype(np.float16)
    sight = Rebuilding(student, run.method.config, run.task.plan, [volume], ["a"])(lambda: None)
    picture = imread(io.BytesIO(sight.picture or b""))[..., :3]
    blue = (picture[..., 2] > picture[..., 0] + 0.2).mean(axis=0)
    where = np.flatnonzero(blue > 0.1) / len(blue)
    assert 0.33 < where.min() < where.max() < 0.7


def test_without_a_scan_to_look_at_there_are_no_signals(tmp_path: Path, run_of: Callable[..., Run]) -> None:
    run = run_of(tmp_path)
    student = run.method.build(run.network, run.task.plan)
    sight = Rebuilding(student, run.method.config, run.task.plan, [], [])(lambda: None)
    assert (sight.signals, sight.picture) == ({}, None)


def test_normalised_cells_are_learnt_too(tmp_path: Path, run_of: Callable[..., Run]) -> None:
    train(run_of(tmp_path, ("normalise_cells=true",), steps=4), Reporter())
    signals = records(tmp_path, "signals")[-1]
    assert signals["mean_error"] == pytest.approx(1.0, abs=0.05)
    assert signals["reconstruction_error"] < 5


def crops_of(config: MaeConfig, plan: Plan, *keys: int) -> MaskedCrops:
    volume = np.random.default_rng(0).standard_normal((2, 30, 30, 30)).astype(np.float16)
    return draw_crops([volume] * len(keys), [generator_for(0, 0, key) for key in keys], plan, config)


@pytest.mark.parametrize("rotated", [False, True])
def test_crops_depend_on_their_own_numbers_only(plan_of: Callable[..., Plan], rotated: bool) -> None:
    config = MaeConfig().updated([f"engine.augment.rotation_probability={int(rotated)}"])
    plan = plan_of(channels=2)
    both, last = crops_of(config, plan, 1, 2), crops_of(config, plan, 2)
    assert both.image.shape == (4, 2, 16, 16, 16)
    assert both.hidden.shape == (4, 16, 16, 16)
    assert torch.equal(both.image[2:], last.image)
    assert torch.equal(both.hidden[2:], last.hidden)
    assert not torch.equal(both.image[:2], last.image)
    assert not torch.equal(both.hidden[0], both.hidden[1])


def test_turned_crops_have_image_in_their_corners(plan_of: Callable[..., Plan]) -> None:
    config = MaeConfig().updated(
        ["engine.augment.rotation_probability=1", "engine.augment.offset_probability=0", "crops=16"]
    )
    config = config.updated(["engine.augment.brightness_probability=0"])
    volume = np.ones((1, 40, 40, 40), np.float16)
    crops = draw_crops([volume], [generator_for(0, 0, 0)], plan_of(), config)
    inside = crops.image.isclose(torch.ones(())).float().mean()
    assert inside > 0.97  # the rest reaches beyond the scan
