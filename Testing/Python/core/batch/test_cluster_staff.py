"""Which workers get cases. dask's client is replaced by one that says what a test wants; real ones are in e2e."""

from __future__ import annotations

from typing import Any

import pytest

from medcontext.errors import InputError, ResourceError
from medcontext.events import Event, Reporter

pytest.importorskip("distributed")

from medcontext.batch import cluster_staff
from medcontext.batch.cluster_staff import Staff
from medcontext.batch.cluster_start import Pool

A, B, C = "tcp://10.0.0.1:4000", "tcp://10.0.0.1:4001", "tcp://10.0.0.2:4000"
GOOD = {"host": "node", "gpu": False, "refused": ""}
WITH_GPU = GOOD | {"gpu": True}
BAD = GOOD | {"refused": "The worker on node does not see /data."}


class Scheduler:
    """A client whose workers answer as they are told."""

    def __init__(self, **_more: Any) -> None:
        self.workers: dict[str, Any] = {}

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.workers, 1)

    def run(self, _work: Any, _facts: Any, workers: list[str], **_more: Any) -> dict[str, Any]:
        return {address: self.workers[address] for address in workers}


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    monkeypatch.setattr(cluster_staff, "LOOK_S", 0.0)
    return Scheduler()


def a_staff(scheduler: Scheduler, device: str = "auto", **pool: Any) -> tuple[Staff, list[Event]]:
    events: list[Event] = []
    staff = Staff(Pool(scheduler, "the test", **pool), {"version": "1.0"}, device, Reporter(events.append))
    return staff, events


def test_workers_of_a_machine_share_it(scheduler: Scheduler) -> None:
    staff, _ = a_staff(scheduler)
    scheduler.workers = {A: GOOD, B: GOOD, C: GOOD}
    staff.look()
    assert staff.sharers == {"10.0.0.1": 2, "10.0.0.2": 1}
    assert staff.placing == {}


def test_a_graphics_processor_gets_all_cases_one_at_a_time(scheduler: Scheduler) -> None:
    staff, _ = a_staff(scheduler)
    scheduler.workers = {A: WITH_GPU, B: GOOD}
    staff.look()
    assert staff.usable == [A]
    assert staff.placing == {"resources": {"GPU": 1}}

    del scheduler.workers[A]  # its cases wait for another one; they are not sent to a CPU
    staff.look()
    assert staff.usable == []


def test_cases_for_the_cpu_take_no_graphics_processor(scheduler: Scheduler) -> None:
    staff, _ = a_staff(scheduler, device="cpu")
    scheduler.workers = {A: WITH_GPU, B: GOOD}
    staff.look()
    assert staff.usable == [A, B]
    assert staff.placing == {}


def test_cuda_asked_for_where_nobody_offers_it(scheduler: Scheduler) -> None:
    staff, _ = a_staff(scheduler, device="cuda")
    scheduler.workers = {A: GOOD}
    with pytest.raises(InputError, match="No worker of the test offers the resource GPU") as error:
        staff.look()
    assert "--resources GPU=1" in error.value.hint


def test_a_refused_worker_is_named_once_and_gets_nothing(scheduler: Scheduler) -> None:
    staff, events = a_staff(scheduler)
    scheduler.workers = {A: BAD, B: BAD, C: GOOD}
    staff.look()
    assert staff.usable == [C]
    assert staff.placing == {"workers": [C], "allow_other_workers": True}
    assert [event["message"] for event in events] == [BAD["refused"]]


def test_a_worker_without_medcontext(scheduler: Scheduler) -> None:
    staff, events = a_staff(scheduler)
    scheduler.workers = {A: ModuleNotFoundError("No module named 'medcontext'"), C: GOOD}
    staff.look()
    assert staff.usable == [C]
    assert "10.0.0.1:4000 cannot run MedContext 1.0: No module named 'medcontext'" in events[0]["message"]


def test_when_all_are_refused_there_is_nobody_to_wait_for(scheduler: Scheduler) -> None:
    scheduler.workers = {A: BAD, B: BAD}
    staff, _ = a_staff(scheduler)
    with pytest.raises(InputError, match="does not see /data"):
        staff.look()

    waiting, _ = a_staff(scheduler, expected=3)  # a queue has a third one
    waiting.look()
    assert waiting.usable == []


def test_lost_workers_are_told_and_asked_for_again(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_staff, "REFILL_S", -1.0)
    asked: list[bool] = []
    staff, events = a_staff(scheduler, refill=asked.append)
    scheduler.workers = {A: GOOD, B: GOOD}
    staff.look()
    del scheduler.workers[A]
    staff.look()
    assert [event["message"] for event in events] == [
        "The worker node:4000 is gone; what it worked on begins again elsewhere."
    ]
    assert staff.usable == [B]
    del scheduler.workers[B]
    staff.look()
    assert asked[-1] is True  # none is left


def test_no_worker_for_too_long(scheduler: Scheduler) -> None:
    staff, _ = a_staff(scheduler, wait_s=0.0)
    with pytest.raises(ResourceError, match="There has been no worker of the test"):
        staff.look()


def test_a_scheduler_that_went_away(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OSError("closed")

    monkeypatch.setattr(scheduler, "nthreads", gone)
    staff, _ = a_staff(scheduler)
    with pytest.raises(ResourceError, match="connection to the scheduler of the test was lost"):
        staff.look()
