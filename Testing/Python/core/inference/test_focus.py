"""Segmenting a part of an image again: only there, from more places, or from its surroundings alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import nn

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Focus, Predictor
from medcontext.inference.focus import surroundings
from medcontext.plan import Intensity

ZSCORE = Intensity(kind="zscore")


class Watching(nn.Module):
    """Background below zero and label 1 above, by a blurred image; keeps the windows it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Conv3d(1, 1, 5, padding=2, bias=False)
        self.blur.weight.data.fill_(1 / 125)
        self.windows: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.windows.extend(image.clone())
        blurred = self.blur(image)
        return torch.cat([-blurred, blurred], 1)


@pytest.fixture
def watching() -> Watching:
    return Watching()


def ball(shape: Sequence[int], centre: Sequence[int], radius: float) -> np.ndarray:
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)))
    return distance <= radius


def spoilt(image: Volume, mask: np.ndarray, value: float) -> Volume:
    array = image.array.copy()
    array[0][mask] = value
    return Volume(array, image.geometry)


@pytest.mark.parametrize("finer", [False, True])
@pytest.mark.parametrize("orientation", ["LPS", "RIA"])
def test_inside_the_mask_it_equals_the_whole_and_outside_is_nothing(
    make_card, bands, cpu, finer, orientation
) -> None:
    shape = (20, 18, 26)
    array = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    image, mask = Volume(array, Geometry.from_spacing(shape)), ball(shape, (4, 9, 20), 5)
    predictor = Predictor([bands], make_card(4, orientation=orientation), cpu, "fp32")
    result = predictor.predict(
        image, focus=Focus(mask, finer=finer), probabilities_of=(2,), certainty="entropy"
    )
    expected = np.where(mask, np.digitize(array[0], [-1.5, -0.5, 0.5, 1.5]), 0)
    np.testing.assert_array_equal(result.labelmap.array[0], expected)
    for written in (result.probabilities[2], result.certainty.array[0]):
        assert written[mask].any()
        assert not written[~mask].any()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.7, 0.8)])
@pytest.mark.parametrize("value", [1e6, np.nan], ids=["saturated", "not a number"])
def test_what_the_hidden_region_holds_changes_nothing(
    make_card, watching, cpu, noise, spacing, value
) -> None:
    image = Volume(noise((20, 30, 28)).array, Geometry.from_spacing((20, 30, 28), spacing))
    mask = ball(image.shape, (9, 14, 12), 4)
    predictor = Predictor([watching], make_card(intensity=ZSCORE, orientation="RAS"), cpu, "fp32")
    focus = Focus(mask, hidden=True)
    clean = predictor.predict(image, focus=focus, certainty="masked")
    artefact = predictor.predict(spoilt(image, mask, value), focus=focus, certainty="masked")
    assert clean.labelmap.array.any()
    np.testing.assert_array_equal(artefact.labelmap.array, clean.labelmap.array)
    np.testing.assert_array_equal(artefact.certainty.array, clean.certainty.array)


@pytest.mark.usefixtures("unmeasured")
def test_hidden_voxels_are_zero_and_all_others_as_they_are(make_card, watching, cpu, noise) -> None:
    image = noise((8, 8, 8))
    mask = ball(image.shape, (4, 4, 4), 2)
    Predictor([watching], make_card(), cpu, "fp32").predict(image, focus=Focus(mask, hidden=True))
    np.testing.assert_array_equal(watching.windows[0][0], np.where(mask, 0, image.array[0]))


@pytest.mark.usefixtures("unmeasured")
def test_finer_windows_show_the_region_at_many_places(make_card, watching, cpu, noise) -> None:
    image, mask = noise((64, 64, 64)), np.zeros((64, 64, 64), bool)
    mask[30:34, 30:34, 30:34] = True
    card = make_card(patch=(16, 16, 16))
    predictor = Predictor([watching], card, cpu, "fp32")
    predictor.predict(image, focus=Focus(mask))
    ordinary = len(watching.windows)
    predictor.predict(image, focus=Focus(mask, finer=True))
    assert ordinary == 8
    finer = watching.windows[ordinary:]
    assert len(finer) == 64
    assert all(holds_middle(window, image) for window in finer)


def holds_middle(window: torch.Tensor, image: Volume) -> bool:
    return bool(np.isin(image.array[0, 31:33, 31:33, 31:33], window.numpy()).all())


