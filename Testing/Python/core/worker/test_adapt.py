"""Learning from a correction through the worker: as the package does it, and the warm model stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.exchange import ExchangeFolder
from medcontext.geometry import Volume

RequestFor = Callable[..., dict[str, Any]]
QUICK = 0.01
"""Seconds: a single step, as one is taken in any case."""


@pytest.fixture
def correction(
    folder: ExchangeFolder, request_for: RequestFor, crop: Volume, before: np.ndarray
) -> Callable[..., dict[str, Any]]:
    """``correction(corrected, **fields)``: the fields of a request to learn from it."""

    def make(corrected: np.ndarray, **fields: Any) -> dict[str, Any]:
        arrays = {"labelmap": before, "corrected": corrected}
        shared = {name: folder.write(name, array).to_json() for name, array in arrays.items()}
        return request_for(crop, **{**shared, "seconds": QUICK, **fields})

    return make


@pytest.fixture(scope="module")
def before(crop: Volume, expected: Callable) -> np.ndarray:
    return expected(crop).labelmap.array[0]


@pytest.fixture
def corrected(before: np.ndarray) -> np.ndarray:
    """In one slice everything was erased."""
    painted = before.copy()
    painted[len(painted) // 2] = 0
    assert (painted != before).any()
    return painted


def test_the_result_is_a_segmentation_with_the_correction_in_it(
    worker: Any, correction: Callable, corrected: np.ndarray
) -> None:
    answer = worker.ask("adapt", **correction(corrected))
    labels = worker.array(answer)
    middle = len(corrected) // 2
    np.testing.assert_array_equal(labels[middle], corrected[middle])
    assert answer["changed_voxels"] == int((labels != corrected).sum())
    assert answer["steps"] == 1
    assert answer["seconds"]["adapt"] > 0
    assert [entry["voxels"] for entry in answer["labels"]] == [int((labels == v).sum()) for v in (1, 2)]
    assert (answer["model"]["id"], answer["certainty"]) == ("hippocampus", None)


def test_the_warm_model_answers_as_before(
    worker: Any, correction: Callable, corrected: np.ndarray, crop: Volume, request_for: RequestFor
) -> None:
    first = worker.array(worker.ask("segment", **request_for(crop)))
    assert worker.ask("adapt", **correction(corrected))["event"] == "result"
    answer = worker.ask("segment", **request_for(crop))
    assert answer["warm"]
    np.testing.assert_array_equal(worker.array(answer), first)


def test_what_was_looked_at_before_stays_too(
    worker: Any, correction: Callable, corrected: np.ndarray, folder: ExchangeFolder
) -> None:
    earlier = np.zeros(corrected.shape, np.uint8)
    earlier[5:8] = 1
    fields = correction(corrected, region=folder.write("region", earlier).to_json())
    labels = worker.array(worker.ask("adapt", **fields))
    np.testing.assert_array_equal(labels[5:8], corrected[5:8])
    middle = len(corrected) // 2
    np.testing.assert_array_equal(labels[middle], corrected[middle])


def test_without_a_remembered_answer_the_model_is_asked_again(
    worker: Any, correction: Callable, corrected: np.ndarray, before: np.ndarray
) -> None:
    answer = worker.ask("adapt", **correction(corrected, labelmap=None))
    np.testing.assert_array_equal(worker.array(answer, "before"), before)
    middle = len(corrected) // 2
    np.testing.assert_array_equal(worker.array(answer)[middle], corrected[middle])


def test_progress_is_told_and_a_cancel_is_followed(
    worker: Any, correction: Callable, corrected: np.ndarray
) -> None:
    request = worker.send("adapt", **correction(corrected, seconds=600))
    worker.wait_for(lambda e: e["id"] == request and e.get("stage") == "adapt" and e["value"] > 0)
    worker.send("cancel", target=request)
    answer = worker.answer(request)
    assert (answer["event"], answer["kind"]) == ("error", "cancelled")


def test_without_a_correction_there_is_nothing_to_learn(
    worker: Any, correction: Callable, before: np.ndarray
) -> None:
    answer = worker.ask("adapt", **correction(before))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert "Nothing was corrected" in answer["message"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seconds": 0}, "seconds"),
        ({"labelmap": {"path": "/nowhere", "dtype": "|u1", "shape": [2, 2, 2]}}, "cannot be opened"),
        ({"labels": [7]}, "has no label 7"),
        ({"model": "nothing"}, "no model 'nothing'"),
    ],
    ids=["time", "array", "label", "model"],
)
def test_a_request_that_does_not_fit_is_refused(
    worker: Any, correction: Callable, corrected: np.ndarray, changes: dict[str, Any], sentence: str
) -> None:
    answer = worker.ask("adapt", **correction(corrected, **changes))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert sentence in answer["message"]


def test_arrays_of_another_shape_are_refused(
    worker: Any, correction: Callable, corrected: np.ndarray, folder: ExchangeFolder
) -> None:
    region = folder.write("region", np.ones((2, 2, 2), np.uint8)).to_json()
    answer = worker.ask("adapt", **correction(corrected, region=region))
    assert answer["kind"] == "input"
    answer = worker.ask("adapt", **correction(corrected[1:]))
    assert "the image needs uint8" in answer["message"]


def test_no_array_is_left_behind_when_the_result_folder_is_gone(
    worker: Any, correction: Callable, corrected: np.ndarray, tmp_path: Path
) -> None:
    answer = worker.ask("adapt", **correction(corrected, output=str(tmp_path / "gone")))
    assert "does not exist" in answer["message"]
