"""A model card and networks so simple that their answer can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from medcontext.card_schema import InferenceSpec, InputRange, InputSpec, ModelCard
from medcontext.devices import Device
from medcontext.geometry import Geometry, Volume
from medcontext.plan import Channel, Intensity, NetworkSpec, ResamplePlan

MakeCard = Callable[..., ModelCard]


@pytest.fixture
def cpu() -> Device:
    return Device(torch.device("cpu"), "CPU", "for tests")


@pytest.fixture
def make_card() -> MakeCard:
    """A card for ``labels`` labels whose images are taken as they are, 1 mm voxels, unless told otherwise."""

    def make(
        labels: int = 1,
        *,
        patch: tuple[int, int, int] = (8, 8, 8),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        orientation: str = "LPS",
        channels: int = 1,
        intensity: Intensity | None = None,
        field_of_view: tuple[float, float, float] = (500.0, 500.0, 500.0),
        separate_z: int | None = None,
        inference: dict[str, Any] | None = None,
        **card: Any,
    ) -> ModelCard:
        inputs = [
            Channel(name=f"c{n}", modality="MRI", intensity=intensity or Intensity(kind="none"))
            for n in range(channels)
        ]
        extent = InputRange(spacing=((0.5,) * 3, (4.0,) * 3), field_of_view=((1.0,) * 3, field_of_view))
        return ModelCard(
            id="toy",
            title="Toy",
            method="supervised",
            network=NetworkSpec(name="toy"),
            input=InputSpec(
                channels=inputs, spacing=spacing, orientation=orientation, patch_size=patch, range=extent
            ),
            labels=[{"value": n, "name": f"label {n}"} for n in range(1, labels + 1)],
            inference=InferenceSpec(resample=ResamplePlan(separate_z=separate_z), **(inference or {})),
            **card,
        )

    return make


@pytest.fixture
def noise() -> Callable[..., Volume]:
    """An image of one-channel noise on a grid of 1 mm."""

    def make(shape: tuple[int, int, int] = (12, 13, 14), seed: int = 0) -> Volume:
        array = np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)
        return Volume(array, Geometry.from_spacing(shape))

    return make


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network calls but those for windows."""
    monkeypatch.setattr("medcontext.inference.plan.MINIMUM_CALLS", 10**9)


class Pointwise(nn.Module):
    """Scores that depend on nothing but the voxel itself: windows cannot change them."""

    def __init__(self, weight: list[float], bias: list[float]) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, len(weight), 1)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.tensor(weight).view(-1, 1, 1, 1, 1))
            self.convolution.bias.copy_(torch.tensor(bias))
        self.calls = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += len(image)
        return self.convolution(image)


@pytest.fixture
def threshold() -> Pointwise:
    """Background below zero, label 1 above."""
    return Pointwise([0.0, 1.0], [0.0, 0.0])


@pytest.fixture
def bands() -> Pointwise:
    """Five classes that follow each other with rising grey value, borders at -1.5, -0.5, 0.5 and 1.5."""
    centres = [-2.0, -1.0, 0.0, 1.0, 2.0]
    return Pointwise(centres, [-c * c / 2 for c in centres])
