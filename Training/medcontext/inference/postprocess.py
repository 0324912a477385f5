"""Clean-up of a finished labelmap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

CONNECTIVITY = np.ones((3, 3, 3), bool)
"""Voxels that share a face, an edge or a corner belong together."""


def keep_largest_component(labelmap: np.ndarray, values: Sequence[int]) -> int:
    """Turn all but the largest connected piece of each label into background, in place.

    Args:
        labelmap: uint8 ``(K, J, I)``.
        values: label values to clean; others stay as they are.

    Returns:
        Number of voxels removed.
    """
    if not values:
        return 0
    boxes = ndimage.find_objects(labelmap)
    removed = 0
    for value in values:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        part = labelmap[box]
        pieces, count = ndimage.label(part == value, CONNECTIVITY)
        if count < 2:
            continue
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        outside = (pieces != sizes.argmax()) & (pieces > 0)
        part[outside] = 0
        removed += int(outside.sum())
    return removed
