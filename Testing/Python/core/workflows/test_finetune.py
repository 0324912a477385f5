"""Fine-tuning with real small runs: what a model knew it still knows, and what it is said to be worth is true."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.cache import files_hash
from medcontext.data.case import Annotation
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.labels import LabelSet
from medcontext.library import load_model
from medcontext.workflows import parents_answer
from medcontext.workflows.evaluate import evaluate
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import TrainResult, train

pytestmark = pytest.mark.usefixtures("undrawn")

Ball = Callable[..., tuple[Volume, Volume]]
UNTOUCHED = ["engine.optimiser.learning_rate=1e-12"]
UPPER, LOWER = 1, 3


def tune(data: Path, output: Path, parent: Path, **changes) -> tuple[TrainResult, list[dict]]:
    options = {"steps": 30, "device": "cpu", "precision": "fp32", "init_from": str(parent)}
    events: list[dict] = []
    return train(TrainRequest(data, output, **(options | changes)), Reporter(events.append)), events


def said(events: list[dict], kind: str = "info") -> str:
    return " ".join(event["message"] for event in events if event["event"] == kind)


def store_of(
    folder: Path, ball: Ball, labels: dict[int, str], values: dict[int, int], count: int = 2
) -> CaseStore:
    """A store of other balls, whose halves have these values; what is left out was painted as nothing."""
    store = CaseStore.create(folder, LabelSet.from_names(labels), [("T1", "MRI")], name="Others")
    for seed in range(20, 20 + count):
        image, label = ball(seed)
        lookup = np.zeros(256, np.uint8)
        for old, new in values.items():
            lookup[old] = new
        painted = Volume(lookup[label.array], label.geometry)
        store.add_case(NewCase([image], painted, case_id=f"other_{seed}"))
    return store


def dice(data: Path, model: Path) -> dict[str, float]:
    result = evaluate(data, model=model, device="cpu", precision="fp32")
    return {name: result.dice(name) for name in result.summary["labels"]}


def test_a_store_that_numbers_its_labels_otherwise_starts_where_the_parent_is(
    tmp_path: Path, a_store: Path, a_model: Path, ball: Ball
) -> None:
    store_of(tmp_path / "store", ball, {1: "lower", 2: "UPPER", 5: "Cyst"}, {LOWER: 1, UPPER: 2})
    trained, events = tune(tmp_path / "store", tmp_path / "child", a_model, steps=1, settings=UNTOUCHED)
    assert [(label.value, label.name) for label in trained.card.label_set] == [
        (1, "lower"),
        (2, "UPPER"),
        (5, "Cyst"),
    ]
    assert "It knows lower, UPPER already." in said(events)
    before, after = dice(a_store, a_model), dice(a_store, trained.folder)
    assert {name.casefold(): value for name, value in after.items()} == pytest.approx(
        {name.casefold(): value for name, value in before.items()}, abs=0.02
    )


def test_what_the_store_does_not_have_is_kept_unless_it_is_not_wanted(
    tmp_path: Path, a_store: Path, a_model: Path, ball: Ball
) -> None:
    store_of(tmp_path / "store", ball, {1: "Upper"}, {UPPER: 1})
    before = dice(a_store, a_model)
    kept, events = tune(tmp_path / "store", tmp_path / "kept", a_model)
    assert "Kept as the parent sees it: Lower." in said(events)
    assert [label.name for label in kept.card.label_set] == ["Upper", "Lower"]
    assert dice(a_store, kept.folder)["Lower"] > before["Lower"] - 0.05
    alone, events = tune(tmp_path / "store", tmp_path / "alone", a_model, keep="none", steps=1)
    assert "Given up: Lower." in said(events)
    assert [label.name for label in alone.card.label_set] == ["Upper"]


def test_a_structure_made_of_two_that_the_parent_knows_replaces_them(
    tmp_path: Path, a_model: Path, ball: Ball
) -> None:
    store = store_of(tmp_path / "store", ball, {1: "Ball"}, {UPPER: 1, LOWER: 1}, count=5)
    store.hold_out(["other_22", "other_23", "other_24"])
    trained, events = tune(tmp_path / "store", tmp_path / "child", a_model, steps=1, settings=UNTOUCHED)
    assert [label.name for label in trained.card.label_set] == ["Ball"]
    assert "Upper is replaced" in said(events)
    assert trained.verdict is not None
    assert min(case.child or 0 for case in trained.verdict.cases) > 0.7


def test_only_the_labels_that_were_asked_for_are_learnt(tmp_path: Path, a_store: Path) -> None:
    settings = ["plan.network.kwargs.filters=[4,8,8]", "plan.allowed_flips=[]"]
    request = TrainRequest(
        a_store,
        tmp_path / "lower",
        steps=2,
        device="cpu",
        precision="fp32",
        labels=["lower"],
        settings=settings,
    )
    card = train(request).card
    assert [(label.value, label.name) for label in card.label_set] == [(LOWER, "Lower")]


def test_a_label_that_nobody_looked_for_in_these_cases_is_left_to_the_parent(
    tmp_path: Path, a_store: Path, a_model: Path, ball: Ball
) -> None:
    store = CaseStore.create(
        tmp_path / "store", LabelSet.from_names({1: "Upper", 3: "Lower"}), [("T1", "MRI")]
    )
    for seed in (20, 21):
        image, label = ball(seed)
        upper = Volume(np.where(label.array == UPPER, label.array, 0), label.geometry)
        store.add_case(
            NewCase([image], upper, case_id=f"other_{seed}", annotated=Annotation(labels=(UPPER,)))
        )
    trained, events = tune(store.folder, tmp_path / "child", a_model)
    assert [(label.value, label.name) for label in trained.card.label_set] == [(1, "Upper"), (3, "Lower")]
    assert "Kept as the parent sees it: Lower." in said(events)
    assert dice(a_store, trained.folder)["Lower"] > dice(a_store, a_model)["Lower"] - 0.05
    with pytest.raises(InputError, match="No case to learn from says anything"):
        tune(store.folder, tmp_path / "none", a_model, labels=["Lower"])


def test_cases_left_out_are_in_no_part_of_the_training(tmp_path: Path, a_store: Path, a_model: Path) -> None:
    left_out = CaseStore.open(a_store).case("ball_1")
    trained, _ = tune(
        a_store, tmp_path / "child", a_model, steps=2, exclude=["ball_1"], unlabelled=a_store,
        settings=["unlabelled.least_steps=0", "unlabelled.start=0"],
    )  # fmt: skip
    record = trained.card.training
    assert files_hash(left_out.images) not in record.case_hashes
    assert left_out.voxels not in record.voxel_hashes
    assert (record.shots, record.unlabelled) == (2, 0)


def test_the_card_remembers_what_all_its_forebears_saw(
    tmp_path: Path, a_store: Path, a_model: Path, ball: Ball
) -> None:
    store = store_of(tmp_path / "store", ball, {1: "Upper", 3: "Lower"}, {UPPER: 1, LOWER: 3})
    child, _ = tune(store.folder, tmp_path / "child", a_model, steps=1)
    grandchild, _ = tune(a_store, tmp_path / "grandchild", child.folder, steps=1)
    parent = load_model(a_model).card
    assert parent.seen < child.card.seen == grandchild.card.seen
    hashes = {files_hash(case.images) for case in store.cases} | {case.voxels for case in store.cases}
    assert hashes <= child.card.seen
    assert grandchild.card.parent is not None
    assert grandchild.card.parent.id == "child"
    summary = json.loads((grandchild.folder / "model.json").read_text(encoding="utf-8"))["training"]
    assert set(summary["inherited_hashes"]) == child.card.seen


def test_held_out_cases_are_watched_but_not_those_that_the_parent_learnt_from(
    tmp_path: Path, a_store: Path, a_model: Path
) -> None:
    """The parent learnt from three of the five balls; all five are held out here."""
    folder = tmp_path / "store"
    shutil.copytree(a_store, folder)
    store = CaseStore.open(folder)
    image, label = store.read_image(store.case("ball_3")), store.read_labels(store.case("ball_3"))
    moved = Volume(image.array + 1, image.geometry)
    store.add_case(NewCase([moved], label, case_id="new"))
    store.hold_out([f"ball_{n}" for n in range(5)])
    trained, events = tune(folder, tmp_path / "child", a_model, steps=4)
    watched = [event for event in events if event["event"] == "metric" and event.get("held_out")]
    assert watched
    assert set(watched[-1]["dice"]) == {"Upper", "Lower"}
    assert trained.verdict is not None
    assert {case.case for case in trained.verdict.cases} == {"ball_3", "ball_4"}
    assert trained.verdict.word == "too_few"
    assert "3 held-out cases do not count" in trained.verdict.sentence


def test_a_verdict_is_written_into_the_card(tmp_path: Path, ball: Ball, a_model: Path) -> None:
    store = store_of(tmp_path / "store", ball, {1: "Upper", 3: "Lower"}, {UPPER: 3, LOWER: 1}, count=7)
    store.hold_out([f"other_{seed}" for seed in range(22, 27)])
    trained, _ = tune(store.folder, tmp_path / "child", a_model, steps=1, settings=UNTOUCHED)
    assert trained.verdict is not None
    card = json.loads((trained.folder / "model.json").read_text(encoding="utf-8"))
    assert card["training"]["metrics"]["verdict"]["word"] == trained.verdict.word != ""
    assert card["training"]["metrics"]["verdict"]["cases"] == 5
    assert load_model(trained.folder).card.training.metrics["verdict"]["sentence"] in (
        trained.folder / "README.md"
    ).read_text(encoding="utf-8")


def test_leave_one_out_tells_what_the_model_is_worth_where_nothing_is_held_out(
    tmp_path: Path, ball: Ball, a_model: Path
) -> None:
    store = store_of(tmp_path / "store", ball, {1: "Upper", 3: "Lower"}, {UPPER: 1, LOWER: 3}, count=2)
    trained, events = tune(store.folder, tmp_path / "child", a_model, steps=2, leave_one_out=True)
    assert trained.verdict is not None
    assert [case.case for case in trained.verdict.cases] == ["other_20", "other_21"]
    kinds = [event["event"] for event in events]
    first = next(i for i, event in enumerate(events) if "Leave-one-out" in event.get("message", ""))
    assert first < kinds.index("metric"), "its time is said before anything is trained"
    with pytest.raises(InputError, match="Leave-one-out"):
        tune(store.folder, tmp_path / "one", a_model, exclude=["other_20"], leave_one_out=True)
    assert not (tmp_path / "one" / "model.json").exists()


def test_a_training_stopped_before_the_verdict_has_its_model_and_resume_asks_again(
    tmp_path: Path, a_store: Path, a_model: Path
) -> None:
    events: list[dict] = []

    def judging() -> bool:
        return any(event.get("stage") == "judge" for event in events)

    request = TrainRequest(
        a_store, tmp_path / "child", steps=2, device="cpu", precision="fp32", init_from=str(a_model)
    )
    with pytest.raises(CancelledError, match="is complete"):
        train(request, Reporter(events.append, judging))
    assert load_model(tmp_path / "child").card.training.steps == 2
    again, _ = tune(a_store, tmp_path / "child", a_model, steps=2, resume=True)
    assert again.verdict is not None
    assert len(again.verdict.cases) == 2


def test_a_parent_that_went_away_meanwhile_is_one_sentence(
    tmp_path: Path, a_store: Path, a_model: Path
) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(a_model, parent)
    request = TrainRequest(
        a_store, tmp_path / "child", steps=6, device="cpu", precision="fp32", init_from=str(parent)
    )
    events: list[dict] = []
    with pytest.raises(CancelledError, match=r"at step \d of 6"):
        train(request, Reporter(events.append, lambda: any(e.get("stage") == "train" for e in events)))
    shutil.rmtree(parent)
    with pytest.raises(InputError, match="that this run began from cannot be opened any more"):
        tune(a_store, tmp_path / "child", parent, steps=6, resume=True)
    shutil.copytree(a_model, parent)
    trained, _ = tune(a_store, tmp_path / "child", parent, steps=6, resume=True)
    assert trained.card.training.steps == 6


def test_two_trainings_cannot_write_to_one_folder(tmp_path: Path, a_store: Path, a_model: Path) -> None:
    messages = []

    def meanwhile() -> str | None:
        if not messages:
            with pytest.raises(InputError) as error:
                tune(a_store, tmp_path / "child", a_model)
            messages.append(error.value.message)
        return None

    request = TrainRequest(
        a_store, tmp_path / "child", steps=2, device="cpu", precision="fp32", init_from=str(a_model)
    )
    assert train(request, control=meanwhile).card.training.steps == 2
    assert "Another training writes" in messages[0]


def test_a_model_of_another_modality_is_warned_about(tmp_path: Path, ball: Ball, a_model: Path) -> None:
    store = CaseStore.create(tmp_path / "ct", LabelSet.from_names({1: "Upper", 3: "Lower"}), [("CT", "CT")])
    for seed in (20, 21):
        image, label = ball(seed)
        store.add_case(NewCase([image], label, case_id=f"ct_{seed}"))
    _, events = tune(store.folder, tmp_path / "child", a_model, steps=1)
    assert "was made for MRI; CT of the data is CT" in said(events, "warning")


def test_what_is_known_is_changed_gently_and_what_is_new_is_learnt_at_the_full_rate(
    tmp_path: Path, a_store: Path, a_model: Path, ball: Ball
) -> None:
    known, events = tune(a_store, tmp_path / "known", a_model, steps=1)
    gentle = known.card.training.config["engine"]["optimiser"]["learning_rate"]
    assert gentle < 0.5 * 3e-3
    assert known.card.training.config["unlabelled"]["least_steps"] < 0.5 * 600
    assert "Before it learns it has a Dice of 0." in said(events)
    store = CaseStore.create(tmp_path / "new", LabelSet.from_names({1: "Corner"}), [("T1", "MRI")])
    for seed in (20, 21):
        image, label = ball(seed)
        corner = np.zeros_like(label.array)
        corner[0, :3, :4, :5] = 1
        store.add_case(NewCase([image], Volume(corner, label.geometry), case_id=f"corner_{seed}"))
    new, _ = tune(store.folder, tmp_path / "child", a_model, steps=1)
    assert new.card.training.config["engine"]["optimiser"]["learning_rate"] > 0.5 * 3e-3
    wish = ["engine.optimiser.learning_rate=0.002"]
    wished, _ = tune(a_store, tmp_path / "wished", a_model, steps=1, settings=wish)
    assert wished.card.training.config["engine"]["optimiser"]["learning_rate"] == 0.002


def test_a_structure_that_only_the_last_case_shows_is_looked_at_too(
    tmp_path: Path, a_model: Path, ball: Ball, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parents_answer, "LOOKED_AT", 1)
    store = CaseStore.create(
        tmp_path / "store", LabelSet.from_names({1: "Upper", 2: "Rest"}), [("T1", "MRI")]
    )
    for seed in (20, 21):
        image, label = ball(seed)
        values = np.array([0, 1, 0, 2 if seed == 21 else 0], np.uint8)
        painted = Volume(values[label.array], label.geometry)
        only_upper = Annotation(labels=(1,) if seed == 20 else None)
        store.add_case(NewCase([image], painted, case_id=f"other_{seed}", annotated=only_upper))
    trained, events = tune(store.folder, tmp_path / "child", a_model, steps=1, settings=UNTOUCHED)
    assert "Rest is new and starts from Lower" in said(events)
    assert [label.name for label in trained.card.label_set] == ["Upper", "Rest"]
