"""How a scan of any size and spacing becomes an array that crops are cut out of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from medcontext.data.foreground import foreground_box, looks_like_labels
from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.modality import odd_values
from medcontext.data.preprocess import to_model_grid
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.plan import Channel, ResamplePlan, Size, Spacing
from medcontext.resample import resample_array

LARGEST = 1 << 28
"""Voxels of an array, at most: half a gigabyte on the disk, as 1000 slices of 512 x 512. A few thin slices that are
enlarged, and headers with wrong units, would take more."""
CONSTANT = "All its voxels have the same value."


@dataclass(frozen=True)
class Recipe:
    """What a pool makes of its scans. Sizes are in voxels along ``(K, J, I)``.

    Attributes:
        channels: normalisation of each.
        spacing: mm of the voxels crops are cut from.
        orientation: code of (i, j, k).
        region: every array is at least so large: a scan that is smaller at ``spacing`` is enlarged, all axes alike.
        fewest: a scan with fewer voxels along an axis, before it is resampled, is left out.
        foreground: arrays are cut to the box of what is brighter than this share of the way from the darkest to the
            brightest voxel; None keeps all.
        resize: bring each whole scan, cut to its foreground, to exactly this size instead, whatever its spacing.
        resample: which axis is resampled by nearest neighbour.
    """

    channels: tuple[Channel, ...]
    spacing: Spacing
    orientation: str
    region: Size
    fewest: Size = (1, 1, 1)
    foreground: float | None = None
    resize: Size | None = None
    resample: ResamplePlan = field(default_factory=ResamplePlan)

    def key(self) -> str:
        """Everything that changes an array; names do not."""
        channels = [channel.intensity.model_dump_json() for channel in self.channels]
        sizes = (self.spacing, self.orientation, self.region, self.fewest, self.foreground, self.resize)
        return repr((channels, sizes, self.resample.separate_z))

    def odd(self, image: Volume) -> str:
        """Why an image does not suit a channel that is scaled as CT; else empty. Others may be of any modality."""
        kinds = ["CT" if channel.intensity.kind == "ct" else "" for channel in self.channels]
        return odd_values(image, [(c.name, kind) for c, kind in zip(self.channels, kinds, strict=True)])

    def apply(self, image: Volume) -> tuple[np.ndarray, bool]:
        """Prepare a scan.

        Args:
            image: in scanner units, any orientation.

        Returns:
            float16 ``(C, K, J, I)``, and whether the scan was enlarged.

        Raises:
            InputError: it has too few voxels or another number of channels, is constant, or is a label map.
        """
        turned = image.geometry.permuted(image.geometry.reorientation(self.orientation)[0])
        self._check(image, turned)
        spacing = self._target(turned)
        grid = to_model_grid(image, GridRecipe(self.orientation, spacing, self.channels, self.resample))
        array = self._cut(grid.array)
        array = resample_array(array, self.resize or _at_least(array.shape[1:], self.region), order=1)
        low, high = float(array.min()), float(array.max())
        if low == high:
            raise InputError(CONSTANT)
        if max(-low, high) > float(np.finfo(np.float16).max):
            raise InputError(f"Its values go from {low:.4g} to {high:.4g}, too far without normalisation.")
        # fp16 has 11 bits: 0.002 at the 3 SD end of a z-scored image, far below its noise.
        enlarged = self.resize is None and spacing != self.spacing
        return np.ascontiguousarray(array, np.float16), enlarged

    def _check(self, image: Volume, turned: Geometry) -> None:
        if any(n < fewest for n, fewest in zip(turned.shape, self.fewest, strict=True)):
            has, needed = (_times(size) for size in (turned.shape, self.fewest))
            raise InputError(f"It has {has} voxels (K, J, I); at least {needed} are needed.")
        if image.array.min() == image.array.max():
            raise InputError(CONSTANT)
        if looks_like_labels(image.array):
            raise InputError("It looks like a label map: few whole numbers, in patches.")

    def _target(self, turned: Geometry) -> Spacing:
        """The spacing at which a scan is as large as the region: the recipe's unless it is too small.

        Raises:
            InputError: it would become too large to keep.
        """
        if self.resize is not None:
            return turned.spacing
        extent = [n * mm for n, mm in zip(turned.shape, turned.spacing, strict=True)]
        factor = max(n * mm / e for n, mm, e in zip(self.region, self.spacing, extent, strict=True))
        k, j, i = (mm / max(1.0, factor) for mm in self.spacing)
        if np.prod(turned.shape_at((k, j, i)), dtype=float) > LARGEST:
            size, voxel = _times(f"{e:.3g}" for e in extent), _times(f"{mm:.3g}" for mm in (k, j, i))
            raise InputError(f"It covers {size} mm (K, J, I), too much in voxels of {voxel} mm.")
        return k, j, i

    def _cut(self, array: np.ndarray) -> np.ndarray:
        if self.foreground is None:
            return array
        box = foreground_box(array, self.foreground, (1, 1, 1) if self.resize else self.region)
        return array[(slice(None), *(slice(first, last) for first, last in box))]


def _at_least(shape: tuple[int, ...], region: Size) -> Size:
    """The shape; where rounding left it a voxel short of the region, the region."""
    k, j, i = (max(n, least) for n, least in zip(shape, region, strict=True))
    return k, j, i


def _times(numbers: Iterable[object]) -> str:
    return " x ".join(map(str, numbers))
