"""What callers rely on: values stay where they are in the patient, and labels stay labels."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import IGNORE
from medcontext.resample import resample_array, resample_to_grid, resample_volume

SHEARED = np.array([[1.0, 0.2, 0.1, 10], [-0.1, -1.2, 0.3, -5], [0.2, 0.1, 2.5, 7], [0, 0, 0, 1]])


def height(geometry: Geometry) -> np.ndarray:
    """A value that grows linearly through the patient, so that linear interpolation must reproduce it."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    return (geometry.index_to_lps(index) @ [1.0, -2.0, 0.5]).astype(np.float32)[None]


def blobs(shape: tuple[int, int, int], labels: int, seed: int = 0) -> np.ndarray:
    """Smooth random regions with values 0..labels-1."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=(labels, *shape))
    return np.stack([ndimage.gaussian_filter(n, 2) for n in noise]).argmax(0).astype(np.uint8)[None]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 0.7, 1.3)])
def test_linear_resampling_leaves_values_where_they_are(spacing: tuple[float, float, float]) -> None:
    geometry = Geometry((12, 20, 18), SHEARED)
    out = resample_volume(Volume(height(geometry), geometry), spacing, order=1)
    inner = (slice(None), *(slice(2, -2) for _ in range(3)))  # at the border the outermost value is repeated
    np.testing.assert_allclose(out.array[inner], height(out.geometry)[inner], atol=1e-3)
    assert out.array.dtype == np.float32


def test_same_shape_is_not_copied() -> None:
    array = np.zeros((1, 3, 4, 5), np.float32)
    assert resample_array(array, (3, 4, 5), 1) is array


@pytest.mark.parametrize("shape", [(13, 31, 20), (24, 9, 40), (5, 1, 60)])
def test_labels_equal_the_strongest_of_all_linear_masks(shape: tuple[int, int, int]) -> None:
    labels = blobs((12, 20, 30), 5)
    masks = np.concatenate([resample_array((labels == v).astype(np.float32), shape, 1) for v in range(5)])
    chosen = np.take_along_axis(masks, resample_array(labels, shape, 0).astype(int), 0)[0]
    np.testing.assert_allclose(chosen, masks.max(0), atol=2e-4)


def test_halving_favours_no_label() -> None:
    labels = blobs((40, 40, 40), 2)
    half = resample_array(labels, (20, 20, 20), 0)
    assert half.mean() == pytest.approx(labels.mean(), rel=0.02)


def test_ignored_voxels_stay_where_they_are_and_do_not_grow() -> None:
    labels = np.ones((1, 8, 8, 8), np.uint8)
    labels[0, 4:] = IGNORE
    out = resample_array(labels, (16, 8, 8), 0)
    assert (out[0, :8] == 1).all()
    assert (out[0, 8:] == IGNORE).all()


def test_nearest_axis_copies_whole_slices() -> None:
    array = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    out = resample_array(array, (8, 12, 12), 1, nearest_axis=0)
    np.testing.assert_array_equal(out[0, 0], out[0, 1])
    np.testing.assert_allclose(out[0, ::2], resample_array(array, (4, 12, 12), 1)[0], atol=1e-6)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16])
def test_label_types_are_kept(dtype: type) -> None:
    labels = (blobs((8, 8, 8), 2) > 0).astype(dtype)
    assert resample_array(labels, (5, 9, 8), 0).dtype == dtype


def test_to_another_grid_leaves_values_where_they_are() -> None:
    source = Geometry((20, 24, 22), SHEARED)
    turned = np.array([[0, -0.8, 0.6, 0], [1, 0, 0, 0], [0, 0.9, 1.2, 0], [0, 0, 0, 1.0]])
    turned[:3, 3] = source.index_to_lps(np.array([10, 12, 11])) - turned[:3, :3] @ [3, 4, 2]
    target = Geometry((5, 8, 7), turned)
    out = resample_to_grid(Volume(height(source), source), target, order=1)
    np.testing.assert_allclose(out.array, height(target), atol=1e-3)


def test_to_a_reoriented_grid_is_exact_for_labels() -> None:
    labels = Volume(blobs((9, 12, 15), 4), Geometry((9, 12, 15), SHEARED))
    turned = labels.reorient("AIR")
    np.testing.assert_array_equal(resample_to_grid(labels, turned.geometry, 0).array, turned.array)


def test_to_a_finer_grid_of_the_same_box_equals_resampling_the_array() -> None:
    labels = Volume(blobs((10, 12, 14), 4), Geometry((10, 12, 14), SHEARED))
    target = labels.geometry.resampled((17, 15, 23))
    out = resample_to_grid(labels, target, 0).array
    assert np.mean(out == resample_array(labels.array, target.shape, 0)) > 0.999  # ties may fall either way


@pytest.mark.parametrize("order", [0, 1])
def test_outside_is_filled(order: int) -> None:
    volume = Volume(np.full((1, 4, 4, 4), 3, np.uint8), Geometry.from_spacing((4, 4, 4)))
    out = resample_to_grid(volume, volume.geometry.cropped((-2, 0, 0), (8, 4, 4)), order, fill=IGNORE)
    assert (out.array[0, 2:6] == 3).all()
    assert (out.array[0, [0, 1, 6, 7]] == IGNORE).all()


def test_images_that_do_not_overlap_are_refused() -> None:
    volume = Volume(np.zeros((1, 4, 4, 4), np.float32), Geometry.from_spacing((4, 4, 4)))
    with pytest.raises(InputError, match="do not overlap"):
        resample_to_grid(volume, volume.geometry.cropped((0, 90, 0), (4, 4, 4)), 1)
