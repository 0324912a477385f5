"""Learning from a correction: neighbouring slices follow, what was corrected stays, and the model stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from medcontext.card_schema import InferenceSpec, InputRange, Postprocess
from medcontext.devices import choose_device
from medcontext.errors import CancelledError, InputError, TrainingDivergedError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Predictor
from medcontext.library import LoadedModel, load_model
from medcontext.workflows.adapt import Adaptation, adapt
from medcontext.workflows.learner import AdaptSettings

Ball = Callable[..., tuple[Volume, Volume]]
CPU = choose_device("cpu")
QUICK = AdaptSettings(learning_rate=1e-2)
"""The tiny network of these tests needs larger steps than real ones."""

STEPS = 12
FIRST, LAST = 7, 10
PAINTED = slice(FIRST, LAST + 1)
"""Slices of the last axis, which show both halves of the ball; as many as the network halves its grid."""


@pytest.fixture(scope="module")
def model(a_model: Path) -> LoadedModel:
    return load_model(a_model)


@pytest.fixture(scope="module")
def scan(ball: Ball) -> Volume:
    return ball(21)[0]


@pytest.fixture(scope="module")
def before(model: LoadedModel, scan: Volume) -> np.ndarray:
    return answer(model, scan)


@pytest.fixture(scope="module")
def corrected(before: np.ndarray) -> np.ndarray:
    """In some slices the upper half is said to be the same structure as the lower."""
    return painted(before)


@pytest.fixture(scope="module")
def adaptation(model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray) -> Adaptation:
    return learn(model, scan, before, corrected, steps=STEPS)


def answer(model: LoadedModel, image: Volume, **options: Any) -> np.ndarray:
    predictor = Predictor(model.networks, model.card, CPU, "fp32")
    return predictor.predict(image, **options).labelmap.array[0]


def painted(labels: np.ndarray) -> np.ndarray:
    changed = labels.copy()
    part = changed[..., PAINTED]
    part[part == 1] = 3
    return changed


def learn(model: LoadedModel, image: Volume, *arrays: np.ndarray, **options: Any) -> Adaptation:
    fixed = {"device": CPU, "precision": "fp32", "seconds": None, "settings": QUICK}
    return adapt(model, image, *arrays, **{**fixed, **options})


def labels_of(adaptation: Adaptation) -> np.ndarray:
    return adaptation.prediction.labelmap.array[0]


@pytest.mark.parametrize("neighbour", [FIRST - 1, LAST + 1])
def test_neighbouring_slices_change_the_same_way(
    adaptation: Adaptation, before: np.ndarray, neighbour: int
) -> None:
    was_upper = before[..., neighbour] == 1
    assert was_upper.sum() > 10
    now = labels_of(adaptation)[..., neighbour][was_upper]
    assert (now == 3).mean() > 0.5


def test_a_model_with_axes_of_its_own_learns_the_same(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    """The scan stored otherwise, and a model that transposes it back."""
    transpose, back = (2, 0, 1), (1, 2, 0)
    spec = model.card.input.model_copy(update={"orientation": "stored", "transpose": transpose})
    stored = replace(model, card=model.card.model_copy(update={"input": spec}))
    turned = scan.permute(back)
    image = Volume(turned.array, Geometry.from_spacing(turned.shape, turned.spacing))
    arrays = [np.ascontiguousarray(labels.transpose(back)) for labels in (before, corrected)]
    found = labels_of(learn(stored, image, *arrays, steps=2))
    expected = labels_of(learn(model, scan, before, corrected, steps=2))
    assert (expected != corrected).any()
    np.testing.assert_array_equal(found.transpose(transpose), expected)


def test_far_from_the_correction_the_answer_stays(
    model: LoadedModel, scan: Volume, before: np.ndarray
) -> None:
    dotted = before.copy()
    dotted[7:9, 8:10, 8:10] = 0
    kept = labels_of(learn(model, scan, before, dotted, steps=STEPS, settings=AdaptSettings()))
    assert (kept == before).mean() > 0.95


def test_what_was_corrected_is_exactly_as_it_was_corrected(
    adaptation: Adaptation, before: np.ndarray, corrected: np.ndarray
) -> None:
    changed = before != corrected
    np.testing.assert_array_equal(labels_of(adaptation)[changed], corrected[changed])


def test_a_slice_that_was_painted_in_stays_as_a_whole(
    model: LoadedModel, scan: Volume, before: np.ndarray
) -> None:
    brushed = before.copy()
    brushed[4:8, 2:6, 5] = 3
    now = labels_of(learn(model, scan, before, brushed, steps=STEPS))
    np.testing.assert_array_equal(now[..., 5], brushed[..., 5])
    assert (now != brushed).any()


def test_the_number_of_changed_voxels_is_told(adaptation: Adaptation, corrected: np.ndarray) -> None:
    assert adaptation.changed_voxels == int((labels_of(adaptation) != corrected).sum()) > 0


def test_a_single_voxel_against_what_the_model_sees_is_kept(
    model: LoadedModel, scan: Volume, before: np.ndarray
) -> None:
    dotted = before.copy()
    dotted[0, 0, 0], dotted[-1, -1, -1] = 1, 3
    now = labels_of(learn(model, scan, before, dotted, steps=1))
    assert (now[0, 0, 0], now[-1, -1, -1]) == (1, 3)


def test_the_library_model_answers_as_before(
    a_model: Path, model: LoadedModel, adaptation: Adaptation, scan: Volume, before: np.ndarray
) -> None:
    assert adaptation.steps == STEPS
    np.testing.assert_array_equal(answer(model, scan), before)
    fresh = load_model(a_model).networks[0].state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in model.networks[0].state_dict().items())
    learnt = adaptation.networks[0].state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in learnt.items())


def test_the_same_seed_gives_the_same_result(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    first, second = (labels_of(learn(model, scan, before, corrected, steps=3, seed=5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_it_stops_at_the_next_step(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    seen: list[Event] = []
    reporter = Reporter(seen.append, cancelled=lambda: sum(e.get("stage") == "adapt" for e in seen) >= 2)
    with pytest.raises(CancelledError):
        learn(model, scan, before, corrected, steps=1000, reporter=reporter)
    assert sum(event.get("stage") == "adapt" for event in seen) == 2


def test_the_time_ends_it_before_the_steps_do(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    assert 1 <= learn(model, scan, before, corrected, steps=10**6, seconds=0.2).steps < 10**6


def test_an_oblique_scan_of_other_voxels_learns_too(model: LoadedModel, ball: Ball) -> None:
    geometry = Geometry.from_spacing((20, 22, 24), (1.4, 1.1, 0.75))
    turned = ball(4, geometry)[0].permute((2, 0, 1)).flip((1,))
    image = Volume(np.ascontiguousarray(turned.array), turned.geometry)
    before = answer(model, image)
    changed = before.copy()
    part = changed[9:15]
    part[part == 1] = 3
    now = labels_of(learn(model, image, before, changed, steps=STEPS))
    corrected = before != changed
    np.testing.assert_array_equal(now[corrected], changed[corrected])
    near = [8, 15]
    assert (now[near][before[near] == 1] == 3).mean() > 0.4


def test_outside_the_box_of_the_result_nothing_changes(model: LoadedModel, scan: Volume) -> None:
    box = (slice(0, 14), slice(0, 16), slice(0, LAST + 2))
    inside = answer(model, scan, box=box)
    now = labels_of(learn(model, scan, inside, painted(inside), box=box, steps=STEPS))
    assert not now[..., LAST + 2 :].any()
    assert (now[..., FIRST - 1] != inside[..., FIRST - 1]).any()


def test_a_large_scan_is_looked_at_again_around_the_correction_only(model: LoadedModel) -> None:
    generator = np.random.default_rng(3)
    geometry = Geometry.from_spacing((14, 16, 400), (2.0, 1.5, 1.0))
    image = Volume(generator.normal(0, 10, (1, *geometry.shape)).astype(np.float32), geometry)
    wide = InputRange(spacing=((1.0,) * 3, (2.0,) * 3), field_of_view=((1.0,) * 3, (500.0,) * 3))
    inputs = model.card.input.model_copy(update={"range": wide})
    free = model.card.model_copy(update={"input": inputs})
    before = np.zeros(geometry.shape, np.uint8)
    before[..., 300:] = 1  # which no network of these tests would say
    changed = before.copy()
    changed[4:9, 4:12, 100] = 1
    now = labels_of(learn(replace(model, card=free), image, before, changed, steps=1))
    assert (now[..., 300:] == 1).all()


def test_pieces_that_the_model_would_not_keep_are_not_brought_back(
    model: LoadedModel, scan: Volume, before: np.ndarray
) -> None:
    dotted = before.copy()
    dotted[0, 0, 0] = 3
    rule = InferenceSpec(postprocess=Postprocess(largest_component=[1, 3]))
    strict = replace(model, card=model.card.model_copy(update={"inference": rule}))
    now = labels_of(learn(strict, scan, before, dotted, steps=STEPS))
    assert now[0, 0, 0] == 3
    now[0, 0, 0] = 0
    assert [ndimage.label(now == value, np.ones((3, 3, 3)))[1] for value in (1, 3)] == [1, 1]


def test_labels_that_were_not_wanted_are_not_taught_and_do_not_come_back(
    model: LoadedModel, scan: Volume, before: np.ndarray
) -> None:
    upper = np.where(before == 1, np.uint8(1), np.uint8(0))
    changed = upper.copy()
    changed[..., PAINTED][:, :3] = 1
    adaptation = learn(model, scan, upper, changed, labels=[1], steps=STEPS)
    assert set(np.unique(labels_of(adaptation))) == {0, 1}
    predictor = Predictor(adaptation.networks, model.card, CPU, "fp32")
    found = predictor.predict(scan).labelmap.array[0]
    assert (found[before == 3] == 3).mean() > 0.5


def test_where_the_correction_is_not_known_nothing_is_taught_and_nothing_changes(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    unknown = corrected.copy()
    unknown[..., LAST + 1] = 255
    now = labels_of(learn(model, scan, before, unknown, steps=3))
    assert (now[..., LAST + 1] == 255).all()
    assert set(np.unique(now[..., : LAST + 1])) == {0, 1, 3}


def test_without_a_correction_there_is_nothing_to_learn(
    model: LoadedModel, scan: Volume, before: np.ndarray
) -> None:
    with pytest.raises(InputError, match="Nothing was corrected"):
        learn(model, scan, before, before.copy())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda labels: labels[1:], "the image needs uint8"),
        (lambda labels: labels.astype(np.int16), "the image needs uint8"),
        (
            lambda labels: np.where(labels == 1, np.uint8(2), labels),
            "the value 2, which .Balls: Upper, Lower. does not",
        ),
    ],
    ids=["shape", "type", "unknown label"],
)
def test_a_labelmap_that_does_not_fit_is_refused(
    model: LoadedModel, scan: Volume, before: np.ndarray, spoil: Callable, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        learn(model, scan, before, spoil(before))


def test_a_region_that_does_not_fit_is_refused(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    with pytest.raises(InputError, match="not bool"):
        learn(model, scan, before, corrected, np.ones((2, 2, 2), bool))


def test_a_model_of_overlapping_structures_is_refused(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    sigmoid = replace(model, card=model.card.model_copy(update={"activation": "sigmoid"}))
    with pytest.raises(InputError, match="cannot learn from a correction"):
        learn(sigmoid, scan, before, corrected)


def test_a_loss_that_is_not_finite_ends_it(
    model: LoadedModel, scan: Volume, before: np.ndarray, corrected: np.ndarray
) -> None:
    with pytest.raises(TrainingDivergedError, match="learning from the correction"):
        learn(model, scan, before, corrected, settings=replace(QUICK, keep_weight=float("inf")))
