"""Regions of a slice or a box asked of the worker: those of the package, told as they come, stopped when asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from medcontext.geometry import Volume
from medcontext.workflows.proposal import ProposalOptions, propose_regions

Fields = Callable[..., dict[str, Any]]

ITERATIONS = 10**9
# The worker, whose network would learn for months: a request to stop always comes in the middle.
ENDLESS = f"""
from functools import partial
from medcontext.worker import proposing
proposing.ProposalOptions = partial(proposing.ProposalOptions, changes=["most_iterations={ITERATIONS}"])
from medcontext.worker.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def worker(connect: Callable[..., Any]) -> Iterator[Any]:
    """One worker for all tests of this file."""
    client = connect([sys.executable, "-c", ENDLESS])
    yield client
    assert client.process.poll() is None
    client.close()


@pytest.fixture
def fields(request_for: Fields) -> Fields:
    """``fields(image, **changes)``: a request without a model."""

    def make(image: Volume, **changes: Any) -> dict[str, Any]:
        made = request_for(image, **changes)
        del made["model"]
        return made

    return make


def test_a_slice_has_the_packages_own_regions(worker: Any, crop: Volume, fields: Fields) -> None:
    pytest.importorskip("skimage")
    given = fields(crop, plane={"axis": 1, "index": 20}, method="superpixels", clusters=3, seed=3)
    answer = worker.ask("propose", **given)
    regions = worker.array(answer, "regions")
    slab = crop.crop((0, 20, 0), (crop.shape[0], 1, crop.shape[2]))
    expected = propose_regions(slab, ProposalOptions(method="superpixels", clusters=3, seed=3))
    np.testing.assert_array_equal(regions, expected.regions)
    assert regions.dtype == np.uint8
    assert answer["origin"] == [0, 20, 0]
    assert answer["facts"] == expected.facts_from((0, 20, 0))
    assert (answer["iterations"], answer["reduced"], answer["device"]) == (0, "", "CPU")


def test_a_box_within_a_slice(worker: Any, crop: Volume, fields: Fields) -> None:
    pytest.importorskip("skimage")
    box = [[4, 30], [8, 40], [5, 25]]
    given = fields(crop, plane={"axis": 0, "index": 12}, box=box, method="superpixels")
    answer = worker.ask("propose", **given)
    assert worker.array(answer, "regions").shape == (1, 32, 20)
    assert answer["origin"] == [12, 8, 5]
    for fact in answer["facts"]:
        assert fact["deepest"][0] == 12
        assert 8 <= fact["deepest"][1] < 40
        assert 5 <= fact["deepest"][2] < 25


def test_the_network_tells_each_iteration_and_stops_when_asked(
    worker: Any, crop: Volume, fields: Fields
) -> None:
    given = fields(crop, plane={"axis": 0, "index": 12})
    request = worker.send("propose", **given)
    first = worker.wait_for(
        lambda event: event["id"] == request and event.get("stage") == "propose" and event.get("step")
    )
    assert (first["step"], first["total"]) == (1, ITERATIONS)
    assert worker.ask("cancel", target=request)["found"]
    ended = [event for event in worker.of(request) if event["event"] == "error"]
    assert (ended[0] if ended else worker.answer(request))["kind"] == "cancelled"
    assert worker.ask("doctor")["event"] == "result"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"plane": {"axis": 0, "index": 400}}, "There is no slice k:400"),
        ({"plane": {"axis": 3, "index": 4}}, "plane.axis"),
        ({"plane": {"axis": 0, "index": -1}}, "plane.index"),
        ({"box": [[0, 20], [0, 20], [0, 999]]}, "i from 0 to 999"),
        ({"box": [[0, 3], [0, 20], [0, 20]]}, "at least 8 a side"),
        ({"method": "magic"}, "method"),
        ({"clusters": 1}, "clusters"),
        ({"preset": "paper"}, "no preset 'paper'"),
        ({"output": "/nowhere"}, "does not exist or cannot be written"),
        ({"channels": []}, "channels"),
        ({"slice": 3}, "there is no field 'slice'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_sentence(
    worker: Any, crop: Volume, fields: Fields, changes: dict[str, Any], sentence: str
) -> None:
    answer = worker.ask("propose", **fields(crop, **changes))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert sentence in answer["message"]


def test_an_image_of_one_value_is_one_sentence(worker: Any, crop: Volume, fields: Fields) -> None:
    flat = Volume(np.full_like(crop.array, 7), crop.geometry)
    answer = worker.ask("propose", **fields(flat, plane={"axis": 0, "index": 4}))
    assert "one value everywhere (7)" in answer["message"]
