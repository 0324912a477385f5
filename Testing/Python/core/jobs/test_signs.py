"""A wall clock that jumps, or differs from another machine's, does not make a job look dead or alive."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

import pytest

from medcontext import jobs
from medcontext.jobs.state import SILENCE_SECONDS, STARTING_SECONDS

HOURS = 5 * 3600.0


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which the clock that never jumps is ahead, and by which the one on the wall is."""
    ahead, monotonic, wall = [0.0, 0.0], time.monotonic, time.time
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead[0])
    monkeypatch.setattr(time, "time", lambda: wall() + ahead[1])
    return ahead


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A job of another machine that gave a sign of life just now."""
    (tmp_path / "job.json").write_text(json.dumps({"title": "t", "host": "node17", "pid": 1, "created": "x"}))
    beat(tmp_path)
    return tmp_path


def beat(folder: Path) -> None:
    with (folder / "events.jsonl").open("a") as stream:
        stream.write('{"event": "heartbeat", "state": "running"}\n')


def age_by(folder: Path, seconds: float) -> None:
    then = (folder / "events.jsonl").stat().st_mtime - seconds
    os.utime(folder / "events.jsonl", (then, then))


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
def test_a_jump_of_the_clock_does_not_change_what_a_job_elsewhere_is(
    elsewhere: Path, passed: list[float], jump: float
) -> None:
    passed[1] = jump
    assert jobs.read(elsewhere).state == "running"
    passed[1] = 0.0
    assert jobs.read(elsewhere).state == "running"


def test_a_job_elsewhere_that_is_silent_is_lost_whatever_the_clock_says(
    elsewhere: Path, passed: list[float]
) -> None:
    assert jobs.read(elsewhere).state == "running"
    passed[0] = SILENCE_SECONDS + 1
    passed[1] = -HOURS
    assert jobs.read(elsewhere).state == "lost"


@pytest.mark.parametrize("hours", [-HOURS, HOURS])
def test_a_job_that_is_heard_lives_though_the_other_machine_has_another_time(
    elsewhere: Path, hours: float
) -> None:
    age_by(elsewhere, hours)
    assert jobs.read(elsewhere).state == "lost"  # so far nothing tells it from a job of that time
    beat(elsewhere)
    age_by(elsewhere, hours)
    assert jobs.read(elsewhere).state == "running"


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
def test_a_job_that_is_just_starting_is_not_lost_because_the_clock_jumps(
    tmp_path: Path, passed: list[float], jump: float
) -> None:
    record = {"title": "t", "host": platform.node(), "pid": None, "started": time.time()}
    (tmp_path / "job.json").write_text(json.dumps(record))
    passed[1] = jump
    assert jobs.read(tmp_path).state == "running"
    old = time.time() - jump - STARTING_SECONDS - 5
    os.utime(tmp_path / "job.json", (old, old))
    assert jobs.read(tmp_path).state == "lost"


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
def test_a_job_here_is_known_by_its_process(tmp_path: Path, passed: list[float], jump: float) -> None:
    folder = tmp_path / "job"
    jobs.start([sys.executable, "-c", "import time; time.sleep(60)"], folder, "t")
    try:
        passed[1] = jump
        assert jobs.read(folder).state == "running"
    finally:
        jobs.kill(folder)


def test_looking_leaves_nothing_in_the_folder(elsewhere: Path) -> None:
    jobs.read(elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["events.jsonl", "job.json"]
