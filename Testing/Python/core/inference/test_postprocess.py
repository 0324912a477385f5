"""Only the largest piece of a label."""

from __future__ import annotations

import numpy as np

from medcontext.inference.postprocess import keep_largest_component


def test_small_pieces_go_only_where_asked_for() -> None:
    labels = np.zeros((4, 5, 12), np.uint8)
    labels[:, :, 0:3] = 1
    labels[0, 0, 6] = 1
    labels[0, 0, 8:10] = 2
    labels[3, 3, 11] = 2
    before = labels.copy()
    assert keep_largest_component(labels, [1, 9]) == 1
    before[0, 0, 6] = 0
    np.testing.assert_array_equal(labels, before)


def test_voxels_that_share_a_corner_belong_together() -> None:
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1
    assert keep_largest_component(labels, [1]) == 0
