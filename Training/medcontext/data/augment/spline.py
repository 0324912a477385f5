"""Smooth fields from a few control points: cubic splines along each axis as small matrix products."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.interpolate import make_interp_spline


@lru_cache(maxsize=64)
def _weights(points: int, size: int) -> torch.Tensor:
    """``(size, points)``: the spline through evenly spaced control points, at ``size`` even positions."""
    if points == 1:
        return torch.ones(size, 1)
    degree = min(3, points - 1)
    ends = "natural" if degree == 3 else None  # natural ends do not overshoot beside the border
    spline = make_interp_spline(np.arange(points), np.eye(points), k=degree, bc_type=ends)
    return torch.from_numpy(spline(np.linspace(0, points - 1, size)).astype(np.float32))


def upsample(control: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """The smooth field through control points.

    Args:
        control: ``(a, b, c, F)`` values; the first and the last point lie on the first and the last voxel.
        size: voxels ``(K, J, I)`` of the field.

    Returns:
        ``(K, J, I, F)`` on the device of ``control``.
    """
    k, j, i = (_weights(n, s).to(control) for n, s in zip(control.shape[:3], size, strict=True))
    field = torch.einsum("ic,abcf->abif", i, control)
    field = torch.einsum("jb,abif->ajif", j, field)
    return (k @ field.reshape(len(field), -1)).reshape(*size, control.shape[3])
