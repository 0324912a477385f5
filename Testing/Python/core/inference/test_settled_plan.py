"""A plan that is settled once for many images, and a prediction in two halves."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from medcontext.errors import InputError
from medcontext.inference import ExecutionPlan, Predictor
from medcontext.inference import plan as planning

FP32, BATCHED = ExecutionPlan(), ExecutionPlan("fp32", channels_last=True, batch=3)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each measurement was told of; it always finds the same plan."""
    asked: list[int] = []

    def measure(*arguments: Any) -> ExecutionPlan:
        asked.append(arguments[-1])
        return BATCHED

    monkeypatch.setattr("medcontext.inference.choice.measured_plan", measure)
    return asked


def test_a_plan_that_is_given_is_taken_and_nothing_is_measured(
    make_card, threshold, cpu, noise, measured
) -> None:
    image = noise((40, 12, 12))
    plain = Predictor([threshold], make_card(), cpu, "fp32", plan=FP32).predict(image)
    fixed = Predictor([threshold], make_card(), cpu, "auto", plan=BATCHED).predict(image)
    assert plain.execution == FP32
    assert fixed.execution == BATCHED
    np.testing.assert_array_equal(fixed.labelmap.array, plain.labelmap.array)
    assert measured == []


def test_where_memory_is_short_a_given_plan_takes_one_window_at_a_time(
    make_card, threshold, cpu, noise
) -> None:
    predictor = Predictor([threshold], make_card(), cpu, plan=BATCHED)
    assert predictor.predict(noise(), frugal=True).execution == ExecutionPlan("fp32", channels_last=True)


def test_measuring_pays_over_many_small_images(make_card, threshold, cpu, noise, measured) -> None:
    card, image = make_card(), noise((8, 8, 8))  # one window
    alone = Predictor([threshold], card, cpu, "fp32")
    assert alone.settle_plan(alone.prepare(image), images=planning.MINIMUM_CALLS - 1) == FP32
    assert measured == []
    many = Predictor([threshold], card, cpu, "fp32")
    assert many.settle_plan(many.prepare(image), images=planning.MINIMUM_CALLS) == BATCHED
    assert measured == [planning.MINIMUM_CALLS]
    # From then on every image is computed that way, and it is not measured again.
    assert many.predict(image).execution == BATCHED
    assert many.settle_plan(many.prepare(noise()), images=1) == BATCHED
    assert len(measured) == 1


def test_memory_that_runs_out_while_measuring_is_no_end(
    make_card, threshold, cpu, noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object, **__: object) -> ExecutionPlan:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("medcontext.inference.choice.measured_plan", measure)
    predictor = Predictor([threshold], make_card(), cpu, "fp32")
    assert predictor.settle_plan(predictor.prepare(noise()), images=1000) == FP32


def test_a_precision_that_the_device_lacks_is_refused(make_card, threshold, cpu) -> None:
    with pytest.raises(InputError, match="does not compute in fp16"):
        Predictor([threshold], make_card(), cpu, plan=ExecutionPlan("fp16"))


def test_the_first_half_may_run_in_another_thread(make_card, threshold, cpu, noise) -> None:
    image = noise((20, 12, 12))
    predictor = Predictor([threshold], make_card(spacing=(2.0, 1.0, 1.0)), cpu, "fp32")
    prepared = []
    thread = threading.Thread(target=lambda: prepared.append(predictor.prepare(image)))
    thread.start()
    thread.join()
    halves, whole = (
        predictor.segment(prepared[0], certainty="entropy"),
        predictor.predict(image, certainty="entropy"),
    )
    np.testing.assert_array_equal(halves.labelmap.array, whole.labelmap.array)
    np.testing.assert_array_equal(halves.certainty.array, whole.certainty.array)
    assert halves.seconds["preprocess"] == prepared[0].seconds
