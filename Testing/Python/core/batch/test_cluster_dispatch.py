"""Giving out cases and dealing with every kind of answer. The workers here answer as a test says; real ones are in
e2e."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import KilledWorker

from medcontext.batch import cluster_dispatch, cluster_staff, cluster_stop
from medcontext.batch.case import BatchCase
from medcontext.batch.cluster_dispatch import AHEAD, Dispatch
from medcontext.batch.cluster_staff import Staff
from medcontext.batch.cluster_start import Pool
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch_ledger import DONE, FAILED, RUNNING, Row
from medcontext.errors import CancelledError, MedContextError, ResourceError
from medcontext.events import Reporter
from medcontext.inference.plan import ExecutionPlan

WORKERS = ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"]
KILLED = KilledWorker("key", None, 2)

PLAN = FixedPlan()

Answer = Callable[[str, dict[str, Any]], Any]
"""From the name of the work and what was sent to what comes back: an answer, an error to raise, or None (nothing)."""


class Future:
    def __init__(self, key: str, outcome: Any) -> None:
        self.key, self._callback = key, lambda _self: None
        self.settle(outcome)

    def settle(self, outcome: Any) -> None:
        """Have this come back, unless it is None."""
        self._outcome = outcome
        self.status = "error" if isinstance(outcome, Exception) else "finished"
        if outcome is not None:
            self._callback(self)

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        self._callback = callback
        if self._outcome is not None:
            callback(self)

    def result(self, **_timeout: float) -> Any:
        return self._outcome

    def exception(self) -> Any:
        return self._outcome


def from_worker(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as it comes back from a worker."""
    return answer | {"address": WORKERS[0], "worker": "w"}


class Cluster:
    """A client whose workers answer at once."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self.sent, self.cancelled = answer, [], 0
        self.placed: list[Any] = []
        self.errands: dict[str, dict[str, Any]] = {}
        self.futures: list[Future] = []
        self.at_stop: Callable[[], None] = lambda: None

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(WORKERS, 1)

    def run(self, work: Any, _facts: Any, workers: list[str], **_more: Any) -> dict[str, Any]:
        if work.__name__ == "stop":
            self.at_stop()
        return {address: {"host": "node", "gpu": False, "refused": ""} for address in workers}

    def submit(self, work: Any, *arguments: Any, key: str, **placing: Any) -> Future:
        if work.__name__ == "warm_up":
            return Future(key, None)
        errand = arguments[1]
        self.sent.append(errand["case"]["id"])
        self.errands[errand["case"]["id"]] = errand
        self.placed.append(placing.get("workers"))
        outcome = self._answer(work.__name__, errand)
        self.futures.append(Future(key, from_worker(outcome) if isinstance(outcome, dict) else outcome))
        return self.futures[-1]

    def processing(self) -> dict[str, tuple[str, ...]]:
        return {}

    def cancel(self, futures: list[Future], **_force: bool) -> None:
        self.cancelled += len(futures)


class Ledger:
    """Takes rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def append(self, row: Row) -> None:
        self.rows.append(row)

    def sync(self) -> None:
        pass

    def ended(self) -> dict[str, str]:
        """Case -> state of those that came to an end, each once."""
        ends = [row for row in self.rows if row["state"] in (DONE, FAILED)]
        assert max(Counter(row["case"] for row in ends).values(), default=1) == 1
        return {row["case"]: row["state"] for row in ends}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_dispatch, "POLL_S", 0.001)
    monkeypatch.setattr(cluster_staff, "LOOK_S", 0.0)
    monkeypatch.setattr(cluster_staff.distributed, "fire_and_forget", lambda _future: None)


class Run:
    """A run over cases ``0``, ``1``, ... with workers that answer so."""

    def __init__(self, count: int, answer: Answer, *, plan: FixedPlan | None = PLAN, **more: Any) -> None:
        self.cluster, self.ledger, self.plans = Cluster(answer), Ledger(), []
        self.warnings: list[str] = []
        pool = Pool(self.cluster, "the test", wait_s=0.05)
        reporter = Reporter(lambda event: self.warnings.append(event["message"]))
        cases = [BatchCase(str(index), (Path(__file__),)) for index in range(count)]
        self.dispatch = Dispatch(
            cases,
            BatchOptions(model="m"),
            plan,
            "sha",
            self.ledger,  # type: ignore[arg-type]
            Staff(pool, {"version": "1"}, "auto", reporter),
            pool,
            reporter,
            more.get("control", lambda: None),
            self.plans.append,
            more.get("suspects", frozenset()),
        )

    def __call__(self) -> dict[str, str]:
        self.dispatch.run()
        return self.ledger.ended()


