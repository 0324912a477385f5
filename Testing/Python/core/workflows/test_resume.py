"""A training that was killed goes on with the cases it began with, whatever happened to the data set meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medcontext.data.adding import NewCase
from medcontext.data.hashing import files_hash
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.engine.loop import CHECKPOINT
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import write_volume
from medcontext.labels import LabelSet
from medcontext.workflows.begun import CASES_FILE
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import TrainResult, train

pytestmark = pytest.mark.usefixtures("undrawn")

Ball = Callable[..., tuple[Volume, Volume]]
SMALL = ["plan.network.kwargs.filters=[4,8,8]", "plan.allowed_flips=[]"]
JOINING = [*SMALL, "unlabelled.least_steps=0", "unlabelled.start=0"]


@pytest.fixture
def begun(tmp_path: Path, a_store: Path) -> TrainRequest:
    """A training of six steps that was stopped before its end; ``ball_0`` to ``ball_2`` are learnt from."""
    shutil.copytree(a_store, tmp_path / "store")
    return stopped(TrainRequest(tmp_path / "store", tmp_path / "model", settings=SMALL))


def stopped(request: TrainRequest) -> TrainRequest:
    """Begin a training, stop it, and return the request to go on."""
    request = replace(request, steps=6, device="cpu", precision="fp32")
    events: list[dict] = []
    with pytest.raises(CancelledError, match=r"at step \d of 6"):
        train(request, Reporter(events.append, lambda: any(e.get("stage") == "train" for e in events)))
    assert (request.output / "training" / CASES_FILE).exists()
    return replace(request, resume=True)


def go_on(request: TrainRequest) -> tuple[TrainResult, dict[str, str]]:
    """The result and what a person is told, by kind."""
    events: list[dict] = []
    trained = train(request, Reporter(events.append))
    told = [(event["event"], event["message"]) for event in events if "message" in event]
    assert trained.card.training.steps == 6
    return trained, {kind: " ".join(text for k, text in told if k == kind) for kind in ("info", "warning")}


def test_cases_added_meanwhile_and_their_new_structures_wait_for_the_next_training(
    begun: TrainRequest, ball: Ball
) -> None:
    store = CaseStore.open(begun.data)
    image, label = ball(50)
    more = LabelSet.from_names({2: "Vessel"})  # between the values that there are: the classes would move
    label.array[0, :2] = 2
    store.add_case(NewCase([image], label, case_id="later"), labels=more)
    trained, told = go_on(begun)
    assert "not used by it: later." in told["info"]
    assert [label["name"] for label in trained.card.labels] == ["Upper", "Lower"]
    assert store.case("later").voxels not in trained.card.seen
    assert trained.card.training.shots == 3
    assert not (begun.output / "training" / CASES_FILE).exists()


def test_a_case_held_out_meanwhile_is_not_learnt_from_any_more_and_counts_as_seen(
    begun: TrainRequest,
) -> None:
    store = CaseStore.open(begun.data)
    store.hold_out(["ball_1"])
    trained, told = go_on(begun)
    assert "held out by now: ball_1." in told["warning"]
    assert trained.card.training.shots == 2
    assert store.case("ball_1").voxels in trained.card.seen
    assert files_hash(store.case("ball_1").images) in trained.card.seen
    assert trained.verdict is not None
    assert {row.case for row in trained.verdict.cases} == {"ball_3", "ball_4"}


def test_other_scans_of_a_patient_who_scores_by_now_are_not_learnt_from(tmp_path: Path, ball: Ball) -> None:
    store = CaseStore.create(tmp_path / "s", LabelSet.from_names({1: "Upper", 3: "Lower"}), [("T1", "MRI")])
    for seed, patient in ((80, "p"), (81, "p"), (82, "q")):
        image, label = ball(seed)
        store.add_case(NewCase([image], label, case_id=f"c{seed}", group=patient))
    request = stopped(TrainRequest(store.folder, tmp_path / "model", settings=SMALL))
    store.hold_out(["c80"])
    trained, told = go_on(request)
    assert trained.card.training.shots == 1
    assert "held out by now: c80, c81." in told["warning"]


def test_changed_labels_are_taken_and_named(begun: TrainRequest, ball: Ball) -> None:
    store = CaseStore.open(begun.data)
    label = store.case("ball_2").label
    assert label is not None
    write_volume(label, ball(33)[1])
    trained, told = go_on(begun)
    assert "labels were changed since the run began and are used as they are: ball_2." in told["warning"]
    assert "images were changed" not in told["warning"]
    assert trained.card.training.shots == 3


def test_nothing_is_said_where_nothing_changed(begun: TrainRequest) -> None:
    _, told = go_on(begun)
    assert told["warning"] == ""
    assert "run began" not in told["info"]


def test_without_a_case_that_is_gone_it_goes_on_but_not_without_all(begun: TrainRequest) -> None:
    store = CaseStore.open(begun.data)
    store.remove(["ball_0"])
    store.case("ball_1").images[0].unlink()
    trained, told = go_on(begun)
    assert "without cases that are gone: ball_0, ball_1." in told["warning"]
    assert trained.card.training.shots == 1
    assert len(trained.card.training.case_hashes) == 3


def test_where_no_case_is_left_a_sentence_says_so(begun: TrainRequest, ball: Ball) -> None:
    store = CaseStore.open(begun.data)
    store.remove(["ball_0", "ball_1", "ball_2"])
    image, label = ball(51)
    store.add_case(NewCase([image], label, case_id="later"))
    with pytest.raises(InputError, match="None of the cases that this run learnt from"):
        train(begun, Reporter())


def test_scans_without_labels_are_those_of_the_beginning(tmp_path: Path, a_store: Path, ball: Ball) -> None:
    shutil.copytree(a_store, tmp_path / "store")
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed in (60, 61, 62):
        write_volume(folder / f"s{seed}.nii.gz", ball(seed)[0])
    store = CaseStore.open(tmp_path / "store")
    store.link([folder / "s62.nii.gz"])
    linked = next(case for case in store.cases if case.label is None)
    request = TrainRequest(store.folder, tmp_path / "model", settings=JOINING, unlabelled=folder, shots=3)
    request = stopped(request)
    (folder / "s60.nii.gz").unlink()
    write_volume(folder / "s63.nii.gz", ball(63)[0])
    store.hold_out([linked.id])
    trained, told = go_on(request)
    assert trained.card.training.unlabelled == 1
    assert "1 unlabelled scans were left out: unlabelled_s60" in told["warning"]
    assert f"unlabelled scans that are held out by now: {linked.id}." in told["warning"]
    assert voxel_hash(store.read_image(linked)) in trained.card.training.unlabelled_hashes


def test_a_kill_after_the_model_was_written_leaves_no_checkpoint_for_ever(begun: TrainRequest) -> None:
    kept = begun.output / "training" / CHECKPOINT
    shutil.copy(kept, begun.output / "checkpoint of the killed run")
    go_on(begun)
    shutil.move(begun.output / "checkpoint of the killed run", kept)
    train(begun, Reporter())
    assert not kept.exists()
