"""Jobs as a person meets them: started, followed, paused, stopped, killed, found again."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import medcontext
from medcontext import jobs
from medcontext.errors import InputError
from medcontext.jobs import process, state

TRAINING = str(Path(medcontext.__file__).parents[1])
PRELUDE = f"""
import json, sys, time
sys.path.insert(0, {TRAINING!r})
from medcontext.jobs import JobControl
def say(event, **fields):
    print(json.dumps(dict(event=event, id="run", time=time.time(), **fields)))
"""
LOOP = """
control = JobControl.from_environment()
say("hello", protocol=1)
for step in range(10_000):
    control.beat()
    if control.wait_while_paused(0.01) == "stop":
        say("result", kept="best")
        control.finish(3)
        sys.exit(3)
    say("metric", step=step, loss={"total": 1.0}, dice={})
    time.sleep(0.01)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.01)


def script(body: str) -> list[str]:
    return [sys.executable, "-c", PRELUDE + body]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "my jobs ü" / "first"
    yield path
    if (path / "job.json").exists() and jobs.read(path).active:
        jobs.kill(path)


def ended(folder: Path) -> bool:
    return not jobs.read(folder).active


def test_a_job_that_ends_well_is_finished_and_shows_its_last_words(folder: Path) -> None:
    body = """
say("progress", stage="train", value=0.5, eta_s=3.0)
say("metric", step=7, loss={"total": 0.25}, dice={"anterior": 0.8})
say("result", model="out")
print("log line", file=sys.stderr)
"""
    started = jobs.start(script(body), folder, "Hippocampus, 5 cases")
    assert started.title == "Hippocampus, 5 cases"
    wait_for(lambda: ended(folder))
    job = jobs.read(folder)
    assert (job.state, job.exit_code) == ("finished", 0)
    assert (job.stage, job.progress, job.eta_s) == ("train", 0.5, 3.0)
    assert job.metric is not None
    assert job.metric["loss"] == {"total": 0.25}
    assert job.result is not None
    assert job.result["model"] == "out"
    assert job.ended is not None
    assert job.started is not None
    assert job.ended >= job.started
    assert "log line" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("code", "expected"), [(0, "finished"), (5, "finished"), (3, "cancelled"), (2, "failed")]
)
def test_the_exit_code_decides_how_a_job_ended(folder: Path, code: int, expected: str) -> None:
    jobs.start([sys.executable, "-c", f"raise SystemExit({code})"], folder, "t")
    wait_for(lambda: ended(folder))
    assert (jobs.read(folder).state, jobs.read(folder).exit_code) == (expected, code)


def test_a_crash_points_to_the_log(folder: Path) -> None:
    jobs.start([sys.executable, "-c", "import no_such_module_anywhere"], folder, "t")
    wait_for(lambda: ended(folder))
    assert "log.txt" in jobs.read(folder).message
    assert "no_such_module_anywhere" in (folder / "log.txt").read_text()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX matter")
def test_a_killed_job_is_lost(folder: Path) -> None:
    job = jobs.start(script(LOOP), folder, "t")
    assert job.pid is not None
    wait_for(lambda: jobs.read(folder).metric is not None)
    assert jobs.read(folder).state == "running"
    os.kill(job.pid, signal.SIGKILL)
    wait_for(lambda: ended(folder))
    assert jobs.read(folder).state == "lost"
    assert "signal 9" in jobs.read(folder).message


def test_a_stop_request_is_followed_and_what_it_kept_is_told(folder: Path) -> None:
    jobs.start(script(LOOP), folder, "t")
    wait_for(lambda: jobs.read(folder).metric is not None)
    jobs.request(folder, "stop")
    wait_for(lambda: ended(folder))
    job = jobs.read(folder)
    assert (job.state, job.requested) == ("cancelled", "stop")
    assert job.result is not None
    assert job.result["kept"] == "best"


def test_a_job_pauses_resumes_and_can_be_stopped_while_paused(folder: Path) -> None:
    jobs.start(script(LOOP), folder, "t")
    wait_for(lambda: jobs.read(folder).metric is not None)
    jobs.request(folder, "pause")
    wait_for(lambda: jobs.read(folder).state == "paused")
    _, offset = jobs.follow(folder)
    time.sleep(0.1)
    assert jobs.follow(folder, offset) == ([], offset)
    jobs.request(folder, "resume")
    wait_for(lambda: jobs.read(folder).state == "running")
    wait_for(lambda: any(event["event"] == "metric" for event in jobs.follow(folder, offset)[0]))
    jobs.request(folder, "pause")
    wait_for(lambda: jobs.read(folder).state == "paused")
    jobs.request(folder, "stop")
    wait_for(lambda: ended(folder))
    assert jobs.read(folder).state == "cancelled"


def test_following_sees_every_event_once_and_in_order(folder: Path) -> None:
    body = "\nfor step in range(200):\n    say('metric', step=step)\n    time.sleep(0.001)\n"
    jobs.start(script(body), folder, "t")
    seen, offset = [], 0
    while True:
        finished = ended(folder)  # asked before reading, so that the last events are not missed
        events, offset = jobs.follow(folder, offset)
        seen += [event["step"] for event in events]
        if finished:
            break
    assert seen == list(range(200))


