"""Where in a scan there is something to see, and whether what is to be seen is an image at all."""

from __future__ import annotations

import numpy as np

from medcontext.geometry import IndexBox
from medcontext.plan import Size

PERCENTILES = (0.5, 99.5)
"""What the range of an image is taken between: a few hot voxels or metal do not stretch it."""
PLANE_SHARE = 0.005
"""Share of a plane's voxels that must be foreground: the table's edge, a tube and noise do not widen the box."""
SAMPLES = 1_000_000
"""Voxels that statistics are taken of, at most (a regular subset)."""
FEW_VALUES = 16
"""An image of so few different whole numbers is none."""
MANY_VALUES = 256
"""Label maps hold fewer different numbers (whole bodies 120, brains 200)."""
SAME_SHARE = 0.5
"""Share of neighbours beside background that are equal: 0.68 to 0.99 in 130 label maps, below 0.22 in 90 scans."""


def foreground_box(array: np.ndarray, threshold: float, least: Size) -> IndexBox:
    """The box around what is brighter than ``threshold`` in any channel.

    Args:
        array: ``(C, K, J, I)``.
        threshold: share of the way from the darkest to the brightest voxel, see :data:`PERCENTILES`; 0..1.
        least: size of the box ``(K, J, I)``, which grows on both sides as far as the image reaches.

    Returns:
        Index ranges; of all where nothing is brighter.
    """
    shape = array.shape[1:]
    seen = [np.zeros(n, bool) for n in shape]
    for channel in array:
        low, high = np.percentile(_sample(channel), PERCENTILES)
        bright = channel > low + threshold * (high - low)
        for axis, planes in enumerate(seen):
            others = tuple(a for a in range(3) if a != axis)
            planes |= bright.mean(axis=others) > PLANE_SHARE
    k, j, i = (_grown(planes, wanted) for planes, wanted in zip(seen, least, strict=True))
    return k, j, i


def _grown(planes: np.ndarray, least: int) -> tuple[int, int]:
    """First and last index (excluded) of the planes that are set, and more on both sides until ``least`` are in."""
    found = np.flatnonzero(planes)
    first, last = (int(found[0]), int(found[-1]) + 1) if found.size else (0, len(planes))
    if last - first < least:
        first = max(0, min(first - (least - (last - first)) // 2, len(planes) - least))
        last = min(len(planes), first + least)
    return first, last


def looks_like_labels(array: np.ndarray) -> bool:
    """Whether an image ``(C, K, J, I)`` in its own units is a label map: few whole numbers, in patches."""
    return all(_patchy(channel) for channel in array)


def _patchy(channel: np.ndarray) -> bool:
    few = _sample(channel)
    if (few != np.rint(few)).any():
        return False
    values, counts = np.unique(few, return_counts=True)
    if len(values) > MANY_VALUES:
        return False
    if len(values) <= FEW_VALUES:
        return True
    background = values[counts.argmax()]
    planes = channel[:: max(1, channel.size // SAMPLES)]
    same = pairs = 0
    for left, right in ((planes[:, 1:], planes[:, :-1]), (planes[..., 1:], planes[..., :-1])):
        inside = (left != background) | (right != background)
        same += int(np.count_nonzero((left == right) & inside))
        pairs += int(np.count_nonzero(inside))
    return same > SAME_SHARE * pairs


def _sample(channel: np.ndarray) -> np.ndarray:
    flat = channel.reshape(-1)
    return flat[:: max(1, -(-flat.size // SAMPLES))]
