"""Boxes lie where they should, also where they reach outside."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.data.boxes import cut_box, random_start


def test_a_box_is_a_copy_of_what_lies_there_and_filled_outside() -> None:
    array = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    box = cut_box(array, (-1, 3, 2), (3, 4, 2), 7, np.float32)
    assert box.dtype == np.float32
    assert (box[:, 1:, :2] == array[:, :2, 3:, 2:4]).all()
    assert (box[:, 0] == 7).all()
    assert (box[:, :, 2:] == 7).all()
    box[:] = 0
    assert array[0, 0, 3, 2] != 0


@pytest.mark.parametrize("start", [(-9, 0, 0), (4, 0, 0), (0, 0, 60)])
def test_a_box_outside_is_empty(start: tuple[int, int, int]) -> None:
    assert (cut_box(np.ones((4, 5, 6)), start, (2, 2, 2), 3, np.uint8) == 3).all()


def test_random_boxes_lie_inside_and_everywhere_and_short_axes_are_centred() -> None:
    generator = np.random.default_rng(0)
    starts = np.array([random_start((10, 4, 3), (8, 4, 6), generator) for _ in range(60)])
    assert set(starts[:, 0]) == {0, 1, 2}
    assert set(starts[:, 1]) == {0}
    assert set(starts[:, 2]) == {-1}
