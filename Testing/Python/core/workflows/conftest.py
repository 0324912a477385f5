"""A store of bright balls in noise, and a tiny model that learnt to find them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import train

SHAPE, SPACING = (14, 16, 18), (2.0, 1.5, 1.0)


def a_ball(seed: int, geometry: Geometry | None = None) -> tuple[Volume, Volume]:
    """A ball of 6 mm radius near the middle; its lower half (label 3) is brighter than the upper (1)."""
    generator = np.random.default_rng(seed)
    geometry = geometry or Geometry.from_spacing(SHAPE, SPACING)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    middle = geometry.index_to_lps((np.array(geometry.shape) - 1) / 2) + generator.uniform(-1.5, 1.5, 3)
    offset = geometry.index_to_lps(index) - middle
    inside = np.linalg.norm(offset, axis=-1) < 6
    labels = np.where(inside, np.where(offset[..., 2] < 0, 3, 1), 0).astype(np.uint8)
    image = generator.normal(0, 10, geometry.shape) + np.array([0, 100, 0, 200])[labels]
    return Volume(image[None].astype(np.float32), geometry), Volume(labels[None], geometry)


@pytest.fixture(scope="session")
def ball() -> Callable[..., tuple[Volume, Volume]]:
    """``ball(seed, geometry=None)``: a scan and its labels."""
    return a_ball


@pytest.fixture(scope="session")
def a_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cases to learn from and two to score."""
    folder = tmp_path_factory.mktemp("store") / "balls of ümlaut"
    labels = LabelSet.from_names({1: "Upper", 3: "Lower"})
    store = CaseStore.create(folder, labels, [("T1", "MRI")], name="Balls")
    for seed in range(5):
        image, label = a_ball(seed)
        store.add_case(NewCase([image], label, case_id=f"ball_{seed}", held_out=seed > 2))
    return folder


@pytest.fixture(scope="session")
def a_model(tmp_path_factory: pytest.TempPathFactory, a_store: Path) -> Path:
    """A model folder, made by a training of a few seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(tmp_path_factory.mktemp("home")))
        folder = tmp_path_factory.mktemp("models") / "balls"
        settings = ["plan.network.kwargs.filters=[8,16,16]", "plan.allowed_flips=[]"]
        settings += ["engine.optimiser.learning_rate=1e-2"]
        request = TrainRequest(
            a_store, folder, "supervised", settings=settings, steps=40, device="cpu", precision="fp32"
        )
        return train(request).folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings leave empty pictures behind: drawing takes half of the time of a short one, and is tested alone."""
    monkeypatch.setattr("medcontext.workflows.verdict.draw_overlay", lambda path, *_: path.touch())
    monkeypatch.setattr("medcontext.engine.log.draw_curve", lambda _records, path: path.touch())
