"""Where a person looked, and what that says on the grid of a network."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.inference.region import AxisMap, Region
from medcontext.workflows.correction import (
    KEEP,
    looked_at,
    on_input,
    targets_on_grid,
)

SHAPE = (12, 14, 16)
SPACING = (2.0, 1.0, 1.0)


def nothing() -> np.ndarray:
    return np.zeros(SHAPE, np.uint8)


def region_of(shape: tuple[int, int, int], inputs: tuple[int, int, int]) -> Region:
    maps = [AxisMap.between(n, m, slice(0, m)) for n, m in zip(inputs, shape, strict=True)]
    image = np.zeros((1, *inputs), np.float32)
    return Region(
        image,
        (maps[0], maps[1], maps[2]),
        (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])),
        (0, 1, 2),
        (),
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_in_which_a_stroke_was_painted_was_looked_at(axis: int) -> None:
    painted = nothing()
    np.moveaxis(painted, axis, 0)[5, 3:9, 4:8] = 1
    looked = np.moveaxis(looked_at(nothing(), painted), axis, 0)
    assert looked[5].all()
    assert not looked[9].any()


def test_what_was_painted_in_space_says_nothing_of_slices() -> None:
    painted = nothing()
    painted[4:8, 5:9, 6:10] = 1
    np.testing.assert_array_equal(looked_at(nothing(), painted), painted > 0)


def test_a_dot_says_nothing_of_what_is_around_it() -> None:
    painted = nothing()
    painted[6, 7, 8] = 1
    np.testing.assert_array_equal(looked_at(nothing(), painted), painted > 0)


def test_a_line_along_a_border_was_painted_in_the_view_of_the_other_strokes() -> None:
    painted = nothing()
    painted[2, 3:5, 4:12] = 1
    painted[7, 6, 2:9] = 1
    looked = looked_at(nothing(), painted)
    assert np.flatnonzero(looked.all((1, 2))).tolist() == [2, 7]


def test_dots_in_one_slice_tell_the_slice() -> None:
    painted = nothing()
    for j, i in ((2, 3), (6, 9), (11, 12)):
        painted[4, j, i] = 1
    looked = looked_at(nothing(), painted)
    assert np.flatnonzero(looked.all((1, 2))).tolist() == [4]


def test_a_painted_slice_says_nothing_of_the_slices_beside_it() -> None:
    painted = nothing()
    painted[3:9, 4:10, 8] = 1
    looked = looked_at(nothing(), painted)
    assert np.flatnonzero(looked.any((0, 1))).tolist() == [8]


def test_strokes_in_several_views_are_told_apart() -> None:
    painted = nothing()
    painted[2, 1:6, 1:6] = 1
    painted[6:12, 8:14, 10:11] = 1
    looked = looked_at(nothing(), painted)
    assert np.flatnonzero(looked.all((1, 2))).tolist() == [2]
    assert np.flatnonzero(looked.all((0, 1))).tolist() == [10]
    assert not looked.all((0, 2)).any()


def test_nothing_changed_was_nothing_looked_at() -> None:
    assert not looked_at(nothing(), nothing()).any()


def test_a_target_has_the_answer_a_margin_and_the_parent() -> None:
    corrected = nothing()
    corrected[6] = 7
    looked = np.zeros(SHAPE, bool)
    looked[6] = True
    target = targets_on_grid(region_of(SHAPE, SHAPE), corrected, looked, looked, [4, 7], SPACING, near_mm=2.0)
    assert (target[6] == 2).all()
    assert (target[[5, 7]] == 255).all()
    assert (target[[0, 1, 2, 3, 4, 8, 9, 10, 11]] == KEEP).all()


def test_a_value_that_stands_for_nothing_is_no_target() -> None:
    corrected = np.full(SHAPE, 255, np.uint8)
    target = targets_on_grid(
        region_of(SHAPE, SHAPE), corrected, corrected > 0, corrected > 0, [1], SPACING, 0.0
    )
    assert (target == 255).all()


def test_a_thin_stroke_on_a_fine_scan_is_not_lost_on_a_coarse_grid() -> None:
    fine = np.full((24, 28, 32), KEEP, np.uint8)
    for index in (10, 11, 12, 13):
        fine[:] = KEEP
        fine[index] = 1
        coarse = on_input(region_of((24, 28, 32), (6, 7, 8)), fine)
        assert (coarse == 1).any(axis=0).all(), index
        assert ((coarse == 1).sum(axis=0) == 1).all()


def test_a_coarse_scan_fills_a_fine_grid() -> None:
    coarse = np.full((6, 7, 8), KEEP, np.uint8)
    coarse[2] = 1
    fine = on_input(region_of((6, 7, 8), (24, 28, 32)), coarse)
    assert (fine[8:12] == 1).all()
    assert (fine[:8] == KEEP).all()
    assert (fine[12:] == KEEP).all()


def test_where_the_scan_does_not_reach_there_is_no_target() -> None:
    whole = region_of(SHAPE, SHAPE)
    maps = (
        AxisMap(whole.maps[0].low[4:8], whole.maps[0].high[4:8], whole.maps[0].share[4:8]),
        *whole.maps[1:],
    )
    part = Region(whole.image, maps, (slice(4, 8), *whole.box[1:]), (0, 1, 2), ())
    target = on_input(part, np.full(SHAPE, KEEP, np.uint8))
    assert (target[4:8] == KEEP).all()
    assert (target[:4] == 255).all()
    assert (target[8:] == 255).all()
