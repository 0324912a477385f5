"""Boxes cut out of arrays. Sizes and places are ``(K, J, I)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from medcontext.plan import Size


def cut_box(array: np.ndarray, start: Size, size: Size, fill: float, dtype: Any) -> np.ndarray:
    """The box of ``size`` voxels from index ``start``, which may reach outside the array.

    Args:
        array: ``(..., K, J, I)``; may be a memory map, of which only the box is read.
        start: first voxel; may be negative.
        size: voxels of the box.
        fill: value outside the array.
        dtype: of the box.

    Returns:
        A copy ``(..., *size)``.
    """
    lead, shape = array.shape[:-3], array.shape[-3:]
    box = np.full((*lead, *size), fill, dtype)
    source = [slice(max(0, s), min(n, s + w)) for s, w, n in zip(start, size, shape, strict=True)]
    if all(r.start < r.stop for r in source):
        k, j, i = (slice(r.start - s, r.stop - s) for r, s in zip(source, start, strict=True))
        box[..., k, j, i] = array[..., source[0], source[1], source[2]]
    return box


def random_start(shape: Size, size: Size, generator: np.random.Generator) -> Size:
    """First voxel of a box anywhere inside; on an axis that is shorter than the box the array is centred in it."""
    k, j, i = (
        int(generator.integers(0, n - w + 1)) if n > w else -((w - n) // 2)
        for n, w in zip(shape, size, strict=True)
    )
    return k, j, i
