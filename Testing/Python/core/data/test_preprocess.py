"""Annotated slices reach the model's grid, whatever its spacing; whole labels move as labels do."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.preprocess import labels_to_model_grid
from medcontext.geometry import Geometry, Volume
from medcontext.labels import IGNORE
from medcontext.plan import ResamplePlan
from medcontext.resample import resample_volume


def moved(
    array: np.ndarray, spacing: tuple[float, float, float], separate_z: int | None = None
) -> np.ndarray:
    """Labels of 0.5 x 1 x 1 mm on another grid."""
    labelmap = Volume(array[None], Geometry.from_spacing(array.shape, (0.5, 1.0, 1.0)))  # type: ignore[arg-type]
    recipe = GridRecipe("LPS", spacing, (), ResamplePlan(separate_z=separate_z))
    return labels_to_model_grid(labelmap, recipe).array[0]


@pytest.mark.parametrize("separate_z", [None, 0])
@pytest.mark.parametrize("spacing", [0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.3])
def test_no_annotated_slice_is_lost(spacing: float, separate_z: int | None) -> None:
    array = np.full((120, 8, 8), IGNORE, np.uint8)
    slices = range(5, 120, 10)
    for number, index in enumerate(slices):
        array[index] = 0
        array[index, 2:5, 2:5] = 1 + number
    result = moved(array, (spacing, 1.0, 1.0), separate_z)
    assert set(np.unique(result)) == {0, *range(1, 13), IGNORE}
    for number, index in enumerate(slices):
        place = int((index + 0.5) * len(result) / 120)
        assert np.array_equal(result[place] == 1 + number, array[index] == 1 + number)
    count, thickness = int((result != IGNORE).any((1, 2)).sum()), 60 / len(result)  # mm
    assert count * thickness >= 0.5 * len(slices) * 0.5  # at least half of what was annotated
    assert count <= len(slices) * max(1, np.ceil(0.5 / spacing))


def test_slices_across_other_axes_and_coarser_planes_survive() -> None:
    array = np.full((20, 30, 40), IGNORE, np.uint8)
    array[:, :, 7] = 0
    array[4:9, 3:20, 7] = 1
    result = moved(array, (1.0, 3.0, 4.0))
    assert result.shape == (10, 10, 10)
    assert (result != IGNORE).any((0, 1)).tolist() == [False, True] + [False] * 8
    assert set(np.unique(result[:, :, 1])) == {0, 1}


def test_a_single_voxel_in_a_mask_survives() -> None:
    array = np.full((20, 20, 20), IGNORE, np.uint8)
    array[11, 13, 17] = 2
    result = moved(array, (2.0, 4.0, 4.0))
    assert result[2, 3, 4] == 2
    assert (result != IGNORE).sum() == 1


@pytest.mark.parametrize("spacing", [(0.8, 1.0, 1.0), (2.0, 2.0, 3.0), (0.5, 0.7, 0.7)])
def test_a_label_that_was_annotated_as_a_whole_moves_as_labels_do(
    spacing: tuple[float, float, float],
) -> None:
    array = np.random.default_rng(0).integers(0, 3, (24, 20, 20)).astype(np.uint8)
    labelmap = Volume(array[None], Geometry.from_spacing(array.shape, (0.5, 1.0, 1.0)))  # type: ignore[arg-type]
    assert np.array_equal(moved(array, spacing), resample_volume(labelmap, spacing, 0).array[0])
