"""Random changes of an image, and of labels along with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medcontext.methods.s3net.config import ChangesConfig


@dataclass(frozen=True)
class Change:
    """Turned, mirrored and scaled about the centre; the size stays.

    Attributes:
        grid: where each voxel comes from, ``(1, *spatial, dims)``: -1 and 1 are the edges of the image, I comes first.
    """

    grid: Tensor

    @property
    def valid(self) -> Tensor:
        """bool ``(1, *spatial)``: voxels that come from within the image."""
        return (self.grid.abs() <= 1).all(-1)

    def image(self, image: Tensor) -> Tensor:
        """``(1, C, *spatial)`` by linear interpolation; what lies outside is a mirror image of what lies inside."""
        return functional.grid_sample(image, self.grid, padding_mode="reflection", align_corners=False)

    def labels(self, labels: Tensor) -> Tensor:
        """``(1, *spatial)`` int64 from the nearest voxel; outside from the border."""
        moved = functional.grid_sample(
            labels.unsqueeze(1).float(), self.grid, "nearest", padding_mode="border", align_corners=False
        )
        return moved.squeeze(1).long()


def draw_change(image: Tensor, config: ChangesConfig, generator: np.random.Generator) -> Change:
    """A change of an image ``(1, C, *spatial)``."""
    sizes = image.shape[2:]
    matrix = np.eye(len(sizes))
    a, b = generator.choice(len(sizes), 2, replace=False)
    angle = radians(generator.uniform(-config.turn, config.turn))
    matrix[[a, a, b, b], [a, b, a, b]] = cos(angle), -sin(angle), sin(angle), cos(angle)
    mirrored = np.where(generator.random(len(sizes)) < config.flip, -1.0, 1.0)
    matrix = matrix * mirrored / generator.uniform(1 - config.scale, 1 + config.scale)
    # In the units of affine_grid an axis is 2 long whatever its size, and I comes first.
    scaled = (matrix * np.array(sizes) / np.array(sizes)[:, None])[::-1, ::-1]
    theta = torch.zeros(1, len(sizes), len(sizes) + 1)
    theta[0, :, :-1] = torch.from_numpy(scaled.copy())
    grid = functional.affine_grid(theta, [1, 1, *sizes], align_corners=False)
    return Change(grid.to(image.device))
