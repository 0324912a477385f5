"""Which slices are offered as finished: those that a person painted one by one, or the whole scan."""

from __future__ import annotations

import numpy as np
import pytest

import harness.application  # noqa: F401  makes slicer.i18n importable
from MedContextSegmentLib.Scene.PaintedSlices import PaintedSlices, paintedSlices, slicesText

SHAPE = (40, 50, 60)


def painted(*parts: tuple[object, ...]) -> PaintedSlices:
    labelmap = np.zeros(SHAPE, np.uint8)
    for part in parts:
        labelmap[part] = 2
    used = np.argwhere(labelmap)
    low, high = used.min(axis=0), used.max(axis=0) + 1
    found = tuple((int(a), int(b)) for a, b in zip(low, high, strict=True))
    return paintedSlices(labelmap, found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "axis"),
    [
        ([([5, 15, 25], slice(10, 30), slice(10, 30))], "k"),
        ([(slice(10, 30), [5, 15, 25, 26], slice(10, 30))], "j"),
        ([(slice(10, 30), slice(10, 30), 7)], "i"),
        ([([4, 5, 6, 7, 20, 21, 22, 23], slice(10, 30), slice(10, 30))], "k"),  # a thick brush
        ([(slice(10, 30), slice(10, 30), slice(10, 30))], ""),
        ([(slice(5, 12), slice(5, 12), slice(5, 12)), (slice(25, 35), slice(30, 40), slice(40, 50))], ""),
        ([(3, 4, slice(2, 9))], "k"),  # a line: of two axes the first
        ([(3, 4, 5)], "k"),
    ],
    ids=["every tenth", "coronal", "one sagittal", "thick brush", "organ", "two lesions", "line", "point"],
)
def test_the_axis_that_was_painted_along(parts: list[tuple[object, ...]], axis: str) -> None:
    assert painted(*parts).guessedAxis == axis


def test_the_slices_are_counted_in_the_whole_scan() -> None:
    found = painted(([5, 15], slice(10, 30), slice(20, 23)))
    assert found.along("k") == (5, 15)
    assert found.along("j") == tuple(range(10, 30))
    assert found.along("i") == (20, 21, 22)


def test_values_that_share_no_bit_are_both_seen() -> None:
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[3, 4, 5], labelmap[7, 8, 9] = 1, 254
    found = paintedSlices(labelmap, ((0, 40), (0, 50), (0, 60)))
    assert (found.k, found.j, found.i) == ((3, 7), (4, 8), (5, 9))


def test_nothing_painted() -> None:
    found = paintedSlices(np.zeros(SHAPE, np.uint8), None)
    assert (found.k, found.j, found.i, found.guessedAxis) == ((), (), (), "")


@pytest.mark.parametrize(
    ("indices", "text"),
    [((), ""), ((4,), "4"), ((3, 7, 8, 9, 20), "3, 7-9, 20"), ((0, 1), "0-1")],
)
def test_slice_numbers_in_words(indices: tuple[int, ...], text: str) -> None:
    assert slicesText(indices) == text
