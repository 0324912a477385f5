"""In which slices of a scan a person painted, and along which axis."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import boxShape, slabs, slices

AXES = ("k", "j", "i")

THIN_SLICES = 2.0
"""Runs of painted slices that are no thicker than this on average were painted one by one; organs are thicker."""

SPARSE_SHARE = 0.5
FULL_SHARE = 0.9
"""Slices painted with a thick brush: at most the first share of a range is filled along one axis, at least the second
along both others."""


@dataclass(frozen=True)
class PaintedSlices:
    """Indices of the slices that hold a painted voxel, along each axis of the array, each growing."""

    k: tuple[int, ...]
    j: tuple[int, ...]
    i: tuple[int, ...]

    def along(self, axis: str) -> tuple[int, ...]:
        """The slices along "k", "j" or "i"."""
        return {"k": self.k, "j": self.j, "i": self.i}[axis]

    @property
    def guessedAxis(self) -> str:
        """The axis along which single slices were painted; "" where structures were painted as a whole.

        An axis counts when what is painted along it comes in runs of at most two slices on average, or with gaps
        that no other axis has. Of several the one with the thinnest runs counts, then the one with the fewest
        slices, then the first of k, j, i.
        """
        found = [
            (_meanRun(self.along(axis)), len(self.along(axis)), number)
            for number, axis in enumerate(AXES)
            if self.along(axis) and self._isSparse(axis)
        ]
        return AXES[min(found)[2]] if found else ""

    def _isSparse(self, axis: str) -> bool:
        others = [self.along(other) for other in AXES if other != axis]
        gaps = _filledShare(self.along(axis)) <= SPARSE_SHARE
        return _meanRun(self.along(axis)) <= THIN_SLICES or (
            gaps and all(_filledShare(other) >= FULL_SHARE for other in others)
        )


def paintedSlices(labelmap: np.ndarray, box: Box | None) -> PaintedSlices:
    """Where a labelmap is not zero.

    Args:
        labelmap: uint8 ``(K, J, I)``.
        box: outside of it all is zero; None where all is.
    """
    found = [np.zeros(size, bool) for size in labelmap.shape]
    if box is not None and min(boxShape(box)) > 0:
        _k, (j0, j1), (i0, i1) = box
        plane = np.zeros((j1 - j0, i1 - i0), np.uint8)
        for slab in slabs(box):
            part = labelmap[slices(slab)]
            # Bits are or-ed many times faster than truth values.
            plane |= np.bitwise_or.reduce(part, axis=0)
            rows = np.bitwise_or.reduce(part, axis=2)
            found[0][slab[0][0] : slab[0][1]] = rows.any(axis=1)
        found[1][j0:j1], found[2][i0:i1] = plane.any(axis=1), plane.any(axis=0)
    k, j, i = (tuple(np.flatnonzero(axis).tolist()) for axis in found)
    return PaintedSlices(k, j, i)


def paintedOfEach(
    labelmap: np.ndarray, values: Sequence[int], painted: PaintedSlices
) -> Generator[None, None, dict[int, PaintedSlices]]:
    """Where a labelmap has each value, in small steps.

    Args:
        labelmap: uint8 ``(K, J, I)``.
        values: which values.
        painted: where it is not zero.
    """
    axes = [painted.along(axis) for axis in AXES]
    found = {value: PaintedSlices((), (), ()) for value in values}
    if not all(axes):
        return found
    k, j, i = ((axis[0], axis[-1] + 1) for axis in axes)
    kind: type[np.unsignedinteger[Any]] = np.uint8 if len(values) <= 8 else np.uint64
    bits = 8 * np.dtype(kind).itemsize
    for first in range(0, len(values), bits):
        group = values[first : first + bits]
        # A bit for each value: or-ed, they say which values a row of voxels has.
        table = np.zeros(256, kind)
        for bit, value in enumerate(group):
            table[value] = 1 << bit
        plane = np.zeros((j[1] - j[0], i[1] - i[0]), kind)
        rows = np.zeros(k[1] - k[0], kind)
        for slab in slabs((k, j, i)):
            part = table[labelmap[slices(slab)]]
            plane |= np.bitwise_or.reduce(part, axis=0)
            rows[slab[0][0] - k[0] : slab[0][1] - k[0]] = np.bitwise_or.reduce(part, axis=(1, 2))
            yield
        sides = (rows, np.bitwise_or.reduce(plane, axis=1), np.bitwise_or.reduce(plane, axis=0))
        for bit, value in enumerate(group):
            there = [np.flatnonzero(side & kind(1 << bit)) for side in sides]
            found[value] = PaintedSlices(
                *(tuple((n + a).tolist()) for n, (a, _b) in zip(there, (k, j, i), strict=True))
            )
    return found


def together(parts: Iterable[PaintedSlices]) -> PaintedSlices:
    """The slices in which any of them was painted."""
    k: set[int] = set()
    j: set[int] = set()
    i: set[int] = set()
    for part in parts:
        k.update(part.k)
        j.update(part.j)
        i.update(part.i)
    return PaintedSlices(tuple(sorted(k)), tuple(sorted(j)), tuple(sorted(i)))


def slicesText(indices: Iterable[int]) -> str:
    """Slice numbers as people write them: "3, 7-9, 20"; "" for none."""
    runs = _runs(tuple(indices))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _runs(indices: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    breaks = [n for n in range(1, len(indices)) if indices[n] != indices[n - 1] + 1]
    edges = [0, *breaks, len(indices)] if indices else []
    return [(indices[a], indices[b - 1]) for a, b in itertools.pairwise(edges)]


def _meanRun(indices: tuple[int, ...]) -> float:
    return len(indices) / len(_runs(indices)) if indices else 0.0


def _filledShare(indices: tuple[int, ...]) -> float:
    return len(indices) / (indices[-1] - indices[0] + 1) if indices else 1.0
