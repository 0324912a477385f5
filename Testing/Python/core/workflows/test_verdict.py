"""The sentence after a fine-tuning: better, worse, or too few cases to tell, with the numbers and a picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medcontext.cards import read_summary
from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume
from medcontext.labels import LabelSet
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import train
from medcontext.workflows.verdict import judge

Ball = Callable[..., tuple[Volume, Volume]]


def store_with(folder: Path, ball: Ball, seeds: range, names: dict[int, str] | None = None) -> CaseStore:
    labels = LabelSet.from_names(names or {1: "Upper", 3: "Lower"})
    store = CaseStore.create(folder, labels, [("T1", "MRI")], name="Balls")
    for seed in seeds:
        image, label = ball(seed)
        store.add_case(NewCase([image], label, case_id=f"ball_{seed}", held_out=True))
    return store


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, ball: Ball) -> CaseStore:
    """Six held-out cases that no model knows."""
    return store_with(tmp_path_factory.mktemp("many") / "store", ball, range(20, 26))


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory, a_store: Path) -> Path:
    """A model that has hardly learnt anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(tmp_path_factory.mktemp("home")))
        settings = ["plan.network.kwargs.filters=[8,16,16]", "plan.allowed_flips=[]"]
        folder = tmp_path_factory.mktemp("models") / "beginner"
        request = TrainRequest(
            a_store, folder, "supervised", settings=settings, steps=3, device="cpu", precision="fp32"
        )
        return train(request).folder


@pytest.fixture
def skilled(tmp_path: Path, a_model: Path) -> Path:
    return Path(shutil.copytree(a_model, tmp_path / "skilled"))


def test_a_better_child_is_called_better_with_its_numbers_and_a_picture(
    many: CaseStore, skilled: Path, beginner: Path
) -> None:
    verdict = judge(skilled, many, parent=beginner, device="cpu", precision="fp32")
    assert verdict.word == "better"
    assert verdict.sentence.startswith("Better than Balls: Upper, Lower: mean Dice 0.")
    assert "on 6 held-out cases" in verdict.sentence
    assert "90 % interval +0." in verdict.sentence
    assert verdict.picture is not None
    assert verdict.picture.read_bytes()[:4] == b"\x89PNG"
    written = json.loads((skilled / "training" / "verdict.json").read_text(encoding="utf-8"))
    assert written["word"] == "better"
    assert [row["case"] for row in written["by_case"]] == [f"ball_{seed}" for seed in range(20, 26)]
    assert all(row["child"] > row["parent"] for row in written["by_case"])


def test_a_worse_child_is_called_worse(
    many: CaseStore, tmp_path: Path, beginner: Path, a_model: Path
) -> None:
    child = shutil.copytree(beginner, tmp_path / "child")
    verdict = judge(child, many, parent=a_model, device="cpu", precision="fp32")
    assert verdict.word == "worse"
    assert verdict.interval is not None
    assert verdict.interval.high < 0


def test_the_same_weights_are_neither_better_nor_worse(many: CaseStore, skilled: Path, a_model: Path) -> None:
    verdict = judge(skilled, many, parent=a_model, device="cpu", precision="fp32")
    assert verdict.word == "undecided"
    assert "+0.000" in verdict.sentence


def test_four_cases_decide_nothing(tmp_path: Path, ball: Ball, skilled: Path, beginner: Path) -> None:
    store = store_with(tmp_path / "store", ball, range(30, 34))
    verdict = judge(skilled, store, parent=beginner, device="cpu", precision="fp32")
    assert verdict.word == "too_few"
    assert verdict.sentence.startswith("Too few cases to tell: mean Dice 0.")
    assert "At least 5" in verdict.sentence


def test_no_held_out_case_is_said(tmp_path: Path, ball: Ball, skilled: Path, beginner: Path) -> None:
    store = store_with(tmp_path / "store", ball, range(0))
    verdict = judge(skilled, store, parent=beginner, device="cpu", precision="fp32")
    assert (verdict.word, verdict.picture) == ("too_few", None)
    assert "no held-out case" in verdict.sentence


def test_cases_that_a_model_learnt_from_do_not_count_whatever_file_they_are_in(
    tmp_path: Path, ball: Ball, skilled: Path, beginner: Path
) -> None:
    store = store_with(tmp_path / "store", ball, range(40, 45))
    first, second, *_rest = store.cases
    card = json.loads((skilled / "model.json").read_text(encoding="utf-8"))
    card["training"]["voxel_hashes"] = [first.voxels]
    card["training"]["inherited_hashes"] = [second.voxels]
    (skilled / "model.json").write_text(json.dumps(card), encoding="utf-8")
    verdict = judge(skilled, store, parent=beginner, device="cpu", precision="fp32")
    assert [row.case for row in verdict.cases] == [case.id for case in store.cases[2:]]
    assert verdict.word == "too_few"
    assert "2 held-out cases do not count" in verdict.sentence
    assert first.voxels in read_summary(skilled).case_hashes


def test_a_new_structure_has_nothing_to_be_compared_with(
    tmp_path: Path, ball: Ball, skilled: Path, beginner: Path
) -> None:
    card = json.loads((beginner / "model.json").read_text(encoding="utf-8"))
    parent = shutil.copytree(beginner, tmp_path / "parent")
    for label, name in zip(card["labels"], ("Front", "Back"), strict=True):
        label["name"] = name
    (parent / "model.json").write_text(json.dumps(card), encoding="utf-8")
    store = store_with(tmp_path / "store", ball, range(50, 52))
    verdict = judge(skilled, store, parent=parent, device="cpu", precision="fp32")
    assert verdict.word == ""
    assert "does not know Upper, Lower" in verdict.sentence
    assert all(row.parent is None and (row.child or 0) > 0.5 for row in verdict.cases)


def test_a_model_from_scratch_is_scored_alone(many: CaseStore, skilled: Path) -> None:
    verdict = judge(skilled, many, parent=None, device="cpu", precision="fp32")
    assert verdict.word == ""
    assert verdict.sentence.startswith("Mean Dice 0.")


def test_a_broken_case_is_left_out_and_said(
    tmp_path: Path, ball: Ball, skilled: Path, beginner: Path
) -> None:
    store = store_with(tmp_path / "store", ball, range(60, 66))
    store.cases[0].images[0].write_bytes(b"no image")
    store.cases[1].images[0].unlink()
    events: list[Event] = []
    verdict = judge(
        skilled, store, parent=beginner, device="cpu", precision="fp32", reporter=Reporter(events.append)
    )
    assert len(verdict.cases) == 4
    told = [event["message"] for event in events if event["event"] == "warning"]
    assert [message.split(" was ")[0] for message in told] == [
        "Held-out case ball_60",
        "Held-out case ball_61",
    ]
