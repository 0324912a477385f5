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
from medcontext.engine import asking
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume
from medcontext.labels import LabelSet
from medcontext.library import read_card
from medcontext.metrics import LabelScore
from medcontext.workflows.comparison import CaseComparison, mean_dice
from medcontext.workflows.fit import fit
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import train
from medcontext.workflows.training_verdict import judged
from medcontext.workflows.verdict import conclude, judge

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
    assert "of Upper, Lower" in verdict.sentence
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


def rows(*pairs: tuple[float | None, float]) -> list[CaseComparison]:
    return [CaseComparison(f"case_{n}", parent, child) for n, (parent, child) in enumerate(pairs)]


def test_numbers_are_of_the_cases_that_were_compared() -> None:
    labels = LabelSet.from_names({1: "Upper"})
    scored = rows((0.8, 0.7), (0.8, 0.7), (0.8, 0.7), (0.8, 0.7), (0.8, 0.7), (None, 0.99), (None, 0.99))
    verdict = conclude(scored, labels, "Old", True, ("case left out", "cases left out"))
    assert verdict.word == "worse"
    assert "mean Dice 0.700 of Upper, Old 0.800, on 5 cases left out" in verdict.sentence
    assert "2 more without comparison" in verdict.sentence


def test_inventing_a_structure_costs_as_much_as_missing_one() -> None:
    def score(dice: float | None) -> LabelScore:
        return LabelScore("c", "Upper", 1, "scored", dice, None, None, 1.0, 0, 0, 0.0, 0.0)

    assert mean_dice([score(None)], [score(0.0)]) == [1.0, 0.0]
    assert mean_dice([score(0.5), score(None)], [score(0.7), score(0.0)]) == [0.75, 0.35]
    assert mean_dice([score(None)], [score(None)]) == [None, None]


def test_a_label_that_is_spelt_otherwise_is_the_same_label(
    tmp_path: Path, ball: Ball, skilled: Path, beginner: Path
) -> None:
    store = store_with(tmp_path / "store", ball, range(80, 85), {1: "UPPER", 3: "_lower"})
    card = json.loads((beginner / "model.json").read_text(encoding="utf-8"))
    parent = shutil.copytree(beginner, tmp_path / "parent")
    card["labels"][1]["name"] = "Lower "
    (parent / "model.json").write_text(json.dumps(card), encoding="utf-8")
    verdict = judge(skilled, store, parent=parent, device="cpu", precision="fp32")
    assert verdict.word == "better"
    assert verdict.labels == ("UPPER", "_lower")


def test_a_copy_of_a_scan_that_was_learnt_from_does_not_count_where_no_hash_was_recorded(
    tmp_path: Path, ball: Ball, skilled: Path, beginner: Path
) -> None:
    store = store_with(tmp_path / "store", ball, range(90, 95))
    seen = store.cases[0].voxels
    index = json.loads((store.folder / "dataset.json").read_text(encoding="utf-8"))
    for entry in index["training"]:
        del entry["voxels"]
    (store.folder / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    store.reload()
    card = json.loads((skilled / "model.json").read_text(encoding="utf-8"))
    card["training"]["voxel_hashes"] = [seen]
    (skilled / "model.json").write_text(json.dumps(card), encoding="utf-8")
    verdict = judge(skilled, store, parent=beginner, device="cpu", precision="fp32")
    assert [row.case for row in verdict.cases] == [case.id for case in store.cases[1:]]


def test_a_pause_holds_the_judging_and_a_stop_of_the_training_does_not_end_it(
    many: CaseStore, skilled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "POLL_SECONDS", 0.001)
    events: list[Event] = []
    told_while_paused: list[int] = []

    def control() -> str:
        begun = any(event.get("stage") == "judge" and event["value"] > 0 for event in events)
        if begun and len(told_while_paused) < 5:
            told_while_paused.append(len(events))
            return "pause"
        return "stop"  # what ended the training

    request = TrainRequest(many.folder, skilled, device="cpu", precision="fp32")
    _, verdict = judged(request, read_card(skilled), fit, Reporter(events.append), control)
    assert told_while_paused == [told_while_paused[0]] * 5  # nothing went on meanwhile
    assert verdict is not None
    assert len(verdict.cases) == 6
