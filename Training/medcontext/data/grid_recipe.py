"""The grid a model works on: which way an image is turned, what is cut off, and how many voxels are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.plan import STORED, Channel, Plan, ResamplePlan, Size, Spacing

Box = tuple[slice, slice, slice]

SPACING_TOLERANCE = 0.01
"""Spacings within 1 % of the plan's are not resampled: less than a voxel over 100."""

COARSE = 3.0
"""nnU-Net takes slices on their own where voxels are more than so many times as long across them."""


@dataclass(frozen=True)
class GridRecipe:
    """How images reach the grid of a model. Per-axis values are along the network's axes.

    Attributes:
        orientation: code of (i, j, k) that images are turned to; ``stored`` for no turning.
        transpose: array axes of the turned image in the network's order.
        spacing: mm.
        channels: normalisation of each.
        resample: interpolation.
        crop: whether what lies around the voxels that are not zero is cut off.
    """

    orientation: str
    spacing: Spacing
    channels: tuple[Channel, ...]
    resample: ResamplePlan = field(default_factory=ResamplePlan)
    transpose: Size = (0, 1, 2)
    crop: bool = False

    @classmethod
    def of_plan(cls, plan: Plan) -> GridRecipe:
        """The grid of a training."""
        return cls(
            plan.orientation,
            plan.spacing,
            tuple(plan.channels),
            plan.resample,
            plan.transpose,
            plan.crop_to_nonzero,
        )

    @classmethod
    def of_card(cls, card: ModelCard) -> GridRecipe:
        """The grid of a model."""
        spec = card.input
        return cls(
            spec.orientation,
            spec.spacing,
            tuple(spec.channels),
            card.inference.resample,
            spec.transpose,
            spec.crop_to_nonzero,
        )

    def turn(self, geometry: Geometry) -> tuple[Triple, tuple[int, ...]]:
        """The array axes of an image in the network's order, and which of these are counted backwards after that."""
        permutation: Triple = (0, 1, 2)
        flips: tuple[int, ...] = ()
        if self.orientation != STORED:
            permutation, flips = geometry.reorientation(self.orientation)
        k, j, i = (permutation[axis] for axis in self.transpose)
        return (k, j, i), tuple(at for at, axis in enumerate(self.transpose) if axis in flips)

    def turned(self, geometry: Geometry) -> Geometry:
        """A grid along the network's axes."""
        permutation, flips = self.turn(geometry)
        return geometry.permuted(permutation).flipped(flips)

    def box(self, image: Volume) -> Box:
        """The part of an image that is looked at: all of it, or the box of what is not zero in some channel.

        Raises:
            InputError: it is to be cut, and all of it is zero.
        """
        if not self.crop:
            k, j, i = (slice(0, n) for n in image.shape)
            return k, j, i
        seen = np.logical_or.reduce([channel != 0 for channel in image.array])
        sides = []
        for axis in range(3):
            filled = np.flatnonzero(seen.any(axis=tuple(a for a in range(3) if a != axis)))
            if not filled.size:
                raise InputError(
                    "All voxels of the image are zero: there is nothing to look at.",
                    "Look whether the right image was chosen.",
                )
            sides.append(slice(int(filled[0]), int(filled[-1]) + 1))
        return sides[0], sides[1], sides[2]

    def spacing_of(self, turned: Geometry) -> Spacing:
        """Voxel size in mm that an image along the network's axes is resampled to."""
        k, j, i = (
            there if axis == self.resample.kept_axis else wanted
            for axis, (wanted, there) in enumerate(zip(self.spacing, turned.spacing, strict=True))
        )
        return k, j, i

    def shape_of(self, turned: Geometry) -> Triple:
        """Its number of voxels then."""
        target = self.spacing_of(turned)
        if self.resample.coarse_axis == "of_image":
            # As nnU-Net rounds; the ninth digit is noise that the affine of an oblique grid brings.
            sizes = zip(turned.shape, turned.spacing, target, strict=True)
            k, j, i = (max(1, round(round(s / t * n, 9))) for n, s, t in sizes)
            return k, j, i
        close = np.allclose(turned.spacing, target, rtol=SPACING_TOLERANCE)
        return turned.shape if close else turned.shape_at(target)

    def nearest_axis(self, turned: Geometry) -> int | None:
        """The axis along which an image takes the nearest voxel, or None."""
        if self.resample.coarse_axis == "fixed":
            return self.resample.separate_z
        return slicewise_axis(turned.spacing, self.spacing_of(turned))

    def nearest_axis_back(self, turned: Geometry) -> int | None:
        """The axis along which scores take the nearest voxel on their way back to an image, or None."""
        if self.resample.coarse_axis == "fixed":
            return self.resample.separate_z
        return slicewise_axis(self.spacing_of(turned), turned.spacing)


def slicewise_axis(current: Sequence[float], new: Sequence[float]) -> int | None:
    """The axis that nnU-Net resamples slice by slice, by its ``determine_do_sep_z_and_axis``.

    The coarsest one of the present spacing where it is more than :data:`COARSE` times the finest; else, by the same
    rule, of the new one. None where two are equally coarse.
    """
    for spacing in (current, new):
        longest = max(spacing)
        if longest / min(spacing) > COARSE:
            axes = [axis for axis, mm in enumerate(spacing) if np.isclose(mm, longest, rtol=1e-9, atol=0)]
            return axes[0] if len(axes) == 1 else None
    return None


def cut(volume: Volume, box: Box) -> Volume:
    """The part of a volume inside index ranges ``(K, J, I)`` with explicit bounds; no copy."""
    k, j, i = (side.stop - side.start for side in box)
    return volume.crop((box[0].start, box[1].start, box[2].start), (k, j, i))
