"""A small model of two labels, as a card, as weights and as a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medcontext import networks
from medcontext.card_schema import InputRange, InputSpec, ModelCard, TrainingRecord
from medcontext.library import save_model
from medcontext.networks import SegmentationNetwork
from medcontext.plan import Channel, Fingerprint, NetworkSpec, Plan

PATCH = (16, 16, 16)
LABELS = [
    {"value": 1, "name": "anterior", "color": [230, 90, 60]},
    {"value": 4, "name": "posterior", "color": [60, 160, 230]},
]


@pytest.fixture
def a_card() -> ModelCard:
    kwargs = networks.default_kwargs("dynunet", PATCH, (1.0, 1.0, 1.0), "small") | {"filters": [4, 8, 8]}
    stages = {key: kwargs[key][:3] for key in ("strides", "kernels")}
    return ModelCard(
        id="tiny",
        title="Two labels",
        method="supervised",
        network=NetworkSpec(name="dynunet", kwargs=kwargs | stages | {"deep_heads": 1}),
        input=InputSpec(
            channels=[Channel(name="T1", modality="MRI")],
            spacing=(1.0, 1.0, 1.0),
            orientation="LPS",
            patch_size=PATCH,
            range=InputRange(spacing=((1, 1, 1), (1, 1, 1)), field_of_view=((30, 40, 30), (40, 60, 40))),
        ),
        labels=LABELS,
        training=TrainingRecord(
            shots=5, metrics={"labels": {"anterior": {"dice": {"mean": 0.875, "std": 0.02, "n": 50}}}}
        ),
        license="CC-BY-SA-4.0",
    )


@pytest.fixture
def a_plan(a_card: ModelCard) -> Plan:
    return Plan(
        channels=a_card.input.channels,
        labels=a_card.labels,
        spacing=a_card.input.spacing,
        patch_size=PATCH,
        batch_size=2,
        steps=10,
        network=a_card.network,
        fingerprint=Fingerprint(
            cases=5,
            median_shape=PATCH,
            median_spacing=(1, 1, 1),
            spacing_range=a_card.input.range.spacing,
            field_of_view_range=a_card.input.range.field_of_view,
            anisotropy=1.0,
        ),
    )


@pytest.fixture
def a_network(a_card: ModelCard) -> SegmentationNetwork:
    torch.manual_seed(0)
    return networks.build(a_card.network, 1, a_card.classes).eval()


@pytest.fixture
def a_model(tmp_path: Path, a_card: ModelCard, a_plan: Plan, a_network: SegmentationNetwork) -> Path:
    """The folder of a good model."""
    folder = tmp_path / "a model ü"
    files = {"training/log.jsonl": '{"step": 1}\n'}
    save_model(folder, a_card, [a_network.state_dict()], a_plan, files=files)
    return folder
