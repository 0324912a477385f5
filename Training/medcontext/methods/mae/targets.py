"""What is to be rebuilt, how far off it is, and how far off a guess would be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medcontext.methods.mae.config import MaeConfig
from medcontext.plan import Size

EPSILON = 1e-6
"""Added to variances (He et al., CVPR 2022)."""


def target_of(image: Tensor, config: MaeConfig) -> Tensor:
    """What is to be rebuilt of ``(B, C, K, J, I)``, in the same shape."""
    if not config.normalise_cells:
        return image
    mean, deviation = cell_statistics(image, cell_of(config))
    return (image - mean) / deviation


def image_of(target: Tensor, image: Tensor, config: MaeConfig) -> Tensor:
    """Grey values of what was rebuilt; each cell's mean and deviation, where taken away, come from ``image``."""
    if not config.normalise_cells:
        return target
    mean, deviation = cell_statistics(image, cell_of(config))
    return target * deviation + mean


def cell_of(config: MaeConfig) -> Size:
    """Voxels of a cell along (K, J, I)."""
    cell = config.mask.cell
    return (cell,) * 3 if isinstance(cell, int) else cell


def error_of_hidden(rebuilt: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over hidden voxels and all channels; a number.

    Args:
        rebuilt, target: ``(B, C, K, J, I)``.
        hidden: bool ``(B, K, J, I)``; True somewhere.
    """
    square = (rebuilt.float() - target.float()).square().mean(1)
    return (square * hidden).sum() / hidden.sum()


def statistics_of_seen(image: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of what is seen of each crop and channel.

    Args:
        image: ``(B, C, K, J, I)``.
        hidden: bool ``(B, K, J, I)``; False somewhere in each crop.

    Returns:
        Two tensors ``(B, C, 1, 1, 1)``.
    """
    seen = ~hidden.unsqueeze(1)
    axes = (2, 3, 4)
    count = seen.sum(axes, keepdim=True)
    mean = (image * seen).sum(axes, keepdim=True) / count
    variance = ((image - mean).square() * seen).sum(axes, keepdim=True) / count
    return mean, (variance + EPSILON).sqrt()


def cell_statistics(image: Tensor, cell: Size) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the cell that each voxel lies in; cells at the far ends may be cut.

    Args:
        image: ``(B, C, K, J, I)``.
        cell: voxels along each axis.

    Returns:
        Two tensors of the image's shape.
    """
    size = image.shape[2:]
    padding = [n for c, length in zip(cell[::-1], size[::-1], strict=True) for n in (0, -length % c)]
    inside = nn.functional.pad(torch.ones_like(image[:1, :1]), padding)

    def mean(x: Tensor) -> Tensor:
        pooled = [nn.functional.avg_pool3d(y, cell) for y in (nn.functional.pad(x, padding), inside)]
        spread = pooled[0] / pooled[1]
        for axis, repeats in enumerate(cell, start=2):
            spread = spread.repeat_interleave(repeats, axis)
        return spread[..., : size[0], : size[1], : size[2]]

    average = mean(image)
    return average, (mean((image - average).square()) + EPSILON).sqrt()
