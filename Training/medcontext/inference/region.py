"""Which part of an image the network sees, and where each output voxel lies in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.data.preprocess import to_model_grid
from medcontext.errors import InputError
from medcontext.geometry import Volume
from medcontext.plan import Size

Box = tuple[slice, slice, slice]

MUCH_LARGER = 1.25
"""An image larger than the training images by more than this is not what the model knows: then the box alone is
taken for the image, in statistics and in what the network sees. On whole T1 heads the hippocampus model found
0.83 Dice that way and 0.70 with half a patch of surroundings (FreeSurfer labels, box with 5 mm around them)."""


@dataclass(frozen=True)
class AxisMap:
    """Where output voxels lie along one axis of the network's input.

    Attributes:
        low: index of the input voxel at or before each output voxel, int64 ``(n,)``.
        high: the one after it; the same where the output voxel coincides with one or lies at the border.
        share: float32 weight of ``high``.
    """

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray

    @classmethod
    def between(cls, inputs: int, outputs: int, part: slice, *, nearest: bool = False) -> AxisMap:
        """Map the ``part`` of ``outputs`` voxels to ``inputs`` voxels over one box; outer faces align."""
        position = (np.arange(part.start, part.stop) + 0.5) * inputs / outputs - 0.5
        if nearest:
            position = np.floor(position + 0.5)
        position = position.clip(0, inputs - 1)
        low = np.floor(position).astype(np.int64)
        share = (position - low).astype(np.float32)
        return cls(low, np.where(share > 0, np.minimum(low + 1, inputs - 1), low), share)

    @property
    def interpolates(self) -> bool:
        """Whether any output lies between two inputs."""
        return bool((self.low != self.high).any())

    def moved(self, offset: int) -> AxisMap:
        """The same for an input whose first ``offset`` voxels were cut off."""
        return AxisMap(self.low - offset, self.high - offset, self.share)


@dataclass(frozen=True)
class Region:
    """Network input and the way back.

    Attributes:
        image: float32 ``(C, K, J, I)`` on the model's grid.
        maps: where the voxels of ``box``, in the model's orientation, lie in ``image``.
        box: the part of the input image that is written.
        permutation: array axes of the image in the model's order.
        flips: axes reversed after that.
    """

    image: np.ndarray
    maps: tuple[AxisMap, AxisMap, AxisMap]
    box: Box
    permutation: Size
    flips: tuple[int, ...]

    def view(self, array: np.ndarray) -> np.ndarray:
        """The box of an array ``(K, J, I)`` on the image's grid, seen in the model's orientation; no copy."""
        return np.flip(array[self.box].transpose(self.permutation), self.flips)


def check_box(image: Volume, box: Box | None) -> Box:
    """The box with explicit bounds, cut to the image; the whole image when None.

    Raises:
        InputError: nothing of it lies in the image, or it has a step.
    """
    if box is None:
        return _box([0, 0, 0], list(image.shape))
    if len(box) != 3 or any(part.step not in (None, 1) for part in box):
        raise InputError("A region of interest is three index ranges without steps, (K, J, I).")
    start = [max(0, part.start or 0) for part in box]
    stop = [n if part.stop is None else min(n, part.stop) for part, n in zip(box, image.shape, strict=True)]
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        raise InputError(
            f"The region of interest lies outside the image of {image.shape} voxels (K, J, I).",
            "Place it on the structure to segment.",
        )
    return _box(start, stop)


def prepare_region(image: Volume, card: ModelCard, box: Box | None) -> Region:
    """Bring an image, or what is needed of it for ``box``, to the model's grid.

    Around a box the network also sees up to half a patch of context where there is image, unless the image is
    much larger than those of training: a model of crops sees the box as the crop it was trained on.

    Raises:
        InputError: the box lies outside the image, or the image cannot be normalised.
    """
    whole = check_box(image, box)
    permutation, flips = image.geometry.reorientation(card.input.orientation)
    source, inner = image, whole
    if box is not None and _much_larger(image, card, permutation):
        source, inner = _alone(image, whole)
    moved = to_model_grid(
        source,
        orientation=card.input.orientation,
        spacing=card.input.spacing,
        channels=card.input.channels,
        resample=card.inference.resample,
    )
    maps = []
    for axis, source_axis in enumerate(permutation):
        count, part = source.shape[source_axis], inner[source_axis]
        if axis in flips:
            part = slice(count - part.stop, count - part.start)
        nearest = card.inference.resample.separate_z == axis
        maps.append(AxisMap.between(moved.shape[axis], count, part, nearest=nearest))
    return _cut(moved.array, maps, card.input.patch_size, whole, permutation, flips)


def _much_larger(image: Volume, card: ModelCard, permutation: Size) -> bool:
    """Whether the image is larger than the training images by more than :data:`MUCH_LARGER`."""
    extent = [image.shape[axis] * image.spacing[axis] for axis in permutation]
    largest = card.input.range.field_of_view[1]
    return any(e > MUCH_LARGER * limit for e, limit in zip(extent, largest, strict=True))


def _alone(image: Volume, box: Box) -> tuple[Volume, Box]:
    """The box as an image of its own, and the box in that."""
    k, j, i = (part.stop - part.start for part in box)
    return image.crop((box[0].start, box[1].start, box[2].start), (k, j, i)), _box([0, 0, 0], [k, j, i])


def _cut(
    array: np.ndarray, maps: list[AxisMap], patch: Size, box: Box, permutation: Size, flips: tuple[int, ...]
) -> Region:
    """Keep what the maps reach and half a patch around it."""
    start = [max(0, int(m.low[0]) - p // 2) for m, p in zip(maps, patch, strict=True)]
    stop = [
        min(n, int(m.high[-1]) + 1 + p // 2) for m, p, n in zip(maps, patch, array.shape[1:], strict=True)
    ]
    moved = [m.moved(s) for m, s in zip(maps, start, strict=True)]
    image = array[(slice(None), *_box(start, stop))]
    return Region(image, (moved[0], moved[1], moved[2]), box, permutation, flips)


def _box(start: list[int], stop: list[int]) -> Box:
    parts = [slice(a, b) for a, b in zip(start, stop, strict=True)]
    return parts[0], parts[1], parts[2]
