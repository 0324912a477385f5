"""What regions are looked for in: an image, or a reduced copy of one that is too large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.io.images import check_finite
from medcontext.resample import nearest

STAGE = "propose"
"""Name under which progress is told."""
LEAST_PIXELS, LEAST_VOXELS = 16, 8
"""Sides of the smallest picture and of the smallest volume in which regions can be told apart."""
MOST_PIXELS, MOST_VOXELS = 2048, 96
"""Sides of the largest picture and of the largest volume that are worked on as they are."""
LARGEST_VOLUME = 512
"""Voxels along a side of the largest volume of which a reduced copy still shows something."""


@dataclass(frozen=True, eq=False)
class WorkingCopy:
    """An image to work on, and the way back to the image that was given.

    Attributes:
        image: float32 ``(C, K, J, I)``, the reduced copy or the image itself.
        whole: grid of the image that was given.
    """

    image: Volume
    whole: Geometry

    @classmethod
    def of(cls, image: Volume) -> WorkingCopy:
        """Check an image and reduce it where it is too large.

        Raises:
            InputError: the image has one value everywhere, is too small or too large, or holds NaN or infinity.
        """
        shape = image.shape
        _check_size(shape)
        check_finite(image.array, "The image")
        if all(channel.min() == channel.max() for channel in image.array):
            value = ", ".join(f"{float(channel.flat[0]):g}" for channel in image.array)
            raise InputError(
                f"The image has one value everywhere ({value}): nothing in it can be told apart.",
                "Check that it is the right file, slice or region.",
            )
        smaller = _smaller(image.geometry)
        geometry = image.geometry if smaller == shape else image.geometry.resampled(smaller)
        return cls(Volume(averaged(image.array, smaller), geometry), image.geometry)

    @property
    def reduced(self) -> str:
        """A sentence where the copy is smaller than the image, else empty."""
        if self.image.shape == self.whole.shape:
            return ""
        given, worked = (_size(shape) for shape in (self.whole.shape, self.image.shape))
        return f"The image of {given} was reduced to {worked}; borders of regions are as coarse as that."

    def enlarged(self, array: np.ndarray) -> np.ndarray:
        """``(K, J, I)`` of the copy on the grid of the image, by the nearest voxel."""
        return nearest(array, self.whole.shape)

    def shrunk(self, array: np.ndarray) -> np.ndarray:
        """``(K, J, I)`` of the image on the grid of the copy, by the nearest voxel."""
        return nearest(array, self.image.shape)

    def index_in_copy(self, index: Triple) -> Triple:
        """The voxel ``(k, j, i)`` of the copy in which the middle of a voxel of the image lies."""
        k, j, i = (
            int((x + 0.5) * n / m) for x, m, n in zip(index, self.whole.shape, self.image.shape, strict=True)
        )
        return k, j, i


@dataclass(frozen=True, eq=False)
class Clusters:
    """What a method groups together in the image that it worked on.

    Attributes:
        array: int ``(K, J, I)``.
        iterations: that a network learnt for; 0 without one.
        device: where.
    """

    array: np.ndarray
    iterations: int
    device: str


def is_plane(shape: Sequence[int]) -> bool:
    """Whether an image is a picture or a slice: one axis, or more, has length 1."""
    return min(shape) == 1


def averaged(array: np.ndarray, shape: Triple) -> np.ndarray:
    """``(C, K, J, I)`` as float32 with no more voxels than given; each is the mean of those it stands for.

    One channel is looked at after the other, so that a large picture of bytes never is one of floats.
    """
    channels = [_averaged_channel(channel, shape) for channel in array]
    return np.stack(channels)


def _averaged_channel(channel: np.ndarray, shape: Triple) -> np.ndarray:
    for axis, wanted in enumerate(shape):
        count = channel.shape[axis]
        if wanted < count:
            starts = -(-np.arange(wanted) * count // wanted)
            lengths = np.diff(starts, append=count).astype(np.float32)
            channel = np.add.reduceat(channel, starts, axis, dtype=np.float32)
            channel /= lengths.reshape([-1 if other == axis else 1 for other in range(3)])
    return channel.astype(np.float32, copy=False)


def _check_size(shape: Triple) -> None:
    sides = sorted(shape)
    if is_plane(shape):
        if sides[1] < LEAST_PIXELS:
            raise InputError(
                f"The image has {_size(shape)}; at least {LEAST_PIXELS} a side are needed to find regions.",
                "Give a larger image or region.",
            )
        return
    if sides[0] < LEAST_VOXELS:
        raise InputError(
            f"The region has {_size(shape)} (k, j, i); at least {LEAST_VOXELS} a side are needed.",
            "Give a thicker region, or one slice.",
        )
    if sides[2] > LARGEST_VOLUME:
        raise InputError(
            f"The region has {_size(shape)} (k, j, i); at most {LARGEST_VOLUME} a side can be looked at.",
            "Give a smaller region, or one slice.",
        )


def _smaller(geometry: Geometry) -> Triple:
    """The shape that is worked on: a picture keeps its proportions; a volume comes closer to cubic voxels."""
    shape = geometry.shape
    if is_plane(shape):
        share = min(1.0, MOST_PIXELS / max(shape))
        return tuple(max(min(n, LEAST_PIXELS), round(share * n)) for n in shape)  # type: ignore[return-value]
    extents = [n * size for n, size in zip(shape, geometry.spacing, strict=True)]
    too_long = [extent for extent, n in zip(extents, shape, strict=True) if n > MOST_VOXELS]
    if not too_long:
        return shape
    size = max(too_long) / MOST_VOXELS
    wanted = (max(LEAST_VOXELS, min(MOST_VOXELS, round(extent / size))) for extent in extents)
    return tuple(min(n, count) for n, count in zip(shape, wanted, strict=True))  # type: ignore[return-value]


def _size(shape: Triple) -> str:
    """A shape in words; a picture's as people give it, width first."""
    if shape[0] == 1:
        return f"{shape[2]} x {shape[1]} pixels"
    return " x ".join(str(n) for n in shape if n > 1) + (" pixels" if is_plane(shape) else " voxels")
