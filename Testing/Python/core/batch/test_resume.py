"""The same command again: what is finished stays, the rest is done, and nothing that is not ours is touched."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medcontext import io
from medcontext.batch import pipeline, stages
from medcontext.batch.options import BatchOptions
from medcontext.batch.record import plan_in
from medcontext.batch.resume import GIVEN_UP_AFTER
from medcontext.batch.run import BatchSummary, run_batch
from medcontext.batch_ledger import Layout, LedgerWriter, Row, read_rows
from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.events import Event, Reporter

Scans = Callable[..., list[Path]]
Again = Callable[..., BatchSummary]


@pytest.fixture
def scans(tmp_path: Path, write_scans: Scans) -> list[Path]:
    return write_scans(tmp_path / "in", 3)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def again(out: Path, scans: list[Path], tiny_model: Path) -> Again:
    """``again(**options)``: the command once more; its events are in ``again.events``."""

    def run(inputs: Any = scans[0].parent, **options: Any) -> BatchSummary:
        run.events = []  # type: ignore[attr-defined]
        chosen = {"model": str(tiny_model), "device": "cpu", "precision": "fp32"} | options
        return run_batch(inputs, out, BatchOptions(**chosen), Reporter(run.events.append))  # type: ignore[attr-defined]

    return run


def counts(summary: BatchSummary) -> tuple[int, int, int]:
    return summary.done, summary.reused, summary.failed


def infos(again: Again) -> list[str]:
    events: list[Event] = again.events  # type: ignore[attr-defined]
    return [event["message"] for event in events if event["event"] == "info"]


def rewrite(out: Path, case: str, **changes: Any) -> None:
    """What a killed run may have left: the newest row of a case, changed."""
    row = read_rows(out)[case] | changes
    with LedgerWriter(Layout(out).ledger()) as writer:
        writer.append({key: value for key, value in row.items() if value is not ...})


def test_finished_cases_are_not_touched_again(again: Again, out: Path) -> None:
    assert counts(again()) == (3, 0, 0)
    times = {path: path.stat().st_mtime_ns for path in (out / "segmentations").iterdir()}
    assert counts(again()) == (0, 3, 0)
    assert {path: path.stat().st_mtime_ns for path in (out / "segmentations").iterdir()} == times
    told = [event for event in again.events if event["event"] == "case"]  # type: ignore[attr-defined]
    assert {event["status"] for event in told} == {"reused"}


def test_a_new_scan_is_all_that_is_done(again: Again, tmp_path: Path, write_scans: Scans) -> None:
    again()
    write_scans(tmp_path / "in", 1, start=3)
    assert counts(again()) == (1, 3, 0)


def test_a_scan_that_changed_is_done_again(again: Again, scans: list[Path], out: Path) -> None:
    again()
    before = read_rows(out)["scan_1"]["input_sha256"]
    io.write_volume(scans[1], io.read_volume(scans[0]))
    assert counts(again()) == (1, 2, 0)
    row = read_rows(out)["scan_1"]
    assert row["input_sha256"] != before
    assert row["attempt"] == 2


def test_verify_looks_at_contents_and_not_at_times(again: Again, scans: list[Path]) -> None:
    again()
    os.utime(scans[0], ns=(1, 1))
    assert counts(again(verify=True)) == (0, 3, 0)
    assert counts(again()) == (1, 2, 0)
    # A change that keeps size and time is seen by its content only.
    status, data = scans[1].stat(), bytearray(scans[1].read_bytes())
    data[5] ^= 1  # in the time stamp of gzip
    scans[1].write_bytes(data)
    os.utime(scans[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counts(again()) == (0, 3, 0)
    assert counts(again(verify=True)) == (1, 2, 0)


def test_a_result_that_is_gone_is_made_again(again: Again, out: Path) -> None:
    again()
    result = out / "segmentations" / "scan_2.nii.gz"
    before = result.read_bytes()
    result.unlink()
    assert counts(again()) == (1, 2, 0)
    assert result.read_bytes() == before


def test_a_failed_case_is_tried_again(again: Again, scans: list[Path], out: Path) -> None:
    good = scans[1].read_bytes()
    scans[1].write_bytes(b"broken")
    assert counts(again()) == (2, 0, 1)
    assert counts(again()) == (0, 2, 1)
    assert read_rows(out)["scan_1"]["attempt"] == 2
    scans[1].write_bytes(good)
    assert counts(again()) == (1, 2, 0)
    assert read_rows(out)["scan_1"]["attempt"] == 3


def test_what_a_killed_run_left_is_replaced_and_swept_away(again: Again, out: Path) -> None:
    again()
    result = out / "segmentations" / "scan_0.nii.gz"
    before = result.read_bytes()
    rewrite(out, "scan_0", state="running", outputs=...)
    result.write_bytes(b"half")
    for folder in ("segmentations", "report", "."):
        (out / folder / ".0123abcd-scan_0.nii.gz").write_bytes(b"half")
    assert counts(again()) == (1, 2, 0)
    assert result.read_bytes() == before
    assert not list(out.rglob(".0123abcd-*"))


def test_a_part_of_a_run_leaves_temporary_files_of_other_parts(again: Again, out: Path) -> None:
    again()
    live = out / "segmentations" / ".0123abcd-somebody_elses.nii.gz"
    live.write_bytes(b"half")
    again(shard=(1, 1), overwrite=True)
    assert live.exists()


def test_a_file_of_somebody_else_is_not_replaced(again: Again, out: Path) -> None:
    (out / "segmentations").mkdir(parents=True)
    painted = out / "segmentations" / "scan_1.nii.gz"
    painted.write_bytes(b"painted by hand")
    for _ in range(2):  # that it failed once does not make the file ours
        assert again().failed == 1
        row = read_rows(out)["scan_1"]
        assert row["error"]["message"] == (
            "segmentations/scan_1.nii.gz was not written by this batch, or was changed since."
        )
        assert "--overwrite" in row["error"]["hint"]
        assert painted.read_bytes() == b"painted by hand"
    assert counts(again(overwrite=True)) == (3, 0, 0)
    assert re.search(r"--overwrite: .* computed anew: 2; .* are replaced: 1\.", infos(again)[0])
    assert io.read_labelmap(painted).array.size


def test_a_result_that_a_person_changed_is_not_replaced(again: Again, out: Path, scans: list[Path]) -> None:
    again()
    corrected = out / "segmentations" / "scan_0.nii.gz"
    corrected.write_bytes(b"painted by hand")
    io.write_volume(scans[0], io.read_volume(scans[1]))
    assert counts(again()) == (0, 2, 1)
    assert corrected.read_bytes() == b"painted by hand"


def test_what_a_failed_attempt_left_is_ours(again: Again, scans: list[Path]) -> None:
    again()
    io.write_volume(scans[0], io.read_volume(scans[1]))
    good = scans[0].read_bytes()
    scans[0].write_bytes(b"broken")
    assert counts(again()) == (0, 2, 1)
    scans[0].write_bytes(good)
    assert counts(again()) == (1, 2, 0)


@pytest.mark.parametrize("change", [{"formats": ["seg.nrrd"]}, {"odd": "refuse"}, {"model": "hippocampus"}])
def test_results_of_other_options_are_not_replaced_unasked(
    again: Again, out: Path, change: dict[str, Any]
) -> None:
    again()
    before = read_rows(out)
    with pytest.raises(InputError, match=r"made (with other options|by another model .*): 3 of 3\."):
        again(**change)
    assert read_rows(out) == before


def test_what_changes_no_result_goes_on(again: Again, scans: list[Path]) -> None:
    assert counts(again(inputs=scans[:1])) == (1, 0, 0)
    assert counts(again(device="auto", memory_limit_gb=1.0, limit=5)) == (2, 1, 0)


def test_naming_the_plan_that_is_used_anyway_changes_nothing(again: Again, out: Path) -> None:
    again(limit=1)
    used = plan_in(out / "batch.json")
    assert counts(again(plan=used)) == (2, 1, 0)
    assert counts(again()) == (0, 3, 0)
    with pytest.raises(InputError, match="other options"):
        again(plan=used.model_copy(update={"batch": 7}))


def test_a_limit_does_so_many_and_the_next_run_others(again: Again, scans: list[Path]) -> None:
    scans[0].write_bytes(b"broken")
    assert counts(again(limit=1)) == (0, 0, 1)
    # A case that failed waits until all others were tried.
    first = again(limit=1)
    assert (counts(first), first.left) == ((1, 0, 0), 2)
    assert counts(again(limit=1)) == (1, 1, 0)
    last = again(limit=1)
    assert (counts(last), last.left) == ((0, 2, 1), 0)


def test_overwriting_that_was_stopped_goes_on_where_it_stopped(
    again: Again, tmp_path: Path, out: Path, tiny_model: Path, write_scans: Scans
) -> None:
    write_scans(tmp_path / "in", 9, start=3)
    again()
    asked: list[int] = []

    def sink(event: Event) -> None:
        if event["event"] == "case":
            asked.append(1)

    options = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32", overwrite=True)
    with pytest.raises(CancelledError):
        run_batch(tmp_path / "in", out, options, Reporter(sink), lambda: "stop" if asked else None)
    mark = json.loads((out / "batch.json").read_text())["overwriting"]
    anew = sum(row["state"] == "done" and row.get("mark") == mark for row in read_rows(out).values())
    assert 1 <= anew < 12
    assert counts(again(overwrite=True)) == (12 - anew, anew, 0)
    assert counts(again(overwrite=True)) == (12, 0, 0)


def test_the_execution_plan_is_used_again(
    again: Again, out: Path, tmp_path: Path, write_scans: Scans
) -> None:
    again()
    record = json.loads((out / "batch.json").read_text())
    record["execution"]["plan"] |= {"channels_last": True, "batch": 2, "threads": 1}
    (out / "batch.json").write_text(json.dumps(record))
    write_scans(tmp_path / "in", 1, start=3)
    again()
    assert read_rows(out)["scan_3"]["plan"] == {"precision": "fp32", "channels_last": True, "batch": 2}
    assert json.loads((out / "batch.json").read_text())["execution"] == record["execution"]


@pytest.mark.parametrize("change", [{"device": "Great card"}, {"plan": {"precision": "fp16"}}])
def test_a_run_that_goes_on_where_it_cannot_be_the_same_says_so(
    again: Again, out: Path, tmp_path: Path, write_scans: Scans, change: dict[str, Any]
) -> None:
    again()
    record = json.loads((out / "batch.json").read_text())
    record["execution"] |= change  # a CPU does not compute in fp16
    (out / "batch.json").write_text(json.dumps(record))
    write_scans(tmp_path / "in", 1, start=3)
    assert counts(again()) == (1, 3, 0)
    warnings = [e["message"] for e in again.events if e["event"] == "warning"]  # type: ignore[attr-defined]
    assert any("and goes on on CPU: results may differ" in text for text in warnings)
    assert json.loads((out / "batch.json").read_text())["execution"]["device"] == "CPU"


def test_a_broken_record_is_a_sentence(again: Again, out: Path) -> None:
    again()
    (out / "batch.json").write_text("{")
    with pytest.raises(InputError, match=r"batch\.json is not valid JSON"):
        again()


def test_a_case_that_ends_runs_is_worked_on_last_and_alone(again: Again, out: Path) -> None:
    again()
    rewrite(out, "scan_0", state="running", deaths=1)
    rewrite(out, "scan_1", state="running", attempt=5)
    assert counts(again()) == (2, 1, 0)
    rows = read_rows(out)
    assert rows["scan_0"]["time"] > rows["scan_1"]["time"]
    assert any("nothing is worked on beside it" in text for text in rows["scan_0"]["warnings"])
    assert rows["scan_1"]["warnings"] == rows["scan_2"]["warnings"]


def test_a_case_that_ends_every_run_fails_and_the_others_are_finished(again: Again, out: Path) -> None:
    again()
    rewrite(out, "scan_0", state="running", deaths=3)
    (out / "segmentations" / "scan_1.nii.gz").unlink()
    assert counts(again()) == (1, 1, 1)
    assert read_rows(out)["scan_0"]["error"]["message"].startswith("4 runs ended without a word")
    assert counts(again()) == (1, 2, 0)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], pytest.MonkeyPatch]:
    """``stop(error)``: from now on the network ends the run in the middle of a case, until that is undone."""

    def break_off(error: BaseException) -> pytest.MonkeyPatch:
        def compute(*_: Any, **__: Any) -> Any:
            raise error

        for module in (pipeline, stages):
            monkeypatch.setattr(module, "compute", compute)
        return monkeypatch

    return break_off


@pytest.mark.parametrize(
    "error",
    [CancelledError("Stop."), KeyboardInterrupt(), stages.OutputFullError("Full.")],
    ids=lambda error: type(error).__name__,
)
def test_runs_that_were_stopped_are_not_held_against_a_case(
    again: Again, out: Path, stop: Any, error: BaseException
) -> None:
    stopped = stop(error)
    for _ in range(GIVEN_UP_AFTER + 1):
        with pytest.raises((CancelledError, KeyboardInterrupt, ResourceError)):
            again()
        begun = read_rows(out)
        assert "scan_0" in begun
        assert {(row["state"], row["attempt"], row["deaths"]) for row in begun.values()} == {
            ("unfinished", 0, 0)
        }
    stopped.undo()
    assert counts(again()) == (3, 0, 0)
    rows = read_rows(out).values()
    assert [row["attempt"] for row in rows] == [1, 1, 1]
    assert not any("ended without a word" in text for row in rows for text in row["warnings"])


def test_a_table_after_a_stop_says_that_nothing_is_running(again: Again, out: Path, stop: Any) -> None:
    stop(CancelledError("Stop."))
    with pytest.raises(CancelledError):
        again()
    table = (out / "ledger.csv").read_text(encoding="utf-8-sig")
    assert "unfinished" in table
    assert "running" not in table


def test_a_case_that_killed_runs_is_not_forgiven_by_a_stop(again: Again, out: Path, stop: Any) -> None:
    again()
    rewrite(out, "scan_0", state="running", deaths=1)
    stopped = stop(CancelledError("Stop."))
    with pytest.raises(CancelledError):
        again()
    stopped.undo()
    again()
    assert any("nothing is worked on beside it" in text for text in read_rows(out)["scan_0"]["warnings"])


def test_a_stop_gives_back_the_rows_of_results_that_are_still_there(
    again: Again, out: Path, stop: Any
) -> None:
    again()
    rewrite(out, "scan_2", state="failed", error={"kind": "input", "message": "Odd."}, left=[])
    before = read_rows(out)
    stopped = stop(CancelledError("Stop."))
    with pytest.raises(CancelledError):
        again(overwrite=True)
    rows = read_rows(out)
    told = {case: row["sequence"] for case, row in rows.items()}
    assert {case: {**row, "sequence": told[case]} for case, row in before.items()} == rows
    stopped.undo()
    assert counts(again()) == (0, 2, 1)


def test_a_stop_does_not_make_files_of_others_ours(again: Again, out: Path, stop: Any) -> None:
    (out / "segmentations").mkdir(parents=True)
    painted = out / "segmentations" / "scan_0.nii.gz"
    painted.write_bytes(b"painted by hand")
    stopped = stop(CancelledError("Stop."))
    with pytest.raises(CancelledError):
        again(overwrite=True)
    stopped.undo()
    assert again().failed == 1
    assert painted.read_bytes() == b"painted by hand"


def test_what_a_stopped_run_left_is_ours(again: Again, out: Path, stop: Any) -> None:
    again()
    (out / "segmentations" / "scan_0.nii.gz").write_bytes(b"half")
    rewrite(out, "scan_0", state="running")
    stopped = stop(CancelledError("Stop."))
    with pytest.raises(CancelledError):
        again()
    assert read_rows(out)["scan_0"]["state"] == "unfinished"
    stopped.undo()
    assert counts(again()) == (1, 2, 0)


def test_overwriting_does_not_go_by_clocks(again: Again, out: Path) -> None:
    again()
    rewrite(out, "scan_0", time=4e9)  # of a machine whose clock is ahead
    assert counts(again(overwrite=True)) == (3, 0, 0)


@pytest.mark.parametrize("change", [{"model": "hippocampus"}, {"precision": "auto"}])
def test_overwriting_with_something_else_does_not_compute_as_before(
    again: Again, out: Path, change: dict[str, Any]
) -> None:
    again()
    record = json.loads((out / "batch.json").read_text())
    record["execution"]["plan"] |= {"channels_last": True, "batch": 7, "threads": 1}
    (out / "batch.json").write_text(json.dumps(record))
    again(overwrite=True, **change)
    assert read_rows(out)["scan_0"]["plan"]["batch"] != 7
    assert json.loads((out / "batch.json").read_text())["execution"]["plan"]["batch"] != 7


def test_a_damaged_ledger_costs_only_what_it_lost(again: Again, out: Path) -> None:
    again()
    ledger = out / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    finished = [n for n, line in enumerate(lines) if b'"done"' in line]
    lines[finished[1]] = b'{"case": "scan_1", "state": "do\n'
    ledger.write_bytes(b"".join(lines))
    row: Row = read_rows(out)["scan_1"]
    assert row["state"] == "running"
    assert counts(again()) == (1, 2, 0)
