"""Images reach the grid of a model of nnU-Net as nnU-Net itself brings them there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes
from skimage.transform import resize

from medcontext.data.grid_recipe import GridRecipe, cut, slicewise_axis
from medcontext.data.preprocess import labels_to_model_grid, prepare_case, to_model_grid
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.plan import STORED, Channel, Fingerprint, Intensity, NetworkSpec, Plan, ResamplePlan

OF_IMAGE = ResamplePlan(order=3, coarse_axis="of_image")
ALL = Intensity(kind="zscore", percentiles=(0, 100))
INSIDE = Intensity(kind="zscore", percentiles=(0, 100), within_nonzero=True)


def recipe(spacing=(1.0, 1.0, 1.0), intensities=(ALL,), **more) -> GridRecipe:
    channels = tuple(Channel(name="c", modality="MRI", intensity=i) for i in intensities)
    return GridRecipe(STORED, spacing, channels, **({"resample": OF_IMAGE} | more))


def a_head(shape=(20, 24, 22), channels: int = 2) -> np.ndarray:
    """Noise in a box with zeros around it and a hole of zeros inside."""
    array = np.random.default_rng(0).normal(200, 40, (channels, *shape)).astype(np.float32)
    mask = np.zeros(shape, bool)
    mask[3:17, 2:20, 5:21] = True
    mask[8:11, 8:12, 9:13] = False
    return array * mask


@pytest.mark.parametrize(
    ("current", "new", "axis"),
    [
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), None),
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        (
            (1.0, 0.3, 1.0),
            (5.0, 1.0, 1.0),
            None,
        ),  # two equally coarse axes; the new spacing is not asked then
        ((3.0, 1.0, 1.0), (1.0, 1.0, 3.1), 2),  # exactly 3 is not coarse
        ((1.0, 4.0, 0.9), (9.0, 1.0, 1.0), 1),
    ],
)
def test_the_axis_of_slices_is_told_from_the_image_first(current, new, axis) -> None:
    assert slicewise_axis(current, new) == axis


def test_the_way_back_looks_at_the_spacing_of_the_model_first() -> None:
    grid = Geometry.from_spacing((10, 10, 10), (1.0, 1.0, 5.0))
    there = recipe((4.0, 1.0, 1.0))
    assert (there.nearest_axis(grid), there.nearest_axis_back(grid)) == (2, 0)


def test_a_spacing_that_is_almost_the_same_is_resampled_as_well() -> None:
    grid = Geometry.from_spacing((300, 10, 10), (1.0, 1.0, 1.0))
    assert recipe((1.005, 1.0, 1.0)).shape_of(grid) == (299, 10, 10)
    fixed = recipe((1.005, 1.0, 1.0), resample=ResamplePlan())
    assert fixed.shape_of(grid) == (300, 10, 10)


def test_a_model_of_slices_keeps_their_distance() -> None:
    grid = Geometry.from_spacing((9, 40, 40), (5.0, 1.0, 1.0))
    plan = ResamplePlan(order=3, coarse_axis="of_image", kept_axis=0)
    assert recipe((2.0, 2.0, 2.0), resample=plan).shape_of(grid) == (9, 20, 20)


@pytest.mark.parametrize("orientation", [STORED, "RAS", "PIR"])
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_turned_voxels_stay_where_they_are_in_the_patient(orientation: str, transpose) -> None:
    affine = np.array([[0, -1.1, 0, 4], [0, 0, 0.9, -30], [2.0, 0, 0, 7], [0, 0, 0, 1.0]])
    image = Volume(
        np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32), Geometry((4, 5, 6), affine)
    )
    plain = Channel(name="c", modality="MRI", intensity=Intensity(kind="none"))
    there = GridRecipe(orientation, (1.0,) * 3, (plain,), transpose=transpose)
    there = replace(there, spacing=there.turned(image.geometry).spacing)
    moved = to_model_grid(image, there)
    assert moved.geometry.same_grid(there.turned(image.geometry))
    oriented = image if orientation == STORED else image.reorient(orientation)
    np.testing.assert_array_equal(moved.array, oriented.permute(transpose).array)
    where = moved.geometry.index_to_lps(np.argwhere(moved.array[0] == image.array[0, 1, 2, 3])[0])
    np.testing.assert_allclose(where, image.geometry.index_to_lps(np.array([1, 2, 3])))


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_an_image_with_air_around_it_is_prepared_as_by_formula(transpose) -> None:
    """Cut to what is not zero, holes filled; the first channel scaled by what lies inside, the second by all of it."""
    array = a_head()
    stored = array.transpose(0, *(int(a) + 1 for a in np.argsort(transpose)))
    spacing = tuple(float(mm) for mm in np.array([1.0, 1.1, 0.9])[np.argsort(transpose)])
    image = Volume(np.ascontiguousarray(stored), Geometry.from_spacing(stored.shape[1:], spacing))
    there = recipe((1.3, 0.8, 1.0), (INSIDE, ALL), transpose=transpose, crop=True)
    part = array[:, 3:17, 2:20, 5:21].astype(np.float64)
    inside = binary_fill_holes((part != 0).any(0))
    first = np.where(inside, (part[0] - part[0][inside].mean()) / part[0][inside].std(), 0)
    scaled = np.stack([first, (part[1] - part[1].mean()) / part[1].std()])
    shape = tuple(
        round(n * s / t) for n, s, t in zip(part.shape[1:], (1.0, 1.1, 0.9), there.spacing, strict=True)
    )
    expected = np.stack([resize(c, shape, order=3, mode="edge", anti_aliasing=False) for c in scaled])
    moved = to_model_grid(cut(image, there.box(image)), there)
    np.testing.assert_allclose(moved.array, expected, atol=1e-5)


def test_air_that_reaches_in_is_no_hole() -> None:
    array = a_head(channels=1)
    array[0, :, 9:11, 10:12] = 0  # a channel from border to border
    image = Volume(array, Geometry.from_spacing(array.shape[1:]))
    moved = to_model_grid(image, recipe(intensities=(INSIDE,)))
    inside = binary_fill_holes(array[0] != 0)
    np.testing.assert_array_equal(moved.array[0] != 0, inside)


def test_an_image_of_zeros_is_refused_with_a_sentence() -> None:
    image = Volume(np.zeros((1, 4, 5, 6), np.float32), Geometry.from_spacing((4, 5, 6)))
    with pytest.raises(InputError, match="All voxels of the image are zero"):
        recipe(crop=True).box(image)
    with pytest.raises(InputError, match="no voxel that is not zero"):
        to_model_grid(image, recipe(intensities=(INSIDE,)))


def test_labels_are_cut_and_moved_with_their_image() -> None:
    array, labels = a_head(channels=1), np.zeros((20, 24, 22), np.uint8)
    labels[4:12, 3:15, 6:18], labels[0, 0, 0] = 7, 7  # one voxel lies in the air
    geometry = Geometry.from_spacing(labels.shape, (1.0, 1.0, 1.0))
    seen = Fingerprint(
        cases=1,
        median_shape=(9, 9, 9),
        median_spacing=(1.0,) * 3,
        spacing_range=((1.0,) * 3, (1.0,) * 3),
        field_of_view_range=((9.0,) * 3, (9.0,) * 3),
        anisotropy=1,
    )
    plan = Plan(
        channels=list(recipe().channels),
        labels=[{"value": 7, "name": "box"}],
        spacing=(2.0, 2.0, 2.0),
        orientation=STORED,
        transpose=(2, 0, 1),
        crop_to_nonzero=True,
        patch_size=(8, 8, 8),
        batch_size=1,
        steps=1,
        resample=OF_IMAGE,
        network=NetworkSpec(name="dynunet"),
        fingerprint=seen,
    )
    image, moved = prepare_case(Volume(array, geometry), Volume(labels[None], geometry), plan)
    assert moved is not None
    assert image.shape == moved.shape == (8, 7, 9)  # 16, 14 and 18 voxels of 1 mm
    expected = np.zeros((16, 14, 18), np.uint8)
    expected[1:13, 1:9, 1:13] = 1
    whole = Volume(expected[None], Geometry.from_spacing(expected.shape))
    np.testing.assert_array_equal(moved, labels_to_model_grid(whole, recipe((2.0, 2.0, 2.0))).array[0])
