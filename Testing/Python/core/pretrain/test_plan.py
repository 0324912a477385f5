"""The plan of a pre-training follows scans, settings and network; the words follow the signals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext import networks
from medcontext.data.adding import NewCase
from medcontext.data.scans import pooled_scans
from medcontext.data.store import CaseStore
from medcontext.errors import ResourceError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.labels import LabelSet
from medcontext.plan import Plan
from medcontext.workflows import pretrain_plan
from medcontext.workflows.beforehand import method_config
from medcontext.workflows.pretrain import PretrainRequest
from medcontext.workflows.pretrain_plan import plan_pretraining, recipe_of
from medcontext.workflows.pretrain_signals import doubts, sentence
from medcontext.workflows.pretrain_start import start_of

Scan = Callable[..., Volume]


def plan_of(data: Path, *settings: str, **changes) -> Plan:
    request = PretrainRequest((data,), Path("out"), settings=settings, **changes)
    found = pooled_scans(request.data)
    config = method_config(request)
    start = start_of(request)
    return plan_pretraining(request, config, start, found.scans, found.channels, "cpu", Reporter())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory, scan: Scan) -> Path:
    """Scans of about 35 x 50 x 36 voxels of 2 mm, as crops around an organ have them."""
    folder = tmp_path_factory.mktemp("crops")
    for seed, shape in enumerate([(35, 50, 36), (33, 52, 36), (36, 49, 37)]):
        write_volume(folder / f"{seed}.nii.gz", scan(seed, shape, 2.0))
    return folder


def test_the_crops_of_a_grid_cover_about_the_median_scan(crops: Path) -> None:
    plan = plan_of(crops)
    assert plan.spacing == (2.0, 2.0, 2.0)
    assert (plan.labels, plan.classes) == ([], 1)
    region = np.multiply(plan.patch_size, (1, 3, 3))
    assert np.all(region <= np.array(plan.fingerprint.median_shape) * 1.5)
    assert np.all(region >= np.array(plan.fingerprint.median_shape) * 0.6)
    networks.check_patch(plan.network.name, plan.network.kwargs, plan.patch_size)


def test_a_crop_to_be_rebuilt_is_as_large_as_a_patch_to_be_segmented(crops: Path) -> None:
    assert np.prod(plan_of(crops, method="mae").patch_size) > 4 * np.prod(plan_of(crops).patch_size)


@pytest.mark.parametrize("name", ["segresnet", "swin_unetr", "unetr"])  # pool, need 64, need one size
def test_a_network_gets_a_crop_that_it_takes(crops: Path, name: str) -> None:
    plan = plan_of(crops, network=name)
    assert plan.network.name == name
    networks.check_patch(name, plan.network.kwargs, plan.patch_size)


def test_what_is_wished_is_done(crops: Path) -> None:
    settings = ("spacing=1", "crop_size=[16,24,24]", "window=[-175,250]", "plan.batch_size=3", "plan.steps=7")
    plan = plan_of(crops, *settings)
    assert (plan.spacing, plan.patch_size) == ((1.0, 1.0, 1.0), (16, 24, 24))
    assert (plan.batch_size, plan.steps) == (3, 7)
    scale = plan.channels[0].intensity
    assert (scale.kind, scale.low, scale.high, scale.mean, scale.std) == ("ct", -175, 250, -175, 425)
    request = PretrainRequest((crops,), Path("out"), settings=("foreground=null",))
    recipe = recipe_of(plan, method_config(request))  # type: ignore[arg-type]
    assert (recipe.region, recipe.foreground) == ((16, 72, 72), None)


def test_a_data_set_of_ct_is_clipped_as_a_training_on_it_does(tmp_path: Path) -> None:
    store = CaseStore.create(tmp_path / "store", LabelSet.from_names({1: "Box"}), [("CT", "CT")])
    image = np.full((1, 24, 32, 32), -1000, np.float32)
    image[:, 4:20, 4:28, 4:28] = np.random.default_rng(0).normal(50, 20, (16, 24, 24))
    store.add_case(NewCase([Volume(image, Geometry.from_spacing(image.shape[1:], (1.0, 1.0, 1.0)))]))
    scale = plan_of(store.folder).channels[0].intensity
    assert scale.kind == "ct"
    assert scale.low is not None
    assert scale.high is not None
    assert -100 < scale.low < 50 < scale.high < 200


def test_scans_are_shared_evenly_by_processes(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert plan_of(crops).batch_size == 3


def test_too_little_memory_is_said_before_anything_is_learnt(
    crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain_plan, "memory_at_hand", lambda _: 2 * 10**9)
    with pytest.raises(ResourceError, match=r"13 crops of 64 x 64 x 64 voxels needs about \d"):
        plan_of(crops, "crop_size=64", size="large")


def test_signals_are_told_beside_what_they_must_beat() -> None:
    found = {"position_accuracy": 0.41, "chance": 1 / 9, "prediction_loss": 0.28, "best_constant": 0.357}
    assert sentence(found, 5, held_out=True) == (
        "It finds the place of a crop in 41 % of the cases on 5 held-out scans (chance 11 %); prediction loss 0.28, "
        "the best constant 0.357."
    )
    assert doubts({**found, "effective_rank": 20.0}) == []
    assert "on 1 scan that it learnt from" in sentence(
        {"reconstruction_error": 0.3, "mean_error": 1.0}, 1, False
    )
    assert sentence({}, 0, held_out=True) == ""


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ({"prediction_loss": 0.36, "best_constant": 0.357}, "not learnt more than"),
        ({"prediction_loss": 0.2, "best_constant": 0.357, "effective_rank": 1.2}, "all alike"),
        ({"reconstruction_error": 1.1, "mean_error": 1.0}, "no better than the mean"),
    ],
)
def test_an_encoder_that_learnt_nothing_is_warned_of(signals: dict[str, float], said: str) -> None:
    assert said in " ".join(doubts(signals))
