"""From slice positions to a volume's grid: order, placement, tilt and uneven gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medcontext.errors import InputError

_SAME_PLACE_MM = 1e-3
_UNEVEN = 0.05
"""Share of the slice distance by which a slice may lie off its even place: less is rounding in headers."""
_MISSING = 4.0
"""A gap of more than this many usual ones is not filled: interpolation would invent anatomy."""
_TILT_DEGREES = 0.5
_SIDEWAYS_PIXELS = 0.5


@dataclass(frozen=True)
class Arrangement:
    """How slices become a volume.

    Args:
        order: indices of the slices from the first to the last place.
        affine: ``(4, 4)`` matrix of the volume from ``(i, j, k, 1)`` to LPS mm.
        places: continuous index into the ordered slices of each slice of the volume, or None where they are
            the slices themselves.
        tilted: a sentence about the tilt of the gantry, which shears the grid; empty where there is none.
        uneven: a sentence about uneven gaps; empty where there are none.
    """

    order: np.ndarray
    affine: np.ndarray
    places: np.ndarray | None
    tilted: str = ""
    uneven: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about what was found."""
        stay = ": its slices stay as they are, on a sheared grid that some programs cannot open as NIfTI."
        return tuple(text for text in (self.tilted and self.tilted + stay, self.uneven) if text)

    def evened(self, array: np.ndarray) -> np.ndarray:
        """Interpolate ordered slices ``(1, K, J, I)`` linearly onto the volume's slices."""
        if self.places is None:
            return array
        out = np.empty((1, len(self.places), *array.shape[2:]), np.float32)
        for number, place in enumerate(self.places):
            low = min(int(place), array.shape[1] - 2)
            weight = np.float32(place - low)
            np.multiply(array[0, low], 1 - weight, out=out[0, number])
            out[0, number] += weight * array[0, low + 1]
        return out


def arrange(positions: np.ndarray, axes: np.ndarray, spacing: tuple[float, float], name: str) -> Arrangement:
    """Put parallel slices in order and find the grid they lie on.

    Args:
        positions: ``(N, 3)`` LPS mm of the first voxel of each slice, N at least 2.
        axes: ``(2, 3)`` unit directions in which ``i`` and ``j`` grow.
        spacing: distance in mm along ``i`` and along ``j``.
        name: what to call the series in messages.

    Raises:
        InputError: slices share a place, are shifted sideways, or many are missing.
    """
    normal = np.cross(axes[0], axes[1])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    heights = positions @ normal
    gaps = np.diff(heights)
    if gaps.min() < _SAME_PLACE_MM:
        raise InputError(
            f"{name} holds several images at the same place, such as time points or echoes.",
            "Export one image per slice.",
        )
    share = (heights - heights[0]) / (heights[-1] - heights[0])
    course = positions[-1] - positions[0]
    sideways = np.linalg.norm(positions - positions[0] - share[:, None] * course, axis=1).max()
    if sideways > _SIDEWAYS_PIXELS * max(spacing):
        raise InputError(
            f"{name} has slices shifted against each other by up to {sideways:.1f} mm.",
            "Reconstruct the series with one field of view.",
        )
    places, uneven = _even_places(share, gaps, name)
    tilt = np.degrees(np.arccos(np.clip(course @ normal / np.linalg.norm(course), -1, 1)))
    tilted = f"{name} was taken with the gantry tilted by {tilt:.1f} degrees" if tilt > _TILT_DEGREES else ""
    affine = np.eye(4)
    affine[:3, 0] = axes[0] * spacing[0]
    affine[:3, 1] = axes[1] * spacing[1]
    affine[:3, 2] = course / ((len(order) if places is None else len(places)) - 1)
    affine[:3, 3] = positions[0]
    return Arrangement(order, affine, places, tilted, uneven)


def _even_places(share: np.ndarray, gaps: np.ndarray, name: str) -> tuple[np.ndarray | None, str]:
    """Where even slices lie among uneven ones and a sentence on it, or None where they are even already."""
    count = len(share)
    if np.abs(share * (count - 1) - np.arange(count)).max() <= _UNEVEN:
        return None, ""
    usual = float(np.median(gaps))
    if gaps.max() > _MISSING * usual:
        raise InputError(
            f"{name} lacks slices: a gap of {gaps.max():.1f} mm among gaps of {usual:.1f} mm.",
            "Export the whole series.",
        )
    wanted = max(2, round(float(gaps.sum()) / usual) + 1)
    places = np.interp(np.linspace(0, 1, wanted), share, np.arange(count))
    return places, (
        f"{name} has slices {gaps.min():.1f} to {gaps.max():.1f} mm apart: they were interpolated onto "
        f"{wanted} even ones {gaps.sum() / (wanted - 1):.2f} mm apart, and so is the result."
    )
