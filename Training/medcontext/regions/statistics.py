"""What is known of each region: how large, how bright, where, and how it differs from what surrounds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from scipy import ndimage

from medcontext.geometry import Geometry, IndexBox, Triple, Volume
from medcontext.regions.bands import BAND_VOXELS, bands
from medcontext.regions.borders import borders_of
from medcontext.regions.extraction import region_clusters


@dataclass(frozen=True)
class RegionFacts:
    """A region. Indices are ``(k, j, i)``, positions LPS in mm.

    Attributes:
        value: its number.
        cluster: that most of its voxels have; None where nobody gave the clusters.
        voxels: how many.
        area_mm2: in a plane; None in a volume.
        volume_ml: in a volume; None in a plane.
        share: of all voxels.
        mean: of each channel.
        sd: of each channel.
        contrast: how far its mean lies from that of its neighbours, in standard deviations of the image.
        box: half-open index ranges.
        centroid: mean index.
        centroid_lps: its position.
        deepest: index of the voxel that is farthest from other regions and from the border of the image.
        deepest_lps: its position.
        border_share: of the voxels at the border of the image.
    """

    value: int
    cluster: int | None
    voxels: int
    area_mm2: float | None
    volume_ml: float | None
    share: float
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    contrast: float
    box: IndexBox
    centroid: tuple[float, float, float]
    centroid_lps: tuple[float, float, float]
    deepest: Triple
    deepest_lps: tuple[float, float, float]
    border_share: float

    @property
    def touches_border(self) -> bool:
        """Whether it reaches the border of the image."""
        return self.border_share > 0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {**asdict(self), "touches_border": self.touches_border}


def facts_of(
    regions: np.ndarray, image: Volume, plane: int | None = None, clusters: np.ndarray | None = None
) -> list[RegionFacts]:
    """The facts of all regions, in the order of their numbers.

    Args:
        regions: uint8 ``(K, J, I)`` on the grid of the image; 1..n without a gap, every voxel has one.
        image: ``(C, K, J, I)``, finite.
        plane: array axis of length 1 across which the image is a picture; None for a volume.
        clusters: integers ``(K, J, I)`` that the regions were cut from.
    """
    count = int(regions.max())
    sums = _Sums(regions, image.array, count)
    names = [None] * count if clusters is None else region_clusters(regions, clusters)
    boxes = [
        ((k.start, k.stop), (j.start, j.stop), (i.start, i.stop)) for k, j, i in ndimage.find_objects(regions)
    ]
    deepest = _deepest_points(regions, count, image.spacing)
    border = _border_shares(regions, sums.voxels)
    contrast = _contrasts(regions, sums)
    size = _voxel_size(image.geometry, plane)
    found = []
    for n, voxels in enumerate(sums.voxels.astype(int).tolist()):
        centroid = sums.centroid[:, n]
        found.append(
            RegionFacts(
                value=n + 1,
                cluster=names[n],
                voxels=voxels,
                area_mm2=None if plane is None else voxels * size,
                volume_ml=voxels * size if plane is None else None,
                share=voxels / regions.size,
                mean=tuple(sums.mean[:, n].tolist()),
                sd=tuple(sums.sd[:, n].tolist()),
                contrast=float(contrast[n]),
                box=boxes[n],
                centroid=_three(centroid),
                centroid_lps=_three(image.geometry.index_to_lps(centroid)),
                deepest=deepest[n],
                deepest_lps=_three(image.geometry.index_to_lps(np.array(deepest[n]))),
                border_share=float(border[n]),
            )
        )
    return found


class _Sums:
    """Means of each region, read band by band so that memory stays bounded.

    Attributes:
        voxels: ``(n,)``.
        mean: ``(C, n)``.
        sd: ``(C, n)``.
        centroid: ``(3, n)``, mean index ``(k, j, i)``.
        whole_sd: ``(C,)``, of the image.
    """

    def __init__(self, regions: np.ndarray, image: np.ndarray, count: int) -> None:
        self.voxels = _counts(regions, count)
        places = np.zeros((3, count))
        total, squares = np.zeros((2, len(image), count))
        # Squares of numbers around 0 lose nothing; those around 30000, as 16-bit pictures have them, would.
        middle = [float(channel.flat[0]) for channel in image]
        for band in bands(regions.shape):
            names = regions[band].ravel().astype(np.intp) - 1
            for axis, index in enumerate(np.ogrid[band]):
                weights = np.broadcast_to(index, regions[band].shape).ravel()
                places[axis] += np.bincount(names, weights, count)
            for c, channel in enumerate(image):
                values = channel[band].ravel().astype(np.float64) - middle[c]
                total[c] += np.bincount(names, values, count)
                squares[c] += np.bincount(names, values**2, count)
        mean = total / self.voxels
        self.mean = mean + np.array(middle)[:, None]
        self.sd = np.sqrt(np.maximum(squares / self.voxels - mean**2, 0))
        self.centroid = places / self.voxels
        whole = squares.sum(1) / regions.size - (total.sum(1) / regions.size) ** 2
        self.whole_sd = np.sqrt(np.maximum(whole, 0))


def _contrasts(regions: np.ndarray, sums: _Sums) -> np.ndarray:
    """Distance between the mean of each region and that of its neighbours, each of which counts as much as its border
    is long: root mean square over the channels, in standard deviations of the image."""
    region, neighbour, faces = borders_of(regions).both_ways()
    count = len(sums.voxels)
    around = np.array([np.bincount(region - 1, faces * mean[neighbour - 1], count) for mean in sums.mean])
    length = np.bincount(region - 1, faces, count)
    differing = sums.whole_sd > 0
    if not differing.any():
        return np.zeros(count)
    alone = length == 0
    steps = sums.mean - around / np.where(alone, 1, length)
    scaled = steps[differing] / sums.whole_sd[differing, None]
    return np.where(alone, 0.0, np.sqrt((scaled**2).mean(0)))


def _deepest_points(regions: np.ndarray, count: int, spacing: tuple[float, float, float]) -> list[Triple]:
    """The voxel of each region that is farthest from its own rim; every n-th voxel is looked at in a large image."""
    step = 1
    while prod(-(-n // step) for n in regions.shape) > BAND_VOXELS:
        step += 1
    seen = regions[::step, ::step, ::step]
    inside = np.ones(seen.shape, bool)
    for axis in (axis for axis in range(3) if seen.shape[axis] > 1):
        here, inner = np.moveaxis(seen, axis, 0), np.moveaxis(inside, axis, 0)
        same = here[1:] == here[:-1]
        inner[1:] &= same
        inner[:-1] &= same
        inner[[0, -1]] = False
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    found = ndimage.maximum_position(depth, seen, range(1, count + 1))
    missed = set(range(1, count + 1)) - set(np.unique(seen).tolist())
    points = [(int(k) * step, int(j) * step, int(i) * step) for k, j, i in found]
    for value in missed:  # thinner than the steps: any voxel of it
        points[value - 1] = tuple(
            int(n) for n in np.unravel_index((regions == value).argmax(), regions.shape)
        )  # type: ignore[assignment]
    return points


def _border_shares(regions: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """The share of each region in the voxels at the border; an axis of length 1 has no border."""
    inner = tuple(slice(1, -1) if n > 1 else slice(None) for n in regions.shape)
    at_border = voxels - _counts(regions[inner], len(voxels))
    return np.asarray(at_border / max(1, at_border.sum()))


def _counts(regions: np.ndarray, count: int) -> np.ndarray:
    """Voxels of each region, float64."""
    counts = np.zeros(count)
    for band in bands(regions.shape) if regions.size else ():
        counts += np.bincount(regions[band].ravel(), minlength=count + 1)[1:]
    return counts


def _voxel_size(geometry: Geometry, plane: int | None) -> float:
    """Millilitres of a voxel, or square millimetres of a pixel of a plane."""
    if plane is None:
        return geometry.voxel_ml
    one, other = (geometry.affine[:3, 2 - axis] for axis in range(3) if axis != plane)
    return float(np.linalg.norm(np.cross(one, other)))


def _three(values: np.ndarray) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
