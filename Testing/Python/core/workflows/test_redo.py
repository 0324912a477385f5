"""Doing a region of a result again: each form, and what was measured of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import medcontext
from medcontext.cards import CardSummary, bundled_models, read_summary
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Predictor
from medcontext.redo_forms import FORMS, OFFERED, offered_for
from medcontext.workflows.predictor import make_predictor
from medcontext.workflows.redo import LARGEST_HIDDEN_MM, redo
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import train

RESULTS = Path(__file__).resolve().parents[3] / "Benchmarks" / "results" / "redo.json"

Ball = Callable[..., tuple[Volume, Volume]]


@pytest.fixture(scope="module")
def predictor(a_model: Path) -> Predictor:
    return make_predictor(a_model, "cpu", "fp32", Reporter())[0]


@pytest.fixture(scope="module")
def hippocampus() -> Predictor:
    return make_predictor("hippocampus", "cpu", "fp32", Reporter())[0]


def middle(shape: tuple[int, int, int], half: int = 3) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(n // 2 - half, n // 2 + half) for n in shape)] = True
    return mask


@pytest.mark.parametrize("form", ["finer", "context", "model"])
def test_each_form_fills_the_region_and_nothing_else(predictor: Predictor, ball: Ball, form) -> None:
    image, truth = ball(11)
    region = middle(image.shape, 6)
    found = redo(predictor, image, region, form, certainty="entropy")
    assert found.labelmap.geometry.same_grid(image.geometry)
    assert set(np.unique(found.labelmap.array)) == {0, 1, 3}
    assert not found.labelmap.array[0][~region].any()
    assert found.certainty is not None
    assert not found.certainty.array[0][~region].any()
    if form != "context":  # what shows nothing but itself cannot be concluded from its surroundings
        right = (found.labelmap.array == truth.array)[0][region].mean()
        assert right > 0.9


def test_from_context_a_void_in_the_hippocampus_is_filled(hippocampus: Predictor) -> None:
    store = CaseStore.open(Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus")
    case = next(case for case in store.cases if case.held_out)
    image, truth = store.read_image(case), store.read_labels(case).array[0]
    centre = np.argwhere(truth > 0).mean(0)
    away = np.sqrt(((np.moveaxis(np.indices(truth.shape), 0, -1) - centre) ** 2).sum(-1))
    array = image.array.copy()
    array[0][away <= 7] = 0
    spoilt, region = Volume(array, image.geometry), away <= 8

    def dice(found: np.ndarray) -> float:
        common = ((found == truth) & (truth > 0))[region].sum()
        return 2 * common / ((found > 0)[region].sum() + (truth > 0)[region].sum())

    before = dice(hippocampus.predict(spoilt).labelmap.array[0])
    after = dice(redo(hippocampus, spoilt, region, "context").labelmap.array[0])
    assert after > max(0.7, before + 0.2)


def test_an_unknown_form_is_refused(predictor: Predictor, ball: Ball) -> None:
    image, _truth = ball(1)
    with pytest.raises(InputError, match="cannot be done again as 'better'"):
        redo(predictor, image, middle(image.shape), "better")  # type: ignore[arg-type]


def test_an_empty_region_is_refused(predictor: Predictor, ball: Ball) -> None:
    image, _truth = ball(1)
    with pytest.raises(InputError, match="region is empty"):
        redo(predictor, image, np.zeros(image.shape, bool), "finer")


def test_it_stops_on_request(predictor: Predictor, ball: Ball) -> None:
    image, _truth = ball(1)
    with pytest.raises(CancelledError):
        redo(predictor, image, middle(image.shape), "finer", reporter=Reporter(cancelled=lambda: True))


@pytest.mark.parametrize(("form", "warned"), [("context", True), ("finer", False)])
def test_hiding_a_wide_region_is_warned_of(predictor: Predictor, ball: Ball, form, warned) -> None:
    geometry = Geometry.from_spacing((16, 28, 30), (2.0, 1.0, 1.0))
    image, _truth = ball(1, geometry)
    events: list[Event] = []
    region = np.zeros(image.shape, bool)
    side = int(LARGEST_HIDDEN_MM) + 2
    region[: side // 2, :side, :side] = True
    redo(predictor, image, region, form, reporter=Reporter(events.append))
    said = [event["message"] for event in events if event["event"] == "warning"]
    assert any(f"The region is {side} mm wide" in text for text in said) is warned


def test_the_numbers_of_each_form_are_those_measured() -> None:
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))["forms"]
    assert [form.id for form in FORMS] == list(measured)
    for form in FORMS:
        facts = measured[form.id]
        assert (form.offered, form.setting) == (facts["helps"], facts["setting"])
        found = (form.before, form.after, form.low, form.high)
        interval = facts["interval"]
        assert found == (facts["before"], facts["after"], interval["low"], interval["high"])
        assert form.reason


def test_only_what_helps_is_offered() -> None:
    assert [form.id for form in FORMS if form.offered] == list(OFFERED)
    assert all(form.low > 0 for form in FORMS if form.offered)


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({}, ("context", "model")),
        ({"window": (24.0, 56.0, 40.0)}, ("finer", "context", "model")),
        ({"method": "supervised"}, ("model",)),
        ({"window": None}, ("context", "model")),
    ],
    ids=["one window", "small windows", "never masked", "unknown window"],
)
def test_a_model_is_offered_what_helps_with_models_like_it(changes: dict, offered: tuple[str, ...]) -> None:
    card: CardSummary = read_summary(bundled_models() / "hippocampus")
    assert offered_for(replace(card, **changes)) == offered


def test_a_model_trained_with_a_mask_token_is_told_by_it_what_is_hidden(
    tmp_path: Path, a_store: Path, ball: Ball
) -> None:
    settings = ["plan.network.kwargs.filters=[8,16,16]", "mask_space=token"]
    train(TrainRequest(data=a_store, output=tmp_path / "m", steps=50, device="cpu", settings=settings))
    predictor, model = make_predictor(tmp_path / "m", "cpu", "fp32", Reporter())
    assert model.masked_network is not None
    image, _truth = ball(12)
    region = middle(image.shape)
    told: list[np.ndarray] = []
    model.masked_network.register_forward_pre_hook(lambda _module, given: told.append(given[1].numpy()))
    found = redo(predictor, image, region, "context")
    assert found.labelmap.geometry.same_grid(image.geometry)
    assert told
    hidden_mm3 = max(mask.sum() for mask in told) * float(np.prod(model.card.input.spacing))
    assert hidden_mm3 == pytest.approx(region.sum() * np.prod(image.spacing), rel=0.2)
