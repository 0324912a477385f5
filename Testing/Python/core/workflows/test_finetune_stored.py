"""Fine-tuning a model of nnU-Net: its axes, its cutting and its mirroring stay, slices are learnt as slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import nnunet_folders as folders
from medcontext.card_schema import ModelCard
from medcontext.data.adding import NewCase
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.devices import choose_device
from medcontext.engine.laterality import reason_against_any_flips
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet
from medcontext.library import read_card
from medcontext.library.import_model import import_model
from medcontext.plan import Plan
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import train
from medcontext.workflows.training_plan import plan_for_data

pytestmark = pytest.mark.usefixtures("undrawn")

Ball = Callable[..., tuple[Volume, Volume]]
TRANSPOSE = [1, 0, 2]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of slices of nnU-Net that looks at coronal ones of axial scans."""
    plans = folders.plans_json(
        {"2d": folders.configuration(dims=2)}, transpose_forward=TRANSPOSE, transpose_backward=TRANSPOSE
    )
    source = folders.nnunet_folder(tmp_path_factory.mktemp("results"), plans, name="2d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(tmp_path_factory.mktemp("home")))
        return import_model(source, id="slices").folder


def a_store(folder: Path, ball: Ball, labels: dict[int, str]) -> CaseStore:
    """Scans that do not lie as ours do, with air in front."""
    store = CaseStore.create(folder, LabelSet.from_names(labels), [("T1", "MRI")], name="Others")
    geometry = Geometry((14, 18, 16), np.diag([-1.0, -1.0, 1.5, 1.0]))
    for seed in range(2):
        image, label = ball(seed, geometry)
        image.array[:, :, :2] = 0
        values = np.array([0, 1, 0, 2], np.uint8)[label.array]
        store.add_case(NewCase([image], Volume(values, geometry), case_id=f"c{seed}", held_out=seed > 0))
    return store


def planned(store: CaseStore, parent: ModelCard) -> tuple[Plan, str]:
    said: list[dict] = []
    split = Split([store.cases[0]], [], [], [])
    request = TrainRequest(store.folder, store.folder / "child", "supervised", init_from="parent")
    plan = plan_for_data(request, store, split, choose_device("cpu"), parent, Reporter(said.append))
    return plan, " ".join(event["message"] for event in said if event["event"] == "warning")


def test_a_parent_of_slices_is_tuned_as_it_looks_at_scans(tmp_path: Path, ball: Ball, parent: Path) -> None:
    a_store(tmp_path / "store", ball, {1: "Anterior", 2: "Cyst"})
    options = {"steps": 1, "device": "cpu", "precision": "fp32", "init_from": str(parent)}
    request = TrainRequest(tmp_path / "store", tmp_path / "child", "medcontext", **options)
    card, given = train(request).card, read_card(parent)
    kept = ("dims", "orientation", "transpose", "crop_to_nonzero", "spacing", "patch_size", "channels")
    assert [getattr(card.input, key) for key in kept] == [getattr(given.input, key) for key in kept]
    assert card.input.transpose == (1, 0, 2)
    assert card.inference.resample == given.inference.resample
    assert (card.allowed_flips, card.inference.flips) == ([1, 2], [1, 2])
    assert [label.name for label in card.label_set] == ["Anterior", "Cyst", "Posterior"]
    seen = card.input.range
    assert seen.spacing[0] == pytest.approx((1.0, 1.5, 1.0))
    assert seen.field_of_view is not None
    assert seen.field_of_view[0] == pytest.approx((18.0, 21.0, 16.0))


def test_training_mirrors_as_the_parent_did_unless_that_mixes_up_sides(
    tmp_path: Path, ball: Ball, parent: Path
) -> None:
    card = read_card(parent)
    liver, said = planned(a_store(tmp_path / "a", ball, {1: "Liver", 2: "Cyst"}), card)
    assert liver.allowed_flips == [1, 2]
    assert "mirror" not in said
    kidneys, said = planned(a_store(tmp_path / "b", ball, {1: "kidney left", 2: "kidney right"}), card)
    assert kidneys.allowed_flips == []
    assert "does not mirror" in said
    turned = card.input.model_copy(update={"orientation": "RAS"})
    kidneys, said = planned(CaseStore(tmp_path / "b"), card.model_copy(update={"input": turned}))
    assert (kidneys.allowed_flips, kidneys.flip_pairs) == ([1, 2], [(1, 2)])


@pytest.mark.parametrize(
    ("names", "side", "reason"),
    [
        (["liver", "spleen"], None, ""),
        (["kidney left", "kidney right"], None, "do not say which axis"),
        (["kidney left", "kidney right"], 2, ""),
        (["kidney left", "liver"], 2, "no partner"),
    ],
)
def test_sides_that_mirroring_mixes_up(names: list[str], side: int | None, reason: str) -> None:
    labels = LabelSet.from_names(dict(enumerate(names, start=1)))
    found = reason_against_any_flips(labels, side)
    assert bool(found) == bool(reason)
    assert reason in found
