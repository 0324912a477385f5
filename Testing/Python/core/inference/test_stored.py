"""Models that keep images as they are stored: transposed, cut to what is not zero, or slice by slice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch import nn

from medcontext.card_schema import InferenceSpec, InputRange, ModelCard
from medcontext.data.grid_recipe import GridRecipe, cut
from medcontext.data.preprocess import to_model_grid
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Focus, Predictor
from medcontext.inference.checks import check_image
from medcontext.plan import Intensity, ResamplePlan

SHAPE, SPACING = (15, 22, 18), (1.6, 0.9, 1.1)
IN_AIR = (slice(0, 2), slice(0, 2), slice(0, 2))
HEAD = (slice(2, 13), slice(3, 20), slice(4, 16))
TARGET = (1.2, 1.0, 1.4)
Make = Callable[..., ModelCard]


class Near(nn.Module):
    """Five classes by the mean of a few neighbours: windows matter, and so does the order of the axes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.convolution = nn.Conv3d(1, 5, (1, 3, 5), padding=(0, 1, 2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.convolution(image)


@pytest.fixture(scope="module")
def network() -> Near:
    return Near()


@pytest.fixture
def head() -> Volume:
    array = np.zeros((1, *SHAPE), np.float32)
    array[(0, *HEAD)] = np.random.default_rng(1).normal(3, 1, tuple(s.stop - s.start for s in HEAD))
    return Volume(array, Geometry.from_spacing(SHAPE, SPACING))


@pytest.fixture
def of_nnunet(make_card: Make) -> Make:
    """A card such as an imported model of nnU-Net has."""

    def make(transpose=(0, 1, 2), flips=(), patch=(6, 8, 8), kept=None, kind="zscore") -> ModelCard:
        card = make_card(4, patch=patch, intensity=Intensity(kind=kind, percentiles=(0, 100)))
        spec = {
            "orientation": "stored",
            "transpose": transpose,
            "crop_to_nonzero": True,
            "spacing": TARGET,
            "dims": 3 if kept is None else 2,
            "range": InputRange(spacing=((0.5,) * 3, (4.0,) * 3)),
        }
        plan = ResamplePlan(order=3, coarse_axis="of_image", kept_axis=kept)
        inference = InferenceSpec(resample=plan, window_weight="nnunet", flips=list(flips))
        changes = {"input": card.input.model_copy(update=spec), "inference": inference}
        return card.model_copy(update=changes)

    return make


def turned(image: Volume, transpose: tuple[int, int, int]) -> Volume:
    """The same voxels in an array that the model's transposition brings back to the first order."""
    back = [int(axis) for axis in np.argsort(transpose)]
    spacing = tuple(image.spacing[axis] for axis in back)
    array = np.ascontiguousarray(image.array.transpose(0, *(axis + 1 for axis in back)))
    return Volume(array, Geometry.from_spacing(array.shape[1:], spacing))


def predicted(network: nn.Module, card: ModelCard, cpu, image: Volume, **options) -> np.ndarray:
    return Predictor([network], card, cpu, "fp32").predict(image, **options).labelmap.array[0]


def test_labels_are_those_of_the_whole_formula(of_nnunet, network, cpu, head) -> None:
    """One window: cut, scaled, splines, scores, linearly back, the strongest, zeros around."""
    card = of_nnunet(patch=(16, 24, 16))
    recipe = GridRecipe.of_card(card)
    moved = to_model_grid(cut(head, recipe.box(head)), recipe).array
    with torch.inference_mode():
        scores = network(torch.from_numpy(moved)[None])[0].double().numpy()
    size = [side.stop - side.start for side in HEAD]
    assert moved.shape[1:] == tuple(round(n * s / t) for n, s, t in zip(size, SPACING, TARGET, strict=True))
    back = np.stack(
        [zoom(s, np.array(size) / s.shape, order=1, mode="nearest", grid_mode=True) for s in scores]
    )
    expected = np.zeros(SHAPE, np.uint8)
    expected[HEAD] = back.argmax(0)
    np.testing.assert_array_equal(predicted(network, card, cpu, head), expected)


@pytest.mark.parametrize("transpose", [(2, 0, 1), (1, 0, 2)])
def test_an_image_stored_otherwise_gives_the_same_labels(of_nnunet, network, cpu, head, transpose) -> None:
    expected = predicted(network, of_nnunet(flips=(0, 2)), cpu, head)
    assert len(np.unique(expected)) > 2
    card = of_nnunet(transpose, flips=(0, 2))
    found = predicted(network, card, cpu, turned(head, transpose))
    np.testing.assert_array_equal(found.transpose(transpose), expected)


def test_an_orientation_that_is_stored_is_left_whatever_it_is(of_nnunet, network, cpu, head) -> None:
    upside_down = Volume(head.array, Geometry(SHAPE, head.geometry.affine * [[1, 1, -1, 1]]))
    card = of_nnunet()
    np.testing.assert_array_equal(
        predicted(network, card, cpu, upside_down), predicted(network, card, cpu, head)
    )


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_a_box_a_mask_and_a_part_equal_the_whole_inside(of_nnunet, network, cpu, head, transpose) -> None:
    card, image = of_nnunet(transpose, patch=(16, 24, 16)), turned(head, transpose)
    whole = predicted(network, card, cpu, image)
    box = tuple(slice(0, n // 2 + 2) for n in image.shape)
    mask = np.zeros(image.shape, bool)
    mask[tuple(slice(n // 3, n - 2) for n in image.shape)] = True
    inside = np.zeros(image.shape, bool)
    inside[box] = True
    for region, options in (
        (inside, {"box": box}),
        (inside, {"part": box}),
        (mask, {"focus": Focus(mask)}),
    ):
        found = predicted(network, card, cpu, image, **options)
        assert found.any()
        np.testing.assert_array_equal(found, np.where(region, whole, 0))


def test_a_hidden_mask_lies_where_it_lies_in_the_image(of_nnunet, cpu, head) -> None:
    """What is hidden is the zero that the image has after normalisation: a class of its own below."""

    class Zero(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            zero = (image.abs() < 1e-6).float()
            return torch.cat([0 * zero, zero - 0.5, *[0 * zero - 1] * 3], 1)

    transpose = (2, 0, 1)
    image = turned(head, transpose)
    mask = np.zeros(image.shape, bool)
    mask[8:11, 6:9, 7:12] = True
    spacing = tuple(image.spacing[axis] for axis in transpose)
    card = of_nnunet(transpose, patch=(16, 24, 16))
    card = card.model_copy(update={"input": card.input.model_copy(update={"spacing": spacing})})
    found = predicted(Zero(), card, cpu, image, focus=Focus(mask, hidden=True))
    np.testing.assert_array_equal(found, mask)


def test_slices_are_looked_at_one_by_one(of_nnunet, network, cpu, head) -> None:
    """The slices of a 2D model keep their distance, and each is what it would be alone."""
    card = of_nnunet(patch=(1, 8, 8), kept=0, flips=(1, 2), kind="none")
    whole = predicted(network, card, cpu, head)
    assert len(np.unique(whole)) > 2
    for index in (4, 9):
        slice_ = head.crop((index, 0, 0), (1, *SHAPE[1:]))
        np.testing.assert_array_equal(predicted(network, card, cpu, slice_)[0], whole[index])


def test_certainty_of_slices_lies_in_the_image(of_nnunet, network, cpu, head) -> None:
    card = of_nnunet((2, 0, 1), patch=(1, 16, 16), kept=0)
    for kind in ("entropy", "masked"):
        result = Predictor([network], card, cpu, "fp32").predict(turned(head, (2, 0, 1)), certainty=kind)
        sure = result.certainty.array[0].transpose(2, 0, 1)
        assert (sure[HEAD] > 0).mean() > 0.9
        assert np.count_nonzero(sure) == np.count_nonzero(sure[HEAD])


def test_what_is_only_zeros_is_refused_with_a_sentence(of_nnunet, network, cpu, head) -> None:
    empty = Volume(np.zeros_like(head.array), head.geometry)
    with pytest.raises(InputError, match="All voxels of the image are zero"):
        predicted(network, of_nnunet(), cpu, empty)
    with pytest.raises(InputError, match="All voxels of the region are zero"):
        predicted(network, of_nnunet(), cpu, head, box=IN_AIR)


def test_an_extent_that_is_not_known_is_no_limit(of_nnunet, head) -> None:
    card = of_nnunet((2, 0, 1))
    huge = Volume(head.array, Geometry.from_spacing(SHAPE, (900.0, 900.0, 900.0)))
    said: list[dict] = []
    check_image(huge, card, None, Reporter(said.append))
    assert "spacing of 900 x 900 x 900 mm" in said[0]["message"]
    narrow = card.input.model_copy(update={"range": InputRange(spacing=((1.0, 1.5, 0.8), (1.2, 1.7, 1.0)))})
    check_image(head, card.model_copy(update={"input": narrow}), None, Reporter(said.append))
    assert len(said) == 1  # 1.1, 1.6 and 0.9 mm along the axes of the model
