"""A box of a scan as a crop of another size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medcontext.plan import Size


def cut(volume: np.ndarray, start: np.ndarray, extent: np.ndarray, size: Size) -> Tensor:
    """A box of a scan, ``(C, *size)`` float32.

    Voxels are copied where the box has ``size`` whole ones; else interpolation is linear and, where voxels are merged,
    weighted over all that a new one covers.

    Args:
        volume: ``(C, K, J, I)``, a memory map for one; only the box is read.
        start: voxels from the corner of the scan to that of the box, ``(3,)``.
        extent: of the box, in voxels, ``(3,)``; it lies inside the scan.
        size: of the crop.
    """
    axes = [
        _along_axis(*numbers)
        for numbers in zip(start.tolist(), extent.tolist(), volume.shape[1:], size, strict=True)
    ]
    box = tuple(source for source, _ in axes)
    crop = torch.from_numpy(volume[(slice(None), *box)].astype(np.float32))
    for axis, (_, weights) in enumerate(axes, start=1):
        if weights is not None:
            crop = torch.tensordot(crop, weights, dims=([axis], [1])).movedim(-1, axis)
    return crop.contiguous()


def _along_axis(start: float, extent: float, length: int, size: int) -> tuple[slice, Tensor | None]:
    """The voxels that a side of a box needs and the weights ``(size, voxels)`` that make the crop of them.

    None stands for weights that change nothing.
    """
    if extent == size and start.is_integer():
        return slice(int(start), int(start) + size), None
    step = extent / size
    reach = max(1.0, step)  # a triangle as wide as a new voxel, and no narrower than an old one
    centres = start + (np.arange(size) + 0.5) * step - 0.5
    first, last = (
        max(0, int(np.floor(centres[0] - reach)) + 1),
        min(length, int(np.ceil(centres[-1] + reach))),
    )
    distance = np.abs(np.arange(first, last) - centres[:, None])
    weights = np.maximum(0.0, 1 - distance / reach)
    return slice(first, last), torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32))
