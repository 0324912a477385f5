"""Which regions touch, and along how many faces of voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Borders:
    """Common borders of regions; each pair stands once.

    Attributes:
        first: number of a region.
        second: number of its neighbour, always the larger number.
        faces: voxel faces between them; edges of pixels in a picture.
    """

    first: np.ndarray
    second: np.ndarray
    faces: np.ndarray

    @classmethod
    def summed(cls, first: np.ndarray, second: np.ndarray, faces: np.ndarray) -> Borders:
        """The same with each pair once, in whatever order and how often it is given; no region touches itself."""
        other = first != second
        low, high = np.minimum(first, second)[other], np.maximum(first, second)[other]
        base = int(high.max(initial=0)) + 1
        keys, place = np.unique(low.astype(np.int64) * base + high, return_inverse=True)
        counts = np.bincount(place.ravel(), faces[other], len(keys))
        return cls(keys // base, keys % base, counts)

    def both_ways(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each pair from both sides: region, neighbour, faces."""
        return (
            np.concatenate([self.first, self.second]),
            np.concatenate([self.second, self.first]),
            np.concatenate([self.faces, self.faces]),
        )


def borders_of(regions: np.ndarray) -> Borders:
    """The common borders of regions ``(K, J, I)``, numbers of 0 or more."""
    pairs = []
    for axis in range(3):
        along = np.moveaxis(regions, axis, 0)
        before, after = along[:-1], along[1:]
        differ = before != after
        pairs.append((before[differ], after[differ]))
    first, second = (np.concatenate([pair[side] for pair in pairs]).astype(np.int64) for side in (0, 1))
    return Borders.summed(first, second, np.ones(len(first)))