def test_pieces_of_a_label_inside_the_mask_are_all_kept(make_card, threshold, cpu) -> None:
    array = np.full((1, 8, 8, 8), -1, np.float32)
    array[0, 2, 2, 2:5], array[0, 6, 6, 6] = 1, 1
    card = make_card(inference={"postprocess": {"largest_component": [1]}})
    predictor = Predictor([threshold], card, cpu, "fp32")
    image = Volume(array, Geometry.from_spacing((8, 8, 8)))
    assert predictor.predict(image).labelmap.array.sum() == 3
    assert predictor.predict(image, focus=Focus(np.ones((8, 8, 8), bool))).labelmap.array.sum() == 4


def test_around_a_region_of_a_whole_head_a_model_of_crops_sees_a_crop(
    make_card, watching, cpu, noise
) -> None:
    image = noise((64, 64, 64))
    mask = ball(image.shape, (60, 32, 32), 3)
    card = make_card(patch=(24, 24, 24), field_of_view=(35.0, 35.0, 35.0))
    low, high = card.input.range.field_of_view
    assert (low[0] + high[0]) / 2 == 18
    box = surroundings(image, card, Focus(mask).box(image))
    assert box == (slice(46, 64), slice(24, 42), slice(24, 42))
    Predictor([watching], card, cpu, "fp32").predict(image, focus=Focus(mask, hidden=True))
    assert np.count_nonzero(watching.windows[0]) == 18**3 - mask[box].sum()


class Told(nn.Module):
    """A network with a mask input: label 1 where it is told that something is hidden."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        assert image.shape[1] == 1
        hidden = mask.unsqueeze(1).float()
        return [torch.cat([0.5 - hidden, hidden - 0.5], 1)]


@pytest.mark.parametrize("certainty", ["none", "entropy", "masked"])
def test_a_network_that_knows_a_mask_is_told_what_is_hidden(
    make_card, threshold, cpu, noise, certainty
) -> None:
    image = noise((20, 18, 26))
    mask = ball(image.shape, (8, 9, 12), 4)
    card = make_card(orientation="RAS", inference={"flips": [1]}, allowed_flips=[1])
    predictor = Predictor([threshold], card, cpu, "fp32", masked_network=Told())
    told = predictor.predict(image, focus=Focus(mask, hidden=True), certainty=certainty)
    np.testing.assert_array_equal(told.labelmap.array[0], mask)
    seen = predictor.predict(image, focus=Focus(mask), certainty=certainty)
    np.testing.assert_array_equal(seen.labelmap.array[0], mask & (image.array[0] > 0))


Bad = Callable[[Volume], dict[str, object]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (lambda image: {"focus": Focus(np.zeros(image.shape, bool))}, "The region is empty"),
        (lambda _image: {"focus": Focus(np.ones((3, 3, 3), bool))}, "needs a bool mask"),
        (lambda image: {"focus": Focus(np.ones(image.shape, np.uint8))}, "needs a bool mask"),
        (
            lambda image: {"focus": Focus(np.ones(image.shape, bool), hidden=True)},
            "nothing is left to conclude from",
        ),
        (
            lambda image: {"focus": Focus(np.ones(image.shape, bool)), "box": (slice(0, 2),) * 3},
            "not to both",
        ),
    ],
    ids=["empty", "another grid", "no mask", "everything hidden", "box as well"],
)
def test_what_makes_no_sense_is_refused(make_card, threshold, cpu, noise, arguments: Bad, sentence) -> None:
    image = noise()
    with pytest.raises(InputError, match=sentence):
        Predictor([threshold], make_card(), cpu, "fp32").predict(image, **arguments(image))


def test_the_frugal_plan_says_so_and_measures_nothing(make_card, threshold, cpu, noise, monkeypatch) -> None:
    monkeypatch.setattr("medcontext.inference.plan.MINIMUM_CALLS", 0)
    monkeypatch.setattr(
        "medcontext.inference.choice.measured_plan", lambda *_, **__: pytest.fail("it was measured")
    )
    events: list[dict] = []
    image = noise()
    predictor = Predictor([threshold], make_card(), cpu, "fp32")
    result = predictor.predict(image, frugal=True, reporter=Reporter(events.append))
    np.testing.assert_array_equal(result.labelmap.array, image.array > 0)
    assert result.execution.batch == 1
    said = [event["message"] for event in events if event["event"] == "info"]
    assert [text for text in said if text.startswith("Low-memory plan")] == said