def done(errand: dict[str, Any]) -> dict[str, Any]:
    return {"row": {"case": errand["case"]["id"], "state": DONE}}


def test_a_running_row_before_each_case_and_few_cases_at_once() -> None:
    seen: list[int] = []
    run: Run

    def answer(_work: str, errand: dict[str, Any]) -> Any:
        running = sum(row["state"] == RUNNING for row in run.ledger.rows)
        seen.append(running - len(run.ledger.ended()))
        assert run.ledger.rows[-1]["case"] == errand["case"]["id"]
        return done(errand)

    run = Run(100, answer)
    assert run() == {str(index): DONE for index in range(100)}
    assert max(seen) <= AHEAD * len(WORKERS)
    assert all(row["worker"] == "w" for row in run.ledger.rows if row["state"] == DONE)


def test_the_plan_is_measured_once_on_the_first_case_that_can_be_read() -> None:
    def answer(work: str, errand: dict[str, Any]) -> Any:
        if work == "settle_plan":
            broken = errand["case"]["id"] == "0"
            return {"broken": "unreadable"} if broken else {"plan": {"precision": "bf16"}}
        state = FAILED if errand["plan"] is None else DONE
        return {"row": {"case": errand["case"]["id"], "state": state}}

    run = Run(4, answer, plan=None)
    assert run() == {"0": FAILED, "1": DONE, "2": DONE, "3": DONE}
    assert run.plans == [ExecutionPlan("bf16", False, 1)]
    assert run.cluster.sent == ["0", "0", "1", "1", "2", "3"]


def test_one_deadly_case_fails_alone_and_after_all_others() -> None:
    """Those that waited on the workers it killed are tried alone as well, and are fine."""
    deadly, company = "2", {"2", "3"}
    killed: Counter[str] = Counter()

    def answer(_work: str, errand: dict[str, Any]) -> Any:
        name = errand["case"]["id"]
        if name in company and (name == deadly or not killed[name]):
            killed[name] += 1
            return KILLED
        return done(errand)

    run = Run(8, answer)
    assert run() == {str(index): FAILED if str(index) == deadly else DONE for index in range(8)}
    assert killed == {"2": 2, "3": 1}
    assert run.cluster.sent[-2:] == ["2", "3"]
    frugal = {case for case, errand in run.cluster.errands.items() if errand["frugal"]}
    assert frugal == company  # when nothing helps, less memory may
    assert "one window at a time" in run.cluster.errands["3"]["frugal"]
    row = next(row for row in run.ledger.rows if row["state"] == FAILED)
    assert row["error"]["kind"] == "resources"
    assert "Workers ended again and again" in row["error"]["message"]


def test_cases_under_which_earlier_runs_ended_come_last_with_least_memory_and_nothing_is_measured_on_them() -> (
    None
):
    def answer(work: str, errand: dict[str, Any]) -> Any:
        return {"plan": {"precision": "bf16"}} if work == "settle_plan" else done(errand)

    run = Run(3, answer, plan=None, suspects={"0"})
    assert set(run().values()) == {DONE}
    assert run.cluster.sent == ["1", "1", "2", "0"]
    assert [bool(run.cluster.errands[case]["frugal"]) for case in "012"] == [True, False, False]

    only = Run(1, answer, plan=None, suspects={"0"})
    assert only() == {"0": DONE}
    assert only.cluster.sent == ["0"]


@pytest.mark.parametrize("plan", [PLAN, None])
def test_workers_that_die_under_every_case_are_to_blame_themselves(plan: FixedPlan | None) -> None:
    """And that is found out soon: each death of a worker takes seconds."""
    run = Run(500, lambda _work, _errand: KILLED, plan=plan)
    with pytest.raises(ResourceError, match="Workers end under every case: 3 were tried") as error:
        run()
    assert "memory" in error.value.hint
    assert len(run.ledger.ended()) == 3
    assert len(run.cluster.sent) < 12


