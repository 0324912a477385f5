"""Where voxels lie in the patient: :class:`Geometry` (a grid) and :class:`Volume` (an array on a grid).

Conventions, used everywhere in the package:

* Arrays are ``(C, K, J, I)``; per-axis tuples (shape, spacing, patch size) are in array order ``(K, J, I)``.
* The affine maps ``(i, j, k, 1)`` to millimetres in LPS (left, posterior, superior), as ITK and DICOM do.
* An orientation code such as ``"LPS"`` names the direction in which ``i``, ``j`` and ``k`` grow, in that order.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from medcontext.errors import InputError

GRID_TOLERANCE_MM = 1e-3
"""Two grids are the same when no corner voxel differs by more than this (headers store float32)."""

_CODES = (("R", "L"), ("A", "P"), ("I", "S"))  # negative and positive direction of each LPS axis

Triple = tuple[int, int, int]

IndexBox = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open index ranges along ``(K, J, I)``."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in the patient.

    Args:
        shape: number of voxels along ``(K, J, I)``.
        affine: ``(4, 4)`` matrix from ``(i, j, k, 1)`` to LPS millimetres; may be oblique, flipped or sheared.

    Raises:
        InputError: the shape is not three positive numbers or the affine is not finite and invertible.
    """

    shape: Triple
    affine: np.ndarray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"A grid needs three positive sizes, not {tuple(self.shape)}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError("The image header holds no finite 4x4 placement matrix.", "Re-export the image.")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12 or not np.allclose(affine[3], [0, 0, 0, 1]):
            raise InputError("The image header holds axes that do not span a volume.", "Re-export the image.")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @classmethod
    def from_spacing(cls, shape: Triple, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Geometry:
        """An axis-aligned LPS grid at the origin; ``spacing`` in mm along ``(K, J, I)``."""
        return cls(shape, np.diag([spacing[2], spacing[1], spacing[0], 1.0]))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along ``(K, J, I)``."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def voxel_ml(self) -> float:
        """Size of a voxel in millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def origin(self) -> np.ndarray:
        """LPS position in mm of the centre of voxel ``(0, 0, 0)``."""
        return self.affine[:3, 3].copy()

    @property
    def direction(self) -> np.ndarray:
        """``(3, 3)`` unit vectors of ``i``, ``j``, ``k`` as columns."""
        return self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def orientation(self) -> str:
        """Closest anatomical code of ``(i, j, k)``, such as ``"LPS"``."""
        axes = self._closest_axes()
        return "".join(
            _CODES[axis][int(self.direction[axis, column] > 0)] for column, axis in enumerate(axes)
        )

    def _closest_axes(self) -> Triple:
        """The LPS axis that each of ``i``, ``j``, ``k`` follows best, as one permutation."""
        weights = np.abs(self.direction)
        return max(itertools.permutations(range(3)), key=lambda p: sum(weights[p[c], c] for c in range(3)))  # type: ignore[return-value]

    def index_to_lps(self, kji: np.ndarray) -> np.ndarray:
        """LPS positions in mm of ``(..., 3)`` continuous indices ``(k, j, i)``."""
        return np.asarray(kji)[..., ::-1] @ self.affine[:3, :3].T + self.affine[:3, 3]

    def lps_to_index(self, lps: np.ndarray) -> np.ndarray:
        """Continuous indices ``(k, j, i)`` of ``(..., 3)`` LPS positions in mm."""
        return ((np.asarray(lps) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T)[..., ::-1]

    def corners(self) -> np.ndarray:
        """LPS positions in mm of the eight corner voxels, ``(8, 3)``."""
        return self.index_to_lps(np.array(list(itertools.product(*((0, n - 1) for n in self.shape)))))

    def same_grid(self, other: Geometry, tolerance_mm: float = GRID_TOLERANCE_MM) -> bool:
        """Whether both grids have the same shape and their corners coincide."""
        return self.shape == other.shape and bool(
            np.abs(self.corners() - other.corners()).max() <= tolerance_mm
        )

    def cropped(self, start: Triple, shape: Triple) -> Geometry:
        """The grid of ``shape`` voxels that begins at index ``start``; a negative start pads."""
        affine = self.affine.copy()
        affine[:3, 3] = self.index_to_lps(np.asarray(start))
        return Geometry(shape, affine)

    def permuted(self, axes: Triple) -> Geometry:
        """The grid whose array axis ``a`` is this grid's array axis ``axes[a]``."""
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, [2 - axes[2], 2 - axes[1], 2 - axes[0]]]
        return Geometry(tuple(self.shape[a] for a in axes), affine)  # type: ignore[arg-type]

    def flipped(self, axes: tuple[int, ...]) -> Geometry:
        """The same grid counted backwards along the array axes given."""
        affine = self.affine.copy()
        start = np.array([self.shape[a] - 1 if a in axes else 0 for a in range(3)])
        affine[:3, 3] = self.index_to_lps(start)
        for axis in axes:
            affine[:3, 2 - axis] *= -1
        return Geometry(self.shape, affine)

    def resampled(self, shape: Triple) -> Geometry:
        """The grid of ``shape`` voxels that covers the same box: outer voxel faces coincide."""
        scale = np.asarray(self.shape, float) / np.asarray(shape, float)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * scale[::-1]
        affine[:3, 3] = self.index_to_lps((scale - 1) / 2)
        return Geometry(shape, affine)

    def shape_at(self, spacing: tuple[float, float, float]) -> Triple:
        """The shape that comes closest to ``spacing`` (mm, ``(K, J, I)``) over the same box."""
        sizes = (round(n * s / t) for n, s, t in zip(self.shape, self.spacing, spacing, strict=True))
        return tuple(max(1, n) for n in sizes)  # type: ignore[return-value]

    def reorientation(self, code: str) -> tuple[Triple, tuple[int, ...]]:
        """The ``(permutation, flips)`` of array axes that bring this grid closest to ``code``.

        Apply the permutation first, then the flips.

        Raises:
            InputError: ``code`` is not three letters, one of each pair R/L, A/P, I/S.
        """
        target = [next((a for a, pair in enumerate(_CODES) if letter in pair), -1) for letter in code]
        if sorted(target) != [0, 1, 2]:
            raise InputError(f"Orientation '{code}' is not a code such as LPS or RAS.")
        axes = self._closest_axes()
        columns = [axes.index(axis) for axis in target]
        permutation = (2 - columns[2], 2 - columns[1], 2 - columns[0])
        # From the same axes as the permutation: at exactly 45 degrees a second look could choose others.
        along = [int(self.direction[target[c], columns[c]] > 0) for c in range(3)]
        flips = tuple(2 - c for c in range(3) if _CODES[target[c]][along[c]] != code[c])
        return permutation, tuple(sorted(flips))


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or a labelmap on a grid.

    Args:
        array: ``(C, K, J, I)``; a labelmap has one channel of an integer type.
        geometry: the grid of the last three axes.

    Raises:
        InputError: the array does not fit the grid.
    """

    array: np.ndarray
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or tuple(self.array.shape[1:]) != self.geometry.shape:
            raise InputError(
                f"An array of shape {self.array.shape} does not fit a grid of {self.geometry.shape}: "
                "(channels, K, J, I) is needed."
            )

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.array.shape[0])

    @property
    def shape(self) -> Triple:
        """Spatial shape ``(K, J, I)``."""
        return self.geometry.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along ``(K, J, I)``."""
        return self.geometry.spacing

    def crop(self, start: Triple, shape: Triple, fill: float = 0) -> Volume:
        """The box of ``shape`` voxels from index ``start``; what lies outside this volume is ``fill``."""
        inside = [slice(max(0, s), min(n, s + w)) for s, w, n in zip(start, shape, self.shape, strict=True)]
        geometry = self.geometry.cropped(start, shape)
        if all(r.start == s and r.stop == s + w for r, s, w in zip(inside, start, shape, strict=True)):
            return Volume(self.array[(slice(None), *inside)], geometry)
        array = np.full((self.channels, *shape), fill, self.array.dtype)
        if all(r.start < r.stop for r in inside):
            target = [slice(r.start - s, r.stop - s) for r, s in zip(inside, start, strict=True)]
            array[(slice(None), *target)] = self.array[(slice(None), *inside)]
        return Volume(array, geometry)

    def pad(self, before: Triple, after: Triple, fill: float = 0) -> Volume:
        """This volume with ``before`` and ``after`` voxels of ``fill`` added on each axis."""
        start = tuple(-b for b in before)
        shape = tuple(n + b + a for n, b, a in zip(self.shape, before, after, strict=True))
        return self.crop(start, shape, fill)  # type: ignore[arg-type]

    def permute(self, axes: Triple) -> Volume:
        """Reorder the spatial array axes; the voxels stay where they are in the patient."""
        array = self.array.transpose(0, *(a + 1 for a in axes))
        return Volume(array, self.geometry.permuted(axes))

    def flip(self, axes: tuple[int, ...]) -> Volume:
        """Reverse spatial array axes; the voxels stay where they are in the patient."""
        return Volume(np.flip(self.array, tuple(a + 1 for a in axes)), self.geometry.flipped(axes))

    def reorient(self, code: str) -> Volume:
        """This volume with its axes in the order and direction closest to ``code`` (no resampling)."""
        permutation, flips = self.geometry.reorientation(code)
        return self.permute(permutation).flip(flips)


def describe(geometry: Geometry) -> str:
    """A grid in words: size, spacing, orientation and place of the first voxel, in the order i, j, k."""
    size = " x ".join(str(n) for n in geometry.shape[::-1])
    spacing = " x ".join(f"{s:.4g}" for s in geometry.spacing[::-1])
    origin = ", ".join(f"{v:.2f}" for v in geometry.origin)
    return f"{size} voxels of {spacing} mm, {geometry.orientation}, first voxel at ({origin})"
