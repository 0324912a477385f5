"""What is worked on: the image itself, or a reduced copy that says so; what cannot be worked on is one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.workflows.working_copy import WorkingCopy, averaged


def noise(shape: Triple, channels: int = 1, dtype: type = np.float32) -> Volume:
    values = np.random.default_rng(0).integers(0, 200, (channels, *shape))
    return Volume(values.astype(dtype), Geometry.from_spacing(shape, (3.0, 1.0, 1.0)))


def refused(image: Volume) -> str:
    with pytest.raises(InputError) as caught:
        WorkingCopy.of(image)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_an_image_that_fits_is_worked_on_as_it_is() -> None:
    for shape in ((1, 300, 200), (96, 40, 96), (30, 1, 40)):
        image = noise(shape)
        copy = WorkingCopy.of(image)
        np.testing.assert_array_equal(copy.image.array, image.array)
        assert copy.image.geometry is image.geometry
        assert copy.reduced == ""


def test_bytes_become_floats() -> None:
    image = noise((1, 20, 20), dtype=np.uint8)
    assert WorkingCopy.of(image).image.array.dtype == np.float32


def test_a_picture_of_10_000_pixels_is_reduced_and_said() -> None:
    tile = np.zeros((1, 1, 2_000, 10_000), np.uint8)
    tile[..., 500:1_500, 2_000:8_000] = 100
    copy = WorkingCopy.of(Volume(tile, Geometry.from_spacing((1, 2_000, 10_000))))
    assert copy.image.shape == (1, 410, 2048)
    assert "10000 x 2000 pixels was reduced to 2048 x 410" in copy.reduced
    assert copy.image.array.mean() == pytest.approx(30, rel=1e-3)
    marked = copy.enlarged(copy.image.array[0] > 50)
    assert np.mean(marked != (tile[0] > 50)) < 2e-3
    assert copy.index_in_copy((0, 1_999, 0)) == (0, 409, 0)


def test_a_narrow_picture_stays_wide_enough() -> None:
    copy = WorkingCopy.of(noise((1, 16, 30_000)))
    assert copy.image.shape == (1, 16, 2048)
    assert copy.reduced
    assert copy.enlarged(np.ones(copy.image.shape, np.uint8)).shape == (1, 16, 30_000)


def test_a_large_volume_is_reduced_towards_cubic_voxels_and_said() -> None:
    copy = WorkingCopy.of(noise((40, 200, 100)))
    assert copy.image.shape == (40, 96, 48)
    assert "40 x 200 x 100 voxels was reduced to 40 x 96 x 48 voxels" in copy.reduced
    assert copy.image.geometry.corners().mean(0) == pytest.approx(copy.whole.corners().mean(0))
    assert copy.enlarged(np.zeros((40, 96, 48), np.uint8)).shape == (40, 200, 100)


def test_a_mean_is_that_of_the_voxels_it_stands_for() -> None:
    image = noise((4, 6, 9), channels=2)
    found = averaged(image.array, (2, 6, 3))
    expected = image.array.reshape(2, 2, 2, 6, 3, 3).mean((2, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    uneven = averaged(image.array, (4, 4, 9))
    np.testing.assert_allclose(uneven[:, :, 0], image.array[:, :, :2].mean(2), rtol=1e-6)


def test_labels_go_there_and_back() -> None:
    copy = WorkingCopy.of(noise((1, 3000, 40)))
    labels = np.arange(copy.image.array[0].size).reshape(copy.image.shape)
    np.testing.assert_array_equal(copy.shrunk(copy.enlarged(labels)), labels)


def test_one_value_everywhere_is_refused() -> None:
    constant = Volume(np.full((3, 1, 20, 20), 7.5, np.float32), Geometry.from_spacing((1, 20, 20)))
    assert "one value everywhere (7.5, 7.5, 7.5)" in refused(constant)


def test_8_pixels_are_refused() -> None:
    assert "8 x 8 pixels; at least 16 a side" in refused(noise((1, 8, 8)))
    assert "40 x 15 pixels" in refused(noise((1, 15, 40)))
    assert "4 x 30 x 30 voxels (k, j, i); at least 8" in refused(noise((4, 30, 30)))


def test_a_volume_above_512_voxels_is_refused() -> None:
    wide = Volume(np.zeros((1, 8, 8, 513), np.uint8), Geometry.from_spacing((8, 8, 513)))
    assert "at most 512" in refused(wide)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    image = noise((1, 20, 20))
    image.array[0, 0, 3, 4] = value
    assert "1 voxels that are not finite" in refused(image)
