"""Reading events while they are being written, and requests seen by the child."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest

from medcontext import jobs
from medcontext.errors import ResourceError
from medcontext.events import Event
from medcontext.jobs import JobControl, control, files


def test_a_half_written_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = json.dumps({"event": "case", "case": "Ünïcode"}, ensure_ascii=False).encode() + b"\n"
    path.write_bytes(line + line[:20])  # the cut lies inside a character of two bytes
    events, offset = jobs.follow(tmp_path)
    assert [event["case"] for event in events] == ["Ünïcode"]
    assert offset == len(line)
    assert jobs.follow(tmp_path, offset) == ([], offset)
    with path.open("ab") as stream:
        stream.write(line[20:])
    events, offset = jobs.follow(tmp_path, offset)
    assert [event["case"] for event in events] == ["Ünïcode"]
    assert offset == 2 * len(line)


def test_a_line_that_is_no_event_comes_as_output(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('Downloading...\n[1, 2]\n{"event": "case"}\n')
    events, _ = jobs.follow(tmp_path)
    assert events == [
        {"event": "output", "message": "Downloading..."},
        {"event": "output", "message": "[1, 2]"},
        {"event": "case"},
    ]


def test_following_starts_again_when_the_file_was_made_anew(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event": "case"}\n')
    assert jobs.follow(tmp_path, 1000)[0] == [{"event": "case"}]
    assert jobs.follow(tmp_path / "missing", 1000) == ([], 0)


def test_a_long_file_can_be_read_in_pieces_of_whole_lines(tmp_path: Path) -> None:
    steps = list(range(500))
    text = "".join(json.dumps({"event": "metric", "step": step, "word": "ü"}) + "\n" for step in steps)
    (tmp_path / "events.jsonl").write_text(text + '{"event": "me', encoding="utf-8")
    found: list[Event] = []
    offset, calls = 0, 0
    while True:
        events, after = jobs.follow(tmp_path, offset, limit=1000)
        if after == offset:
            break
        found, offset, calls = found + events, after, calls + 1
        assert len(events) < 40
    assert [event["step"] for event in found] == steps
    assert calls > 10


def test_the_present_state_is_found_behind_a_line_longer_than_the_tail(tmp_path: Path) -> None:
    long = {"event": "result", "cases": ["x" * 100] * (3 * files.TAIL_BYTES // 100)}
    with (tmp_path / "events.jsonl").open("w") as stream:
        for event in ({"event": "metric"}, long):
            stream.write(json.dumps(event) + "\n")
    assert files.last_events(tmp_path)[-1]["event"] == "result"


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    with (tmp_path / "events.jsonl").open("w") as stream:
        for step in range(20_000):
            stream.write(json.dumps({"event": "metric", "step": step}) + "\n")
    steps = [event["step"] for event in files.last_events(tmp_path)]
    assert steps == list(range(steps[0], 20_000))
    assert len(steps) < 3000


def test_the_child_sees_each_request_also_two_within_one_tick_of_the_clock(tmp_path: Path) -> None:
    child = JobControl(tmp_path)
    assert child.poll() == "run"
    for request, expected in (("pause", "pause"), ("resume", "run"), ("stop", "stop")):
        same_size = {"request": request, "by": "x" * (10 - len(request))}
        files.write_json(tmp_path / "control.json", same_size)
        os.utime(tmp_path / "control.json", ns=(1, 1))
        assert child.poll() == expected
    assert child.stop_requested()


def test_a_broken_request_changes_nothing(tmp_path: Path) -> None:
    child = JobControl(tmp_path)
    files.write_json(tmp_path / "control.json", {"request": "pause"})
    assert child.poll() == "pause"
    (tmp_path / "control.json").write_text("{")
    assert child.poll() == "pause"


def test_heartbeats_are_rare_unless_the_state_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    sent: list[Event] = []
    child = JobControl(tmp_path, sent.append)
    for _ in range(5):
        child.beat()
    assert len(sent) == 1
    clock[0] += control.BEAT_SECONDS
    child.beat()
    assert len(sent) == 2
    child.beat("paused")
    assert [event["state"] for event in sent] == ["running", "running", "paused"]


def test_heartbeats_go_to_the_events_by_default(tmp_path: Path) -> None:
    JobControl(tmp_path).beat()
    assert [event["event"] for event in jobs.follow(tmp_path)[0]] == ["heartbeat"]


def test_a_process_that_is_no_job_has_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDCONTEXT_JOB", raising=False)
    assert JobControl.from_environment() is None


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_json(tmp_path / "job.json", {"title": "old"})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="full"):
        files.write_json(tmp_path / "job.json", {"title": "new"})
    assert files.read_json(tmp_path / "job.json") == {"title": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]
