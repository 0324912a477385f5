"""Staying inside a region of interest."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Predictor
from medcontext.plan import Intensity

BOX = (slice(5, 12), slice(3, 14), slice(8, 20))


def inside(array: np.ndarray) -> np.ndarray:
    return array[(0, *BOX)]


def outside(array: np.ndarray) -> np.ndarray:
    mask = np.ones(array.shape[1:], bool)
    mask[BOX] = False
    return array[0][mask]


@pytest.mark.parametrize("field_of_view", [(500.0,) * 3, (8.0,) * 3], ids=["whole image", "crop"])
@pytest.mark.parametrize("orientation", ["LPS", "RIA", "PSR"])
def test_only_the_box_is_written_and_there_it_equals_the_whole(
    make_card, bands, cpu, field_of_view, orientation
) -> None:
    shape = (20, 18, 26)
    array = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    image = Volume(array, Geometry.from_spacing(shape))
    card = make_card(4, orientation=orientation, field_of_view=field_of_view)
    result = Predictor([bands], card, cpu, "fp32").predict(
        image, box=BOX, probabilities_of=(2,), certainty="entropy"
    )
    expected = np.digitize(array, [-1.5, -0.5, 0.5, 1.5])
    np.testing.assert_array_equal(inside(result.labelmap.array), inside(expected))
    for written in (result.labelmap.array, result.probabilities[2][None], result.certainty.array):
        assert not outside(written).any()
        assert inside(written).any()


def test_a_box_on_a_resampled_image_equals_the_whole(make_card, bands, cpu) -> None:
    shape = (20, 18, 26)
    array = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    image = Volume(array, Geometry.from_spacing(shape, (2.0, 0.8, 0.7)))
    predictor = Predictor([bands], make_card(4, orientation="RAS"), cpu, "fp32")
    whole, boxed = predictor.predict(image), predictor.predict(image, box=BOX)
    np.testing.assert_array_equal(inside(boxed.labelmap.array), inside(whole.labelmap.array))


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(("trained_on", "windows"), [(64.0, 27), (20.0, 1)], ids=["whole images", "crops"])
def test_around_the_box_is_half_a_patch_of_context_unless_the_model_knows_crops_only(
    make_card, threshold, cpu, noise, trained_on, windows
) -> None:
    image = noise((64, 64, 64))
    card = make_card(patch=(16, 16, 16), field_of_view=(trained_on,) * 3)
    box = (slice(24, 40), slice(24, 40), slice(24, 40))
    Predictor([threshold], card, cpu, "fp32").predict(image, box=box)
    assert threshold.calls == windows  # 16 + 2 * 8 voxels, windows of 16 at 0, 8 and 16; or the box alone


@pytest.mark.parametrize(("largest", "expected"), [(30.0, 0.0), (10.0, 0.5)], ids=["whole image", "box"])
def test_statistics_come_from_the_box_where_the_image_is_far_larger_than_trained(
    make_card, threshold, cpu, largest, expected
) -> None:
    """The box holds -1 and 1, the rest 100: against the whole image, all of the box is dark."""
    array = np.full((1, 24, 24, 24), 100.0, np.float32)
    box = (slice(8, 16), slice(8, 16), slice(8, 16))
    array[(0, *box)] = np.where(np.arange(8) % 2, 1.0, -1.0)
    image = Volume(array, Geometry.from_spacing((24, 24, 24)))
    card = make_card(intensity=Intensity(kind="zscore"), field_of_view=(largest,) * 3)
    result = Predictor([threshold], card, cpu, "fp32").predict(image, box=box)
    assert result.labelmap.array[(0, *box)].mean() == expected


def test_open_and_overhanging_ranges_are_cut_to_the_image(make_card, threshold, cpu, noise) -> None:
    image = noise((10, 11, 12))
    predictor = Predictor([threshold], make_card(), cpu)
    whole = predictor.predict(image, box=(slice(None), slice(-5, 99), slice(None, 99)))
    np.testing.assert_array_equal(whole.labelmap.array, image.array > 0)


@pytest.mark.parametrize("box", [(slice(50, 60),) * 3, (slice(5, 5), slice(None), slice(None))])
def test_a_box_without_image_is_an_input_error(make_card, threshold, cpu, noise, box) -> None:
    with pytest.raises(InputError, match="outside the image"):
        Predictor([threshold], make_card(), cpu).predict(noise(), box=box)
