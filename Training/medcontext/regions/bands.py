"""A grid in parts, so that counting in an image of any size takes bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

BAND_VOXELS = 2**22
"""Voxels that are counted at a time: 32 MiB of float64."""


def bands(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """The grid in parts along its longest axis."""
    axis = shape.index(max(shape))
    thick = max(1, BAND_VOXELS * shape[axis] // prod(shape))
    for start in range(0, shape[axis], thick):
        band = [slice(0, n) for n in shape]
        band[axis] = slice(start, min(start + thick, shape[axis]))
        yield band[0], band[1], band[2]
