"""Models whose weights are random, for measurements of what happens around the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from medcontext import networks
from medcontext.card_schema import InputRange, InputSpec, ModelCard
from medcontext.library import save_model
from medcontext.plan import Channel, NetworkSpec


def untrained_model(
    folder: Path,
    channel: Channel,
    *,
    patch: int,
    spacing: float,
    labels: Sequence[str],
    reach: tuple[float, float, float],
    kwargs: Mapping[str, Any] | None = None,
) -> Path:
    """Save a small nnU-Net with random weights.

    Args:
        folder: of the model.
        channel: its only input.
        patch, spacing: side of a patch in voxels, and of a voxel in mm.
        labels: names of the structures.
        reach: smallest and largest voxel side, and largest side of an image, in mm, that it takes.
        kwargs: of the network, where they differ from the small one's.
    """
    smallest, largest, widest = reach
    side, size = (spacing,) * 3, (patch,) * 3
    keywords = networks.default_kwargs("dynunet", size, side, "small") | dict(kwargs or {})
    depth = len(keywords["filters"])
    keywords |= {key: keywords[key][:depth] for key in ("strides", "kernels")}
    limits = InputRange(
        spacing=((smallest,) * 3, (largest,) * 3), field_of_view=((1.0, 1.0, 1.0), (widest,) * 3)
    )
    card = ModelCard(
        id=folder.name,
        title=folder.name,
        method="supervised",
        network=NetworkSpec(name="dynunet", kwargs=keywords),
        input=InputSpec(channels=[channel], spacing=side, orientation="LPS", patch_size=size, range=limits),
        labels=[{"value": value, "name": name} for value, name in enumerate(labels, start=1)],
    )
    torch.manual_seed(0)
    network = networks.build(card.network, in_channels=1, classes=card.classes)
    save_model(folder, card, [network.state_dict()])
    return folder
