"""Crops with hidden cells, drawn from volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from medcontext.data.augment.config import AugmentConfig
from medcontext.data.augment.draw import draw
from medcontext.data.augment.intensity import apply_intensity
from medcontext.data.augment.spatial import apply_spatial
from medcontext.data.boxes import cut_box, random_start
from medcontext.data.sampling import margin_of
from medcontext.masking.cells import draw_mask
from medcontext.methods.mae.config import MaeConfig
from medcontext.plan import Plan, Size

ALL_AXES = (0, 1, 2)
MARGIN_SHARE = 0.25
"""Image around each crop, as a share of its size, for corners that turn into it."""


@dataclass
class MaskedCrops:
    """What one step sees.

    Attributes:
        image: ``(B, C, K, J, I)`` float32.
        hidden: bool ``(B, K, J, I)``.
    """

    image: Tensor
    hidden: Tensor

    def to(self, device: torch.device) -> MaskedCrops:
        """The same on a device, without waiting for it."""
        return MaskedCrops(
            self.image.to(device, non_blocking=True), self.hidden.to(device, non_blocking=True)
        )


def draw_crops(
    volumes: Sequence[np.ndarray],
    generators: Sequence[np.random.Generator],
    plan: Plan,
    config: MaeConfig,
) -> MaskedCrops:
    """Crops at random places, ``config.crops`` of each volume, changed by ``config.engine.augment``.

    Args:
        volumes: ``(C, K, J, I)`` each.
        generators: random numbers of each volume.
        plan: size and spacing of a crop.
        config: with a mask that fits the network.
    """
    images, masks = [], []
    for volume, generator in zip(volumes, generators, strict=True):
        for _ in range(config.crops):
            images.append(_draw_crop(volume, generator, plan, config.engine.augment))
            masks.append(torch.from_numpy(draw_mask(config.mask, plan.patch_size, generator)))
    return MaskedCrops(torch.cat(images), torch.stack(masks))


def _draw_crop(
    volume: np.ndarray, generator: np.random.Generator, plan: Plan, config: AugmentConfig
) -> Tensor:
    """One crop, ``(1, C, *patch_size)`` float32."""
    size = plan.patch_size
    drawn = draw(config, generator, size, plan.spacing, ALL_AXES, len(volume))
    unmoved = drawn.spatial.is_crop and not any(drawn.spatial.offset)
    margin = (0, 0, 0) if unmoved else margin_of(size, MARGIN_SHARE)
    place = random_start(cast(Size, volume.shape[1:]), size, generator)
    start = cast(Size, tuple(p - m for p, m in zip(place, margin, strict=True)))
    grown = cast(Size, tuple(n + 2 * m for n, m in zip(size, margin, strict=True)))
    source = torch.from_numpy(cut_box(volume, start, grown, 0, np.float32))[None]
    image, _ = apply_spatial(source, None, [drawn.spatial], size)
    return apply_intensity(image, [drawn.intensity])
