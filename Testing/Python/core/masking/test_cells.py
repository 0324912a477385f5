"""Which cells a mask hides."""

import numpy as np
import pytest

from medcontext.masking.cells import MaskConfig, complementary_masks, draw_cells, draw_mask, to_voxels


def a_generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("cells", "ratio", "hidden"),
    [((6, 6, 6), 0.6, 126), ((32, 32, 32), 0.4, 13088), ((14, 40, 40), 0.4, 8960)],
)
def test_tubes_hide_as_many_tokens_as_published(cells, ratio, hidden):
    mask = draw_cells(MaskConfig(ratio=ratio, tube_axis=0), cells, a_generator())
    assert mask.sum() == hidden


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_slice_along_a_tube_hides_the_same_cells(axis):
    mask = draw_cells(MaskConfig(ratio=0.5, tube_axis=axis), (4, 5, 6), a_generator())
    first = mask.take([0], axis)
    assert (mask == first).all()
    assert 0 < first.sum() < first.size


@pytest.mark.parametrize("geometry", ["tube", "random", "block"])
def test_ratio_zero_hides_nothing_and_one_hides_all(geometry):
    assert not draw_cells(MaskConfig(ratio=0, geometry=geometry), (4, 4, 4), a_generator()).any()
    assert draw_cells(MaskConfig(ratio=1, geometry=geometry), (4, 4, 4), a_generator()).all()


def test_random_cells_hide_the_share_asked_for():
    assert draw_cells(MaskConfig(ratio=0.3, geometry="random"), (5, 5, 4), a_generator()).sum() == 30


def test_a_block_is_one_cuboid_of_about_the_share():
    mask = draw_cells(MaskConfig(ratio=0.3, geometry="block"), (40, 56, 40), a_generator())
    k, j, i = np.nonzero(mask)
    box = np.prod([axis.max() - axis.min() + 1 for axis in (k, j, i)])
    assert box == mask.sum()
    assert mask.mean() == pytest.approx(0.3, abs=0.02)


def test_cells_become_whole_voxel_blocks_cut_at_the_patch():
    cells = np.zeros((2, 2, 2), bool)
    cells[1, 0, 1] = True
    voxels = to_voxels(cells, MaskConfig(cell=(2, 3, 4)), (3, 5, 7))
    assert voxels.shape == (3, 5, 7)
    assert voxels[2:, :3, 4:].all()
    assert voxels.sum() == 1 * 3 * 3


def test_the_same_key_draws_the_same_mask_and_another_key_another():
    config = MaskConfig(ratio=0.4, geometry="random", cell=4)
    first, again = (draw_mask(config, (16, 16, 16), a_generator(3)) for _ in range(2))
    assert (first == again).all()
    assert (first != draw_mask(config, (16, 16, 16), a_generator(4))).any()


def test_complementary_masks_hide_every_voxel_once():
    masks = complementary_masks(MaskConfig(cell=4), (16, 12, 10), 3, a_generator())
    assert (np.sum(masks, axis=0) == 1).all()
