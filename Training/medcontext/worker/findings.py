"""What a labelmap holds: where each label lies and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from medcontext.voxel_counts import voxel_counts

Extent = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class Found(NamedTuple):
    """One label: the half-open index ranges ``(K, J, I)`` around its voxels, and their number."""

    extent: Extent
    voxels: int


def keep_only(labelmap: np.ndarray, values: Sequence[int]) -> None:
    """Turn all labels but ``values`` into background, in place.

    Args:
        labelmap: uint8 ``(K, J, I)``.
        values: labels to keep.
    """
    kept = np.zeros(256, np.uint8)
    kept[list(values)] = list(values)
    for plane in labelmap:  # a plane stays in the cache
        np.take(kept, plane, out=plane, mode="clip")


def find_labels(labelmap: np.ndarray) -> dict[int, Found]:
    """Place and size of every label that occurs.

    Args:
        labelmap: uint8 ``(K, J, I)``.
    """
    with ThreadPoolExecutor(1) as pool:
        extents = pool.submit(_extents, labelmap)
        counts = voxel_counts(labelmap)
        return {value: Found(box, int(counts[value])) for value, box in extents.result().items()}


def _extents(labelmap: np.ndarray) -> dict[int, Extent]:
    boxes = ndimage.find_objects(labelmap)
    ranges = ([(part.start, part.stop) for part in box] if box else None for box in boxes)
    return {value: (r[0], r[1], r[2]) for value, r in enumerate(ranges, start=1) if r}
