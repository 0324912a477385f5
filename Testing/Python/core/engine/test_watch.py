"""What a user relies on: the curve and the picture show how a training goes, and change nothing about it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.engine.keeping import Troubles
from medcontext.engine.log import TrainingLog
from medcontext.engine.loop import train
from medcontext.engine.preview import PIXELS, Hanging, Preview, best_slice
from medcontext.engine.run import Outcome, Run
from medcontext.engine.validation import validate
from medcontext.engine.watch import PICTURE, VALIDATION_SHARE
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.inference.windows import WindowGrid
from medcontext.labels import IGNORE


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[Any]:
    return [record["loss"] for record in records(folder) if "loss" in record]


def same(one: Outcome, other: Outcome) -> bool:
    weights = (one.network.state_dict(), other.network.state_dict())
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture
def held_out(run_of: Callable[..., Run]) -> list[PreparedCase]:
    """Two labelled cases that no run of these tests learns from."""
    return [replace(case, id=f"held_out{n}") for n, case in enumerate(run_of(Path()).task.labelled)]


@pytest.mark.parametrize("validated", [False, True])
def test_watching_held_out_cases_changes_nothing(
    tmp_path: Path, run_of: Callable[..., Run], held_out: list[PreparedCase], validated: bool
) -> None:
    cases = {"validation": run_of(tmp_path).task.labelled} if validated else {}
    plain = train(run_of(tmp_path / "plain", steps=16, **cases), Reporter())
    watched = train(run_of(tmp_path / "watched", steps=16, monitor=held_out, **cases), Reporter())
    assert losses(tmp_path / "plain") == losses(tmp_path / "watched")
    assert plain.dice == watched.dice
    assert same(plain, watched)


def test_held_out_dice_comes_early_at_the_end_and_to_the_log(
    tmp_path: Path, run_of: Callable[..., Run], held_out: list[PreparedCase], asked: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("medcontext.engine.watch.VALIDATION_SHARE", 1e9)
    run = run_of(tmp_path, steps=16, monitor=held_out, control=asked)
    outcome = train(run, Reporter(asked.hear))
    told = [event for event in asked.of("metric") if "dice" in event]
    assert all(event["held_out"] for event in told)
    assert (told[0]["step"], told[-1]["step"]) == (2, 16)
    assert len(told) > 2
    assert set(told[0]["dice"]) == {"bright", "dark"}
    assert told[-1]["dice"] == pytest.approx(validate(outcome.network, held_out, run.task.plan, "fp32"))
    assert [r["step"] for r in records(tmp_path) if "dice" in r] == [event["step"] for event in told]
    assert outcome.dice == {}  # nothing chose the weights


def test_the_long_run_is_looked_at_every_minute_and_within_its_share(
    tmp_path: Path, run_of: Callable[..., Run], held_out: list[PreparedCase], clocks: Any, monkeypatch: Any
) -> None:
    """An hour by a clock that is set: segmenting takes two seconds, then twelve."""
    run = run_of(tmp_path, monitor=held_out)
    watch, seconds, took, looks = run.task.watcher(run.folder, Reporter(), Troubles(Reporter())), 0.0, 2.0, []
    log = TrainingLog(tmp_path, Reporter(), 0)

    def slow(
        _network: Any, _cases: Any, _plan: Any, _precision: str, show: Any, _reporter: Any
    ) -> dict[str, float]:
        clocks.passed += took if show is not None else took / 100
        if show is not None:
            show(np.zeros((16, 16, 16), np.uint8))
        return {}

    monkeypatch.setattr("medcontext.engine.watch.validate", slow)
    for step in range(3600):
        if watch.due(seconds, seconds / 3600):
            looks.append(seconds)
            watch.look(run.network, step, log, seconds, seconds / 3600)
            seconds += took
        took = 2.0 if seconds < 1800 else 12.0
        seconds += 1
    assert looks[0] == pytest.approx(10, abs=1)
    early = np.diff([second for second in looks if second < 1800])
    late = np.diff([second for second in looks if second > 2000])
    assert early == pytest.approx(60 + 2, abs=2)
    assert late == pytest.approx(12 / VALIDATION_SHARE + 12, abs=2)


def test_at_most_three_held_out_cases_are_segmented(
    tmp_path: Path, run_of: Callable[..., Run], held_out: list[PreparedCase], monkeypatch: Any
) -> None:
    seen: list[int] = []

    def count(_network: Any, cases: list[PreparedCase], *_others: Any) -> dict[str, float]:
        seen.append(len(cases))
        raise CancelledError("enough")

    monkeypatch.setattr("medcontext.engine.watch.VALIDATION_SHARE", 1e9)
    watch = run_of(tmp_path, monitor=held_out * 3).task.watcher(tmp_path, Reporter(), Troubles(Reporter()))
    watch.look(run_of(tmp_path).network, 1, TrainingLog(tmp_path, Reporter(), 0), 10.0, 0.5)
    monkeypatch.setattr("medcontext.engine.watch.validate", count)
    watch.look(run_of(tmp_path).network, 2, TrainingLog(tmp_path, Reporter(), 0), 10.0, 0.5)
    assert seen == [3]


def long_case(case: PreparedCase, length: int) -> PreparedCase:
    """The case in the middle of a scan of ``length`` times its slices."""
    image = np.concatenate([case.image] * length, axis=1)
    labels = np.zeros(image.shape[1:], np.uint8)
    first = len(case.labels) * (length // 2)
    labels[first : first + len(case.labels)] = case.labels
    return replace(case, image=image, labels=labels, locations=class_locations(labels, 3))


def test_of_a_scan_that_takes_too_long_the_slices_around_the_picture_are_scored(
    tmp_path: Path, run_of: Callable[..., Run], held_out: list[PreparedCase], asked: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("medcontext.engine.watch.VALIDATION_SHARE", 1e-9)
    shapes: list[tuple[int, ...]] = []
    real = validate

    def note(network: Any, cases: list[PreparedCase], *others: Any) -> dict[str, float]:
        shapes.append(cases[0].image.shape[1:])
        return real(network, cases, *others)

    monkeypatch.setattr("medcontext.engine.watch.validate", note)
    run = run_of(tmp_path, steps=8, monitor=[long_case(held_out[0], 9)], control=asked)
    train(run, Reporter(asked.hear))
    assert set(shapes) == {(16, 16, 16)}
    assert any(
        "part around the picture of 1 of the 1 held-out" in event["message"] for event in asked.of("info")
    )
    assert [event for event in asked.of("metric") if "dice" in event]
    assert asked.of("picture")


@pytest.mark.parametrize(
    ("hours", "scored", "shape"),
    [(9.0, 2, (48, 48, 48)), (2.0, 2, (16, 48, 48)), (0.9, 1, (16, 48, 48)), (0.1, 1, (16, 16, 16))],
)
def test_as_much_is_scored_as_the_time_allows(
    tmp_path: Path,
    run_of: Callable[..., Run],
    held_out: list[PreparedCase],
    clocks: Any,
    monkeypatch: Any,
    hours: float,
    scored: int,
    shape: tuple[int, ...],
) -> None:
    """A window takes a second by a clock that is set."""
    labels = np.zeros((48, 48, 48), np.uint8)
    labels[20:30, 30:40, 30:40] = 1
    labels[25, 29, 35] = 1
    case = replace(held_out[0], image=np.zeros((1, 48, 48, 48), np.float16), labels=labels)
    run = run_of(tmp_path, monitor=[case, case])
    seen: list[list[PreparedCase]] = []

    def slow(_n: Any, cases: list[PreparedCase], plan: Any, _p: str, show: Any, _r: Any) -> dict[str, float]:
        seen.append(cases)
        for one in cases:
            size = one.image.shape[1:]
            clocks.passed += WindowGrid.cover(size, plan.patch_size, 0.5).count
            if show is not None:
                show(np.zeros(size, np.uint8))
        return {}

    monkeypatch.setattr("medcontext.engine.watch.validate", slow)
    watch = run.task.watcher(run.folder, Reporter(), Troubles(Reporter()))
    watch.look(run.network, 1, TrainingLog(tmp_path, Reporter(), 0), 36.0, 36.0 / (3600 * hours))
    assert [one.image.shape[1:] for one in seen[-1]] == [shape] * scored
    assert (np.asarray(seen[-1][0].labels) == 1).sum() == (labels == 1).sum()


@pytest.mark.parametrize(
    ("given", "shown", "is_held_out"),
    [
        ({"monitor", "validation"}, "held_out0", True),
        ({"validation"}, "held_out1", False),
        (set(), "case0", False),
    ],
)
def test_the_picture_shows_a_held_out_case_where_there_is_one(
    tmp_path: Path,
    run_of: Callable[..., Run],
    held_out: list[PreparedCase],
    asked: Any,
    given: set[str],
    shown: str,
    is_held_out: bool,
) -> None:
    cases = {"monitor": held_out[:1], "validation": held_out[1:]}
    run = run_of(tmp_path, steps=16, control=asked, **{name: cases[name] for name in given})
    train(run, Reporter(asked.hear))
    pictures = asked.of("picture")
    assert {(event["case"], event["held_out"]) for event in pictures} == {(shown, is_held_out)}
    assert {Path(event["path"]) for event in pictures} == {tmp_path / PICTURE}
    assert (pictures[0]["step"], pictures[-1]["step"]) == (2, 16)
    if "validation" in given:
        assert {e["step"] for e in pictures} >= {e["step"] for e in asked.of("metric") if "dice" in e}
    assert imread(tmp_path / PICTURE).shape == (PIXELS, PIXELS, 4)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_request_to_stop_ends_a_look(tmp_path: Path, run_of: Callable[..., Run], asked: Any) -> None:
    """Segmenting a large scan takes long; who presses Stop waits for one window of it."""
    run = run_of(tmp_path, control=asked)
    asked.answer = "stop"
    reporter = Reporter(asked.hear).stopped_by(lambda: asked() == "stop")
    run.task.watcher(run.folder, reporter, Troubles(reporter)).look(
        run.network, 1, TrainingLog(tmp_path, reporter, 0), 10.0, 0.5
    )
    assert not asked.of("picture")


def test_the_slice_is_the_one_with_most_structure_across_the_coarsest_axis(
    run_of: Callable[..., Run], held_out: list[PreparedCase]
) -> None:
    plan = run_of(Path()).task.plan
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[3, :, 4] = 1
    labels[5, 5, 9] = 2
    labels[5, :4, :] = IGNORE
    case = replace(held_out[0], labels=labels)
    assert best_slice(case, plan) == (0, 3)
    assert best_slice(case, plan.model_copy(update={"spacing": (1.0, 1.0, 3.0)})) == (2, 4)
    assert best_slice(replace(case, labels=0 * labels), plan) == (0, 8)


@pytest.mark.parametrize(
    ("orientation", "coarse", "corner"),
    [
        ("LPS", 0, (0, 0)),  # axial: right and front are first, at the top left
        ("RAS", 0, (1, 1)),
        ("LPS", 1, (1, 0)),  # coronal: the head is up, so the first slice is at the bottom
        ("LPI", 1, (0, 0)),
        ("SPL", 0, (1, 0)),  # i runs to the head, k to the left: sagittal
    ],
)
def test_the_picture_hangs_as_radiologists_hang_it(
    run_of: Callable[..., Run],
    held_out: list[PreparedCase],
    orientation: str,
    coarse: int,
    corner: tuple[int, int],
) -> None:
    """The voxel with the smallest indices is predicted, and found in this corner: (bottom, right)."""
    spacing = tuple(2.0 if axis == coarse else 1.0 for axis in range(3))
    plan = run_of(Path()).task.plan.model_copy(update={"orientation": orientation, "spacing": spacing})
    case = replace(
        held_out[0], image=np.zeros((1, 16, 16, 16), np.float16), labels=np.zeros((16,) * 3, np.uint8)
    )
    predicted = np.zeros((16, 16), np.uint8)
    predicted[:4, :4] = 1
    picture = decoded(Preview(case, plan, 8).draw(predicted))
    quarter = PIXELS // 8
    for bottom in (0, 1):
        for right in (0, 1):
            row = PIXELS - quarter if bottom else quarter
            column = PIXELS - quarter if right else quarter
            assert bool(picture[row, column].any()) == ((bottom, right) == corner)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_picture_of_a_transposed_case_hangs_the_same(run_of: Callable[..., Run], axis: int) -> None:
    transpose = (2, 0, 1)
    plan = run_of(Path()).task.plan.model_copy(update={"spacing": (3.0, 1.0, 2.0)})
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    expected = Hanging(plan, transpose[axis])
    turned = {"transpose": transpose, "spacing": tuple(plan.spacing[a] for a in transpose)}
    for orientation in ("LPS", "stored"):
        hanging = Hanging(plan.model_copy(update=turned | {"orientation": orientation}), axis)
        plane = hanging.upright(np.take(volume.transpose(transpose), 2, axis))
        np.testing.assert_array_equal(plane, expected.upright(np.take(volume, 2, transpose[axis])))
        assert hanging.aspect == expected.aspect


def test_a_millimetre_is_as_long_down_as_across(
    run_of: Callable[..., Run], held_out: list[PreparedCase]
) -> None:
    plan = run_of(Path()).task.plan.model_copy(update={"spacing": (3.0, 1.0, 2.0)})
    picture = decoded(Preview(held_out[0], plan, 8).draw(np.zeros((16, 16), np.uint8)))
    assert picture.shape[:2] == (PIXELS // 2, PIXELS)


def test_reference_and_prediction_are_drawn_in_the_colours_of_their_labels(
    run_of: Callable[..., Run], held_out: list[PreparedCase]
) -> None:
    plan = run_of(Path()).task.plan
    colors = [np.array(label.color) for label in plan.label_set]
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[8, 4:8, 4:8] = 1
    case = replace(held_out[0], image=np.zeros((1, 16, 16, 16), np.float16), labels=labels)
    predicted = np.zeros((16, 16), np.uint8)
    predicted[10:14, 4:8] = 2
    picture = decoded(Preview(case, plan, 8).draw(predicted))
    scale = PIXELS // 16
    assert (picture[4 * scale, 4 * scale] == colors[0]).all()  # the outline
    assert not picture[6 * scale, 6 * scale].any()  # nothing is predicted there
    veil = picture[12 * scale, 6 * scale].astype(float)
    assert veil / veil.max() == pytest.approx(colors[1] / colors[1].max(), abs=0.02)


def decoded(png: bytes) -> np.ndarray:
    return (255 * imread(io.BytesIO(png))[..., :3]).round().astype(np.uint8)
