"""Clusters are cut into connected regions, and what is too small goes to a neighbour."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medcontext.errors import InputError
from medcontext.regions.bands import bands
from medcontext.regions.borders import Borders, borders_of

MOST = 250
"""Regions at most: their numbers fit into uint8, and nobody looks through more."""


def regions_of(clusters: np.ndarray, least_share: float = 0.001, most: int = MOST) -> np.ndarray:
    """Connected regions of an image: voxels that share a face and a cluster belong together.

    A region below ``least_share`` is merged into the neighbour with which it shares the longest border, tiny ones
    before larger ones, so that a region may hold voxels of several clusters. Where more than ``most`` are left, the
    smallest are merged likewise.

    Args:
        clusters: integers ``(K, J, I)``; a picture has one axis of length 1.
        least_share: of all voxels, 0 to 1.
        most: 1 to 255.

    Returns:
        uint8 ``(K, J, I)``: 1..n by size, the largest first; each is connected by faces and every voxel has one.

    Raises:
        InputError: there is no voxel, or a number is out of its range.
    """
    if clusters.ndim != 3 or not clusters.size:
        raise InputError(f"Clusters need three axes (K, J, I) and a voxel, not the shape {clusters.shape}.")
    if not 0 <= least_share <= 1 or not 1 <= most <= 255:
        raise InputError(
            f"The smallest region must be 0 to 1 of the image and the number of regions 1 to 255, not {least_share:g} "
            f"and {most}."
        )
    pieces, count = _pieces(clusters)
    merging = _Merging(np.bincount(pieces.ravel(), minlength=count), borders_of(pieces))
    least = least_share * clusters.size
    size = 2.0
    while size < least:
        merging.absorb_below(size)
        size *= 2
    merging.absorb_below(least)
    merging.keep(most)
    return merging.values[pieces]


def region_clusters(regions: np.ndarray, clusters: np.ndarray) -> list[int]:
    """The cluster that most voxels of each region have, the region with number 1 first.

    Args:
        regions: ``(K, J, I)``, 1..n.
        clusters: integers of the same shape.
    """
    lowest = int(clusters.min())
    width = int(clusters.max()) - lowest + 1
    counts = np.zeros((int(regions.max()) + 1) * width)
    for band in bands(regions.shape):
        pairs = regions[band].astype(np.int64) * width + (clusters[band] - lowest)
        counts += np.bincount(pairs.ravel(), minlength=len(counts))
    return [int(n) + lowest for n in counts.reshape(-1, width)[1:].argmax(1)]


def _pieces(clusters: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected pieces of all clusters, numbered from 0 by their first voxel: of the same shape, and how many.

    What the clusters are called then decides nothing, not even between neighbours that are equal in all else.
    """
    names, index = np.unique(clusters, return_inverse=True)
    values = index.reshape(clusters.shape).astype(np.int32) + 1
    pieces, count = np.empty(clusters.shape, np.int32), 0
    for value, box in enumerate(ndimage.find_objects(values, len(names)), 1):
        mine = values[box] == value
        found, number = ndimage.label(mine)
        pieces[box][mine] = found[mine] + (count - 1)
        count += number
    ranks = np.empty(count, np.int32)
    ranks[np.argsort(np.unique(pieces, return_index=True)[1])] = np.arange(count)
    return ranks[pieces], count


class _Merging:
    """Regions that are merged without looking at their voxels again.

    Args:
        sizes: voxels of each piece.
        borders: of the pieces.
    """

    def __init__(self, sizes: np.ndarray, borders: Borders) -> None:
        self._sizes = sizes
        self._borders = borders
        self._region_of = np.arange(len(sizes))  # of each piece

    @property
    def values(self) -> np.ndarray:
        """The number of the region of each piece, 1 for the largest; uint8."""
        ranks = np.empty(len(self._sizes), np.uint8)
        ranks[np.argsort(-self._sizes, kind="stable")] = np.arange(1, len(self._sizes) + 1)
        return ranks[self._region_of]

    def absorb_below(self, size: float) -> None:
        """Merge until each region, or the only one, has ``size`` voxels."""
        while len(self._sizes) > 1 and (small := self._sizes < size).any():
            self._absorb(small)

    def keep(self, most: int) -> None:
        """Merge the smallest until no more than ``most`` are left."""
        while (excess := len(self._sizes) - most) > 0:
            small = np.zeros(len(self._sizes), bool)
            small[np.argsort(self._sizes, kind="stable")[:excess]] = True
            self._absorb(small)

    def _absorb(self, small: np.ndarray) -> None:
        """Merge each of the ``small`` (bool, one a region) into its neighbour with the longest common border."""
        region, neighbour, faces = self._borders.both_ways()
        mine = small[region]
        region, neighbour, faces = region[mine], neighbour[mine], faces[mine]
        order = np.lexsort((neighbour, -self._sizes[neighbour], -faces, region))
        region, neighbour = region[order], neighbour[order]
        first = np.flatnonzero(np.diff(region, prepend=-1))
        links = coo_array((np.ones(len(first)), (region[first], neighbour[first])), (len(small),) * 2)
        count, merged = connected_components(links, directed=False)
        self._sizes = np.bincount(merged, self._sizes, count).astype(np.int64)
        old = self._borders
        self._borders = Borders.summed(merged[old.first], merged[old.second], old.faces)
        self._region_of = merged[self._region_of]
