"""What to annotate next, asked of the worker: the package's own ranking, told as it goes, stopped when asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Volume
from medcontext.labels import LabelSet
from medcontext.workflows.suggest import suggest


@pytest.fixture
def pool(tmp_path: Path, crop: Volume) -> Path:
    """Four versions of a crop without labels, one of them with its left half gone."""
    store = CaseStore.create(tmp_path / "störe", LabelSet.from_names({1: "Anterior"}), [("T1", "MRI")])
    for number in range(3):
        noise = np.random.default_rng(number).normal(0, 1, crop.array.shape).astype(np.float32)
        store.add_case(NewCase([Volume(crop.array + noise, crop.geometry)], case_id=f"plain_{number}"))
    half = crop.array.copy()
    half[..., half.shape[-1] // 2 :] = 0
    store.add_case(NewCase([Volume(half, crop.geometry)], case_id="half"))
    return store.folder


def test_the_ranking_is_the_packages_own(worker: Any, pool: Path) -> None:
    request = worker.send("suggest", store=str(pool), model="hippocampus", device="cpu")
    answer = worker.answer(request)
    assert answer["event"] == "result", answer
    expected = suggest(pool, "hippocampus", device="cpu").to_json()
    assert [entry["case"] for entry in answer["ranking"]] == [entry["case"] for entry in expected["ranking"]]
    assert {key: answer[key] for key in ("looked_at", "unlabelled", "skipped")} == {
        "looked_at": 4, "unlabelled": 4, "skipped": [],
    }  # fmt: skip
    first = answer["ranking"][0]
    assert set(first) == {"case", "score", "uncertainty", "novelty", "reasons", "images"}
    assert Path(first["images"][0]).is_file()
    stages = [event["stage"] for event in worker.of(request) if event["event"] == "progress"]
    assert stages.count("suggest") >= 4


def test_it_can_be_stopped_and_the_worker_goes_on(worker: Any, pool: Path) -> None:
    request = worker.send("suggest", store=str(pool), model="hippocampus", device="cpu")
    worker.wait_for(lambda event: event["id"] == request and event.get("stage") == "suggest")
    worker.ask("cancel", target=request)
    assert worker.of(request)[-1].get("kind") == "cancelled" or worker.answer(request)["kind"] == "cancelled"
    assert worker.ask("suggest", store=str(pool), model="hippocampus", limit=1)["looked_at"] == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"store": "/nowhere"}, "nowhere"),
        ({"model": "nothing"}, "There is no model 'nothing'"),
        ({"limit": 0}, "limit"),
        ({"limits": 3}, "limits"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    worker: Any, pool: Path, change: dict[str, Any], sentence: str
) -> None:
    answer = worker.ask("suggest", **{"store": str(pool), "model": "hippocampus", "device": "cpu"} | change)
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert sentence in answer["message"]


def test_a_model_of_other_channels_is_one_sentence(
    worker: Any, pool: Path, make_model: Callable[..., Path]
) -> None:
    answer = worker.ask("suggest", store=str(pool), model=str(make_model(channels=2)), device="cpu")
    assert "takes 2 channel(s)" in answer["message"]