def test_a_job_started_by_a_program_that_is_gone_goes_on_and_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "orphan"
    body = f"""
from medcontext import jobs
from pathlib import Path
jobs.start([sys.executable, "-c", {PRELUDE + LOOP!r}], Path({str(folder)!r}), "orphan")
"""
    subprocess.run(script(body), check=True, timeout=30)
    try:
        wait_for(lambda: jobs.read(folder).metric is not None)
        assert [job.state for job in jobs.list_jobs(folder.parent)] == ["running"]
        jobs.request(folder, "stop")
        wait_for(lambda: ended(folder))
        assert jobs.read(folder).state == "cancelled"
    finally:
        if jobs.read(folder).active:
            jobs.kill(folder)


def test_a_recycled_process_number_is_not_taken_for_the_job(folder: Path) -> None:
    job = jobs.start(script(LOOP), folder, "t")
    assert job.pid is not None
    record = json.loads((folder / "job.json").read_text())
    other = folder.parent / "other"
    other.mkdir()
    (other / "job.json").write_text(json.dumps(record))
    assert jobs.read(other).state == "running"  # number and creation time fit
    (other / "job.json").write_text(json.dumps({**record, "created": "an earlier boot:1"}))
    assert jobs.read(other).state == "lost"
    with pytest.raises(InputError, match="has ended"):
        jobs.kill(other)
    assert process.creation_token(job.pid) is not None


@pytest.mark.parametrize(
    ("last_event", "expected"),
    [
        ({"event": "result"}, "finished"),
        ({"event": "error", "kind": "cancelled", "message": "Stopped on request."}, "cancelled"),
        ({"event": "error", "kind": "input", "message": "No such file."}, "failed"),
        ({"event": "metric", "step": 1}, "lost"),
    ],
)
def test_without_an_exit_code_the_last_event_decides(
    tmp_path: Path, last_event: dict[str, object], expected: str
) -> None:
    host = platform.node()
    (tmp_path / "job.json").write_text(json.dumps({"title": "t", "host": host, "pid": 1, "created": "no"}))
    (tmp_path / "events.jsonl").write_text(json.dumps(last_event) + "\n")
    assert jobs.read(tmp_path).state == expected


@pytest.mark.parametrize(("age", "expected"), [(0.0, "running"), (state.SILENCE_SECONDS + 10, "lost")])
def test_a_job_of_another_machine_is_judged_by_its_sign_of_life(
    tmp_path: Path, age: float, expected: str
) -> None:
    record = {"title": "t", "host": "node17.cluster", "pid": os.getpid(), "created": "x"}
    (tmp_path / "job.json").write_text(json.dumps(record))
    events = tmp_path / "events.jsonl"
    events.write_text('{"event": "heartbeat", "state": "running"}\n')
    os.utime(events, (time.time() - age, time.time() - age))
    assert jobs.read(tmp_path).state == expected
    with pytest.raises(InputError, match=r"runs on node17\.cluster|has ended"):
        jobs.kill(tmp_path)


def test_an_event_is_seen_when_it_happens_though_the_program_does_not_flush(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    jobs.start(script("say('case', case='a')\ntime.sleep(60)"), folder, "t")
    wait_for(lambda: len(jobs.follow(folder)[0]) == 1, seconds=10)


def test_killing_ends_the_job_and_what_it_started(folder: Path) -> None:
    body = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
say("metric", step=child.pid)
time.sleep(60)
"""
    jobs.start(script(body), folder, "t")
    wait_for(lambda: jobs.read(folder).metric is not None)
    metric = jobs.read(folder).metric
    assert metric is not None
    jobs.kill(folder)
    wait_for(lambda: ended(folder))
    wait_for(lambda: process.creation_token(metric["step"]) is None)


def test_requests_that_make_no_sense_are_refused_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no job"):
        jobs.read(tmp_path)
    jobs.start(script("time.sleep(30)"), folder, "Mine")
    with pytest.raises(InputError, match="cannot 'explode'"):
        jobs.request(folder, "explode")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="already holds a job"):
        jobs.start(script(""), folder, "again")
    jobs.request(folder, "stop")
    with pytest.raises(InputError, match="already asked to stop"):
        jobs.request(folder, "resume")
    jobs.kill(folder)
    wait_for(lambda: ended(folder))
    with pytest.raises(InputError, match="'Mine' has ended"):
        jobs.request(folder, "pause")


@pytest.mark.parametrize("command", [["/no/such/program"], []])
def test_a_program_that_cannot_start_leaves_no_job_behind(folder: Path, command: list[str]) -> None:
    with pytest.raises(InputError, match="cannot be started"):
        jobs.start(command, folder, "t")
    assert jobs.list_jobs(folder.parent) == []


def test_jobs_live_in_the_home_are_listed_newest_first_and_a_broken_one_hides_none(own_home: Path) -> None:
    assert jobs.list_jobs() == []
    first, second = jobs.new_folder("Größe & more!"), jobs.new_folder("Größe & more!")
    assert first.parent == own_home / "jobs"
    assert first != second
    for number, folder in enumerate((first, second)):
        jobs.start([sys.executable, "-c", ""], folder, f"job {number}")
    (own_home / "jobs" / "broken").mkdir()
    (own_home / "jobs" / "broken" / "job.json").write_text("{")
    (own_home / "jobs" / "no job").mkdir()
    wait_for(lambda: ended(first) and ended(second))
    listed = jobs.list_jobs()
    assert [job.title for job in listed] == ["job 1", "job 0", "broken"]
    assert listed[-1].state == "lost"
    assert "not valid JSON" in listed[-1].message
