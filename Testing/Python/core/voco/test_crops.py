"""Overlap labels are exact, crops are what they say they are, and a seed gives the same ones again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.data.sampling import generator_for
from medcontext.methods.voco.config import CropChanges
from medcontext.methods.voco.crops import CropMaker, Layout

UNCHANGED = CropChanges(flip=0, rotate=0, shift_probability=0)
GRIDS = [(1, 3, 3), (1, 4, 4), (2, 2, 2), (2, 3, 1)]


def layout_of(grid, cell=(8, 8, 8), crop=None) -> Layout:
    return Layout(grid, cell, crop or cell)


def scan(shape=(20, 40, 40), channels=1, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, *shape)).astype(np.float16)


@pytest.mark.parametrize("grid", GRIDS)
def test_overlaps_of_a_crop_sum_to_one(grid):
    layout = layout_of(grid, (7, 9, 11))
    overlap = layout.overlap(layout.draw(500, np.random.default_rng(0)))
    assert np.abs(overlap.sum(axis=1) - 1).max() < 1e-12
    assert overlap.shape == (500, np.prod(grid))


@pytest.mark.parametrize(("grid", "most"), [((1, 3, 3), 4), ((1, 4, 4), 4), ((2, 2, 2), 8), ((3, 3, 3), 8)])
def test_a_crop_touches_at_most_four_cells_of_a_plane_and_eight_of_a_volume(grid, most):
    layout = layout_of(grid)
    touched = (layout.overlap(layout.draw(2000, np.random.default_rng(0))) > 0).sum(axis=1)
    assert touched.max() == most
    assert touched.min() >= 1


def test_the_overlap_is_the_product_of_what_the_sides_share():
    layout = layout_of((1, 3, 3), (4, 10, 20))
    ((y),) = layout.overlap(np.array([[0, 3, 35]]))
    along_j, along_i = np.array([0.7, 0.3, 0]), np.array([0, 0.25, 0.75])
    assert np.abs(y - np.outer(along_j, along_i).ravel()).max() < 1e-12


@pytest.mark.parametrize("grid", GRIDS)
def test_the_overlap_counts_the_voxels_that_lie_in_each_cell(grid):
    layout = layout_of(grid, (4, 5, 6))
    k, j, i = (np.arange(n) // c for n, c in zip(layout.region, layout.cell, strict=True))
    cells = (k[:, None, None] * grid[1] + j[:, None]) * grid[2] + i
    starts = layout.draw(50, np.random.default_rng(0))
    for start, y in zip(starts, layout.overlap(starts), strict=True):
        box = tuple(slice(s, s + c) for s, c in zip(start, layout.cell, strict=True))
        counted = np.bincount(cells[box].ravel(), minlength=y.size) / np.prod(layout.cell)
        assert np.abs(y - counted).max() < 1e-12


def test_a_crop_on_a_cell_is_one_hot():
    layout = layout_of((2, 3, 3))
    assert np.array_equal(layout.overlap(layout.bases()), np.eye(18))


def test_a_crop_on_a_corner_is_a_quarter_of_each_of_four_cells():
    ((y),) = layout_of((1, 3, 3)).overlap(np.array([[0, 4, 12]]))
    assert np.array_equal(y.reshape(3, 3), [[0, 0.25, 0.25], [0, 0.25, 0.25], [0, 0, 0]])
    ((y),) = layout_of((2, 2, 2)).overlap(np.array([[4, 4, 4]]))
    assert np.array_equal(y, np.full(8, 0.125))


def test_base_crops_put_together_are_the_region_without_gap_or_overlap():
    layout, volume = layout_of((2, 3, 2), (4, 6, 8)), scan((8, 18, 16), channels=2)
    crops = layout.cut(volume, layout.bases()).reshape(2, 3, 2, 2, 4, 6, 8)
    whole = crops.permute(3, 0, 4, 1, 5, 2, 6).reshape(2, 8, 18, 16)
    assert torch.equal(whole, torch.from_numpy(volume.astype(np.float32)))


def test_crops_of_a_larger_cell_are_brought_to_the_networks_size():
    ramp = np.broadcast_to(np.arange(24, dtype=np.float16), (1, 12, 12, 24))
    crops = layout_of((1, 1, 2), (12, 12, 12), (8, 8, 8)).cut(ramp, np.array([[0, 0, 0], [0, 0, 12]]))
    assert crops.shape == (2, 1, 8, 8, 8)
    expected = (torch.arange(8) + 0.5) * 1.5 - 0.5  # a voxel is 1.5 old ones wide
    assert torch.allclose(crops[0, 0, 3, 3], expected, atol=1e-5)
    assert torch.allclose(crops[1, 0, 3, 3], expected + 12, atol=1e-5)


def test_random_crops_lie_inside_the_grid_and_the_grid_anywhere_in_the_scan():
    layout = layout_of((1, 3, 3))
    starts = layout.draw(3000, np.random.default_rng(0))
    assert starts.min(axis=0).tolist() == [0, 0, 0]
    assert starts.max(axis=0).tolist() == [0, 16, 16]
    maker = CropMaker(layout, 1, UNCHANGED)
    numbered = np.arange(30 * 30, dtype=np.float16).reshape(1, 1, 30, 30).repeat(8, axis=1)
    corners = {float(maker([numbered], [n], [generator_for(0, 0, n)]).base[0, 0].min()) for n in range(300)}
    assert corners == {30.0 * j + i for j in range(7) for i in range(7)}


def test_a_seed_gives_the_same_crops_again_whatever_other_scans_are_in_the_batch():
    maker = CropMaker(layout_of((1, 3, 3)), 4, CropChanges())
    volumes = [scan(seed=0, channels=2), scan(seed=1, channels=2)]
    both = maker(volumes, [0, 1], [generator_for(5, 3, n) for n in (0, 1)])
    again = maker(volumes[1:], [1], [generator_for(5, 3, 1)])
    other = maker(volumes[1:], [1], [generator_for(6, 3, 1)])
    assert both.base.shape == (2, 9, 2, 8, 8, 8)
    assert both.random.shape == (2, 4, 2, 8, 8, 8)
    assert both.overlap.dtype == torch.float32
    for name in ("base", "random", "overlap", "samples"):
        assert torch.equal(getattr(both, name)[1:], getattr(again, name))
    assert not torch.equal(again.overlap, other.overlap)


def test_turning_and_mirroring_a_crop_never_changes_where_it_came_from():
    volume = [scan()]
    plain, changed = (
        CropMaker(layout_of((1, 3, 3)), 6, changes)(volume, [0], [generator_for(0, 0, 0)])
        for changes in (UNCHANGED, CropChanges(flip=0.5, rotate=0.5, shift_probability=0))
    )
    assert torch.equal(plain.overlap, changed.overlap)
    moved = 0
    for before, after in zip(plain.random[0], changed.random[0], strict=True):
        moved += not torch.equal(before, after)
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
    assert moved > 2


@pytest.mark.parametrize(("cell", "turned"), [((8, 8, 8), True), ((8, 8, 6), False)])
def test_crops_are_turned_by_quarters_only_where_they_are_square(cell, turned):
    changes = CropChanges(flip=0, rotate=1, shift_probability=0)
    layout = layout_of((1, 1, 2), cell)
    plain, changed = (
        CropMaker(layout, 12, c)([scan((8, 8, 16))], [0], [generator_for(0, 0, 0)])
        for c in (UNCHANGED, changes)
    )
    assert plain.random.shape == changed.random.shape
    pairs = list(zip(plain.random[0], changed.random[0], strict=True))
    halves = [torch.equal(before.rot90(2, (-2, -1)), after) for before, after in pairs]
    assert all(halves) != turned


def test_the_shift_moves_all_grey_values_of_a_crop_by_one_number():
    changes = CropChanges(flip=0, rotate=0, shift=0.1, shift_probability=0.5)
    plain, changed = (
        CropMaker(layout_of((1, 3, 3)), 4, c)([scan()], [0], [generator_for(0, 0, 0)])
        for c in (UNCHANGED, changes)
    )
    moved = (changed.base - plain.base)[0].flatten(1)
    assert torch.allclose(moved.amax(1), moved.amin(1), atol=1e-6)
    assert 0 < moved.abs().max() <= 0.1 + 1e-6
    assert (moved.abs().amax(1) == 0).any()
