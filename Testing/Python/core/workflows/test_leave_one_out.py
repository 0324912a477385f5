"""Leave-one-out: every annotated case is scored once, by a model that has never seen it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume
from medcontext.workflows.leave_one_out import leave_one_out, time_needed
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import TrainResult, train

pytestmark = pytest.mark.usefixtures("undrawn")

Ball = Callable[..., tuple[Volume, Volume]]

SETTINGS = ("plan.network.kwargs.filters=[4,8,8]", "plan.allowed_flips=[]")


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_store: Path) -> TrainRequest:
    """Three annotated cases and two held out, two steps."""
    monkeypatch.setenv("MEDCONTEXT_HOME", str(tmp_path / "home"))
    output = tmp_path / "model"
    return TrainRequest(
        a_store, output, "supervised", settings=SETTINGS, steps=2, device="cpu", precision="fp32"
    )


def test_each_case_is_scored_by_a_model_that_never_saw_it(request_of: TrainRequest) -> None:
    trained: list[TrainResult] = []

    def watched(request: TrainRequest, reporter: Reporter, control: Callable[[], str | None]) -> TrainResult:
        trained.append(train(request, reporter, control))
        return trained[-1]

    events: list[Event] = []
    request = request_of
    verdict = leave_one_out(request, watched, Reporter(events.append))
    assert [row.case for row in verdict.cases] == ["ball_0", "ball_1", "ball_2"]
    assert all(row.child is not None for row in verdict.cases)
    store = CaseStore.open(request.data)
    for case_id, result in zip(("ball_0", "ball_1", "ball_2"), trained, strict=True):
        assert store.case(case_id).voxels not in result.card.training.voxel_hashes
        assert len(result.card.training.voxel_hashes) == 2
    assert "3 cases left out" in verdict.sentence
    told = [event["message"] for event in events if event["event"] == "info"]
    assert told == [time_needed(3, request)]
    shares = [event["value"] for event in events if event["event"] == "progress"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert not (request.output / "training" / "without").exists()


def test_a_stopped_run_goes_on_with_the_next_case(request_of: TrainRequest) -> None:
    done: list[str] = []

    def watched(request: TrainRequest, reporter: Reporter, control: Callable[[], str | None]) -> TrainResult:
        done.append(request.output.name)
        return train(request, reporter, control)

    first = leave_one_out(request_of, watched, Reporter(), lambda: "stop" if len(done) == 2 else None)
    assert [row.case for row in first.cases] == ["ball_0"]  # the second was cut short and does not count
    second = leave_one_out(request_of, watched, Reporter())
    assert [row.case for row in second.cases] == ["ball_0", "ball_1", "ball_2"]
    assert done == ["ball_0", "ball_1", "ball_1", "ball_2"]
    written = json.loads((request_of.output / "training" / "leave_one_out.json").read_text(encoding="utf-8"))
    assert len(written["by_case"]) == 3


def test_all_scans_of_the_patient_are_left_out(tmp_path: Path, request_of: TrainRequest, ball: Ball) -> None:
    store = CaseStore.create(tmp_path / "s", CaseStore.open(request_of.data).labels, [("T1", "MRI")])
    for seed, patient in ((70, "a"), (71, "a"), (72, "b")):
        image, label = ball(seed)
        store.add_case(NewCase([image], label, case_id=f"case_{seed}", group=patient))
    left_out: list[tuple[str, set[str]]] = []

    def watched(request: TrainRequest, reporter: Reporter, control: Callable[[], str | None]) -> TrainResult:
        left_out.append((request.output.name, set(request.exclude)))
        return train(request, reporter, control)

    leave_one_out(replace(request_of, data=store.folder), watched, Reporter())
    assert left_out[0] == ("case_70", {"case_70", "case_71"})
    assert left_out[2] == ("case_72", {"case_72"})


def test_the_time_is_said_beforehand(request_of: TrainRequest) -> None:
    text = time_needed(5, replace(request_of, steps=None, minutes=10))
    assert text == "Leave-one-out: 5 more trainings of 10 minutes, 50 minutes together."


@pytest.mark.parametrize(
    "change", [{"until_stopped": True, "steps": None}, {"exclude": ["ball_0", "ball_1"]}]
)
def test_what_cannot_be_repeated_is_refused(request_of: TrainRequest, change: dict) -> None:
    with pytest.raises(InputError, match="Leave-one-out"):
        leave_one_out(replace(request_of, **change), train, Reporter())


def test_scores_of_trainings_with_other_options_are_not_reused(request_of: TrainRequest) -> None:
    done: list[str] = []

    def watched(request: TrainRequest, reporter: Reporter, control: Callable[[], str | None]) -> TrainResult:
        done.append(request.output.name)
        return train(request, reporter, control)

    leave_one_out(request_of, watched, Reporter(), lambda: "stop" if len(done) == 2 else None)
    events: list[Event] = []
    other = replace(request_of, steps=3, resume=True, title="Another")
    assert len(leave_one_out(other, watched, Reporter(events.append)).cases) == 3
    assert done == ["ball_0", "ball_1", "ball_0", "ball_1", "ball_2"]
    assert any("other options" in event.get("message", "") for event in events)