def test_a_worker_that_refuses_gets_nothing_more_and_its_case_goes_elsewhere() -> None:
    def answer(_work: str, errand: dict[str, Any]) -> Any:
        return {"refused": "The worker on node is of no use."} if not run.warnings else done(errand)

    run = Run(5, answer)
    assert set(run().values()) == {DONE}
    assert run.warnings == ["The worker on node is of no use."]
    assert run.cluster.placed[-1] == [WORKERS[1]]


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_a_worker_does_not_see(there: bool, tmp_path: Path) -> None:
    """The worker is to blame where the driver sees it; else it is the case, which then fails by reading it."""
    path = Path(__file__) if there else tmp_path / "gone.nii.gz"

    def answer(_work: str, errand: dict[str, Any]) -> Any:
        if errand["look"] and errand["case"]["id"] == "1" and not run.warnings:
            return {"unseen": str(path), "sentence": "The worker on node does not see it."}
        state = DONE if errand["look"] else FAILED
        return {"row": {"case": errand["case"]["id"], "state": state}}

    run = Run(3, answer)
    assert run() == {"0": DONE, "1": DONE if there else FAILED, "2": DONE}
    assert bool(run.warnings) is there


def test_a_full_disk_ends_the_run() -> None:
    ended = {"kind": "resources", "message": "The disk is full.", "hint": "Free some space."}
    with pytest.raises(ResourceError, match="The disk is full"):
        Run(3, lambda _work, _errand: {"ended": ended})()


def test_what_dask_cannot_begin_anywhere_ends_the_run() -> None:
    with pytest.raises(MedContextError, match="could not begin a case: ModuleNotFoundError: No module"):
        Run(1, lambda _work, _errand: ModuleNotFoundError("No module named 'medcontext'"))()


def test_a_bug_on_a_worker_fails_the_case_only() -> None:
    run = Run(
        2, lambda _work, errand: {"broken": "KeyError: 1"} if errand["case"]["id"] == "0" else done(errand)
    )
    assert run() == {"0": FAILED, "1": DONE}


def test_stop_takes_back_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_stop, "FINISH_S", 0.3)
    run = Run(9, lambda _work, _errand: None, control=lambda: "stop" if run.cluster.sent else None)
    with pytest.raises(CancelledError):
        run()
    assert run.cluster.cancelled == AHEAD * len(WORKERS)
    assert run.ledger.ended() == {}


def test_what_workers_finish_after_a_stop_is_kept() -> None:
    def end() -> None:
        writing, stopped, killed, second = run.cluster.futures
        writing.settle(from_worker({"row": {"case": "0", "state": DONE}}))
        stopped.settle(from_worker({"stopped": True}))
        killed.settle(KILLED)
        second.settle(from_worker({"row": {"case": "3", "state": FAILED}}))

    run = Run(9, lambda _work, _errand: None, control=lambda: "stop" if run.cluster.sent else None)
    run.cluster.at_stop = end
    with pytest.raises(CancelledError):
        run()
    assert run.ledger.ended() == {"0": DONE, "3": FAILED}
    assert len(run.cluster.sent) == AHEAD * len(WORKERS)  # nothing more was begun
    assert run.cluster.cancelled == 0


def test_pause_gives_out_nothing_more() -> None:
    asked = iter([None, "pause", "pause", "pause"])

    def control() -> str | None:
        request = next(asked, None)
        if request == "pause":
            paused_at.append(len(run.cluster.sent))
        return request

    paused_at: list[int] = []
    run = Run(20, lambda _work, errand: done(errand), control=control)
    assert len(run()) == 20
    assert len(set(paused_at)) == 1


def test_answers_that_were_lost_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_dispatch, "SILENCE_S", 0.0)
    with pytest.raises(ResourceError, match="has lost cases"):
        Run(2, lambda _work, _errand: None)()


def test_a_scheduler_that_went_away_ends_the_run() -> None:
    class Lost(Future):
        status = "cancelled"

        def __init__(self, key: str) -> None:
            self.key, self._outcome = key, "lost"

    run = Run(1, lambda _work, _errand: None)
    run.cluster.submit = lambda *_arguments, key, **_more: Lost(key)  # type: ignore[method-assign]
    with pytest.raises(ResourceError, match="connection to the scheduler of the test was lost"):
        run()
