"""Three cases at once in three stages; what runs out of memory is tried again alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medcontext.batch import pipeline, stages, voice
from medcontext.batch.case import BatchCase
from medcontext.batch.memory import MemoryGate
from medcontext.batch.options import BatchOptions
from medcontext.batch.run import BatchSummary, run_batch
from medcontext.batch_ledger import read_rows
from medcontext.errors import CancelledError, ResourceError
from medcontext.events import Event, Reporter

Scans = Callable[..., list[Path]]
Run = Callable[..., BatchSummary]

LONG = 60.0
"""Seconds after which threads that wait for each other never will meet."""


@pytest.fixture
def run(tmp_path: Path, write_scans: Scans, tiny_model: Path) -> Run:
    """``run(count, **options)``: that many scans of noise; events in ``run.events``."""

    def start(count: int, control: Any = lambda: None, **options: Any) -> BatchSummary:
        write_scans(tmp_path / "in", count)
        start.events = []  # type: ignore[attr-defined]
        chosen = {"model": str(tiny_model), "device": "cpu", "precision": "fp32"} | options
        reporter = Reporter(start.events.append)  # type: ignore[attr-defined]
        return run_batch(tmp_path / "in", tmp_path / "out", BatchOptions(**chosen), reporter, control)

    return start


def wrap(monkeypatch: pytest.MonkeyPatch, name: str, before: Callable[..., None]) -> None:
    """Have a stage of the pipeline do something before; told the name of the case."""
    honest = getattr(pipeline, name)

    def stage(*arguments: Any, **options: Any) -> Any:
        before(*(value for value in arguments if isinstance(value, pipeline.BatchCase)), **options)
        return honest(*arguments, **options)

    monkeypatch.setattr(pipeline, name, stage)


def test_three_cases_are_in_three_stages_at_the_same_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting, computed = threading.Barrier(3), []

    def read(case: Any) -> None:
        if case.id == "scan_2":
            meeting.wait(LONG)

    def compute(**_: Any) -> None:
        computed.append(1)
        if len(computed) == 2:
            meeting.wait(LONG)

    def export(case: Any) -> None:
        if case.id == "scan_0":
            meeting.wait(LONG)

    for name, before in (("read", read), ("compute", compute), ("export", export)):
        wrap(monkeypatch, name, before)
    assert run(4).done == 4
    assert not meeting.broken


def test_no_more_cases_are_in_work_than_planned(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    most, inside, honest_enter, honest_leave = [0], [0], MemoryGate.enter, MemoryGate.leave

    def enter(gate: MemoryGate, size: int, given_up: Any) -> bool:
        entered = honest_enter(gate, size, given_up)
        inside[0] += entered
        most[0] = max(most[0], inside[0])
        return entered

    def leave(gate: MemoryGate, size: int) -> None:
        inside[0] -= 1
        honest_leave(gate, size)

    monkeypatch.setattr(MemoryGate, "enter", enter)
    monkeypatch.setattr(MemoryGate, "leave", leave)
    assert run(5, memory_limit_gb=1e-6).done == 5
    assert most == [1]
    assert inside == [0]
    told = [event["message"] for event in run.events if event["event"] == "warning"]  # type: ignore[attr-defined]
    assert any("nothing else is worked on beside it" in text for text in told)


@pytest.mark.parametrize("stage", ["read", "compute", "export"])
def test_a_case_that_ran_out_of_memory_is_tried_again_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    failed: list[int] = []
    frugal: list[bool] = []

    def once(*_: Any, **__: Any) -> None:
        failed.append(1)
        if len(failed) == 2:
            raise MemoryError

    wrap(monkeypatch, stage, once)
    honest = stages.compute

    def compute(*arguments: Any, **options: Any) -> Any:
        frugal.append(options["frugal"])
        return honest(*arguments, **options)

    monkeypatch.setattr(stages, "compute", compute)
    summary = run(4)
    assert (summary.done, summary.failed) == (4, 0)
    assert frugal == [True]
    rows = read_rows(tmp_path / "out")
    warned = [case for case, row in rows.items() if stages.LESS_MEMORY in row["warnings"]]
    assert warned == ["scan_1"]
    told = [e for e in run.events if e["event"] == "warning" and e["message"] == stages.LESS_MEMORY]  # type: ignore[attr-defined]
    assert [event["case"] for event in told] == ["scan_1"]
    assert rows["scan_1"]["time"] == max(row["time"] for row in rows.values())


def test_cases_beyond_the_plan_come_last(
    run: Run, tmp_path: Path, write_scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scans(tmp_path / "in", 1, shape=(60, 60, 60))
    (tmp_path / "in" / "scan_0.nii.gz").rename(tmp_path / "in" / "a_large_one.nii.gz")
    order: list[str] = []
    wrap(monkeypatch, "read", lambda case: order.append(case.id))
    assert run(3, memory_limit_gb=0.005).done == 4
    assert order == ["scan_0", "scan_1", "scan_2", "a_large_one"]
    warned = read_rows(tmp_path / "out")["a_large_one"]["warnings"]
    assert any("it comes last, and nothing else is worked on beside it" in text for text in warned)


@pytest.mark.parametrize(
    "error", [ResourceError("Memory ran out with 3 classes.", "Close other programs."), MemoryError("1 GB")]
)
def test_a_case_for_which_memory_never_suffices_fails_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    honest = stages.read

    def read(case: Any, *rest: Any) -> Any:
        if case.id == "scan_1":
            raise error
        return honest(case, *rest)

    monkeypatch.setattr(stages, "read", read)
    monkeypatch.setattr(pipeline, "read", read)
    summary = run(3)
    assert (summary.done, summary.failed) == (2, 1)
    row = read_rows(tmp_path / "out")["scan_1"]
    assert row["error"]["kind"] == "resources"
    assert row["error"]["message"].startswith("Memory ran out")
    assert "Close other programs" in row["error"]["hint"]
    assert stages.LESS_MEMORY in row["warnings"]


def test_what_was_computed_before_a_stop_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, exporting = threading.Event(), threading.Event()

    def export(_case: Any) -> None:
        exporting.set()
        assert stopped.wait(LONG)

    wrap(monkeypatch, "export", export)

    def control() -> str | None:
        if exporting.is_set():
            stopped.set()
        return "stop" if stopped.is_set() else None

    with pytest.raises(CancelledError):
        run(6, control)
    rows = read_rows(tmp_path / "out")
    assert rows["scan_0"]["state"] == "done"
    assert (tmp_path / "out" / "segmentations" / "scan_0.nii.gz").exists()
    assert sum(row["state"] == "done" for row in rows.values()) <= 3


def test_an_end_in_one_thread_is_the_end_of_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()

    def full(case: Any) -> None:
        if case.id == "scan_1":
            raise stages.OutputFullError("There is no room.", "Free some space.")

    wrap(monkeypatch, "export", full)
    with pytest.raises(ResourceError, match=r"There is no room\. 1 of 8 cases finished\."):
        run(8)
    assert threading.active_count() == before


@pytest.mark.parametrize(("quiet", "stages_told"), [(1e9, []), (0.0, ["segment", "segment"])])
def test_progress_within_a_case_is_told_only_of_those_that_take_long(
    monkeypatch: pytest.MonkeyPatch, quiet: float, stages_told: list[str]
) -> None:
    monkeypatch.setattr(voice, "QUIET_S", quiet)
    events: list[Event] = []
    reporter = voice.CaseReporter(Reporter(events.append), BatchCase("scan", (Path("a.nii.gz"),)))
    reporter.progress("read", 1)  # ended before it was told of
    for share in (0.5, 1.0):
        reporter.progress("segment", share)
    for _ in range(2):
        reporter.warning("Odd slices.")
    assert [event["stage"] for event in events if event["event"] == "progress"] == stages_told
    assert reporter.warnings == ["Odd slices."]
    assert [event["event"] for event in events].count("warning") == 1
    assert {event["case"] for event in events} == {"scan"}
