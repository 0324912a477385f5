"""A part of an image that is to be segmented again, and how differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.data.grid_recipe import Box as Box
from medcontext.data.grid_recipe import GridRecipe
from medcontext.errors import InputError
from medcontext.geometry import Volume

FINE_OVERLAP = 0.75
"""Of finer windows. On validation cases more or fewer of them were no better, and images moved inside windows that
are larger than they are were worse."""


@dataclass(frozen=True)
class Focus:
    """What to look at, and how.

    Attributes:
        mask: bool ``(K, J, I)`` on the grid of the image; the result is zero outside of it.
        finer: windows centred on the mask with more overlap, so that each voxel of it is seen at many places.
        hidden: the image inside the mask is hidden from the network, which must conclude from what is around.
    """

    mask: np.ndarray
    finer: bool = False
    hidden: bool = False

    @property
    def overlap(self) -> float | None:
        """Share of a window that the next one repeats; None for what the model takes always."""
        return FINE_OVERLAP if self.finer else None

    @property
    def margin(self) -> float:
        """Surroundings that windows reach into, as a share of the patch."""
        return 1.5 - FINE_OVERLAP if self.finer else 0.5

    def box(self, image: Volume) -> Box:
        """The bounding box of the mask.

        Raises:
            InputError: the mask is no bool array on the image's grid, or it is empty.
        """
        if self.mask.dtype != np.bool_ or self.mask.shape != image.shape:
            raise InputError(
                f"The region is an array {self.mask.shape} of {self.mask.dtype}; the image needs a bool mask "
                f"{image.shape} (K, J, I)."
            )
        sides = []
        for axis in range(3):
            inside = np.flatnonzero(self.mask.any(axis=tuple(a for a in range(3) if a != axis)))
            if not inside.size:
                raise InputError("The region is empty.", "Place it on the structure to segment again.")
            sides.append(slice(int(inside[0]), int(inside[-1]) + 1))
        return sides[0], sides[1], sides[2]


def surroundings(image: Volume, card: ModelCard, box: Box) -> Box:
    """The part of an image around ``box`` that is as large as the images the model was trained on.

    Half way between the smallest and the largest of them, centred on the box, inside the image; at least the box.
    The whole image where their size is not known.
    """
    if card.input.range.field_of_view is None:
        k, j, i = (slice(0, n) for n in image.shape)
        return k, j, i
    permutation, _flips = GridRecipe.of_card(card).turn(image.geometry)
    low, high = card.input.range.field_of_view
    sides = list(box)
    for axis, source in enumerate(permutation):
        voxels = round((low[axis] + high[axis]) / 2 / image.spacing[source])
        part = box[source]
        before = max(0, voxels - (part.stop - part.start)) // 2
        start = min(max(0, part.start - before), max(0, image.shape[source] - voxels))
        stop = min(image.shape[source], start + voxels)
        sides[source] = slice(min(start, part.start), max(stop, part.stop))
    return sides[0], sides[1], sides[2]
