"""Jobs that ended too early, and are started once more: killed, the machine restarted, the disk was full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import medcontext
from medcontext import jobs
from medcontext.errors import InputError
from medcontext.jobs import process

TRAINING = str(Path(medcontext.__file__).parents[1])
COUNTS = f"""
import json, sys, time
from pathlib import Path
sys.path.insert(0, {TRAINING!r})
from medcontext.jobs import JobControl
def say(event, **fields):
    print(json.dumps(dict(event=event, id="run", time=time.time(), **fields)), flush=True)
control = JobControl.from_environment()
kept = control.folder / "checkpoint"
resumed = "--resume" in sys.argv and kept.exists()
step = int(kept.read_text()) if resumed else 0
say("hello", protocol=1, arguments=sys.argv[1:])
while True:
    step += 1
    scratch = kept.with_name("scratch")
    scratch.write_text(str(step))
    scratch.replace(kept)  # whole, whenever the process is killed
    say("metric", step=step)
    if control.wait_while_paused(0.01) == "stop":
        say("result", steps=step)
        control.finish(0)
        sys.exit(0)
    time.sleep(0.01)
"""
FAILS = """
import json, sys
print(json.dumps(dict(event="error", kind="resources", message="The disk is full.", hint="")), flush=True)
sys.exit(4)
"""


def wait_for(condition: Callable[[], Any], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.01)


def last_step(folder: Path) -> int:
    metric = jobs.read(folder).metric
    return 0 if metric is None else int(metric["step"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "my jobs ü" / "first"
    yield path
    if (path / "job.json").exists() and jobs.read(path).active:
        jobs.kill(path)


@pytest.fixture
def killed(folder: Path) -> Path:
    """A job that was killed in the middle of a line."""
    jobs.start([sys.executable, "-c", COUNTS, "-o", "OUT"], folder, "Mine")
    wait_for(lambda: last_step(folder) > 3)
    jobs.kill(folder)
    wait_for(lambda: not jobs.read(folder).active)
    with (folder / "events.jsonl").open("a") as stream:
        stream.write('{"event": "metric", "step": 99999')
    return folder


def test_a_killed_job_goes_on_where_it_was(killed: Path) -> None:
    assert jobs.read(killed).state == "lost"
    before = int((killed / "checkpoint").read_text())
    job = jobs.restart(killed)
    assert job.active
    assert job.command[-3:] == ("-o", "OUT", "--resume")
    wait_for(lambda: jobs.read(killed).metric)
    first = next(e for e in jobs.follow(killed)[0][::-1] if e["event"] == "hello")
    assert first["arguments"] == ["-o", "OUT", "--resume"]
    assert last_step(killed) > before
    jobs.request(killed, "stop")
    wait_for(lambda: not jobs.read(killed).active)
    assert jobs.read(killed).state == "finished"


def test_the_events_of_both_processes_are_followed_in_order_with_a_mark_between(killed: Path) -> None:
    jobs.restart(killed)
    wait_for(lambda: jobs.read(killed).metric)
    events, _ = jobs.follow(killed)
    kinds = [event["event"] for event in events]
    assert kinds.count("hello") == 2
    assert kinds.count("restarted") == 1
    assert kinds[kinds.index("restarted") + 1] == "hello"
    assert kinds[kinds.index("restarted") - 1] == "output"  # the line that was cut


def test_the_argument_is_added_once_however_often_a_job_is_killed(killed: Path) -> None:
    for number in (1, 2):
        job = jobs.restart(killed)
        wait_for(lambda: jobs.read(killed).metric)
        assert job.command.count("--resume") == 1
        assert json.loads((killed / "job.json").read_text())["restarts"] == number
        jobs.kill(killed)
        wait_for(lambda: not jobs.read(killed).active)


def test_what_was_asked_before_is_forgotten(folder: Path) -> None:
    jobs.start([sys.executable, "-c", COUNTS], folder, "Mine")
    wait_for(lambda: last_step(folder) > 0)
    jobs.request(folder, "pause")
    wait_for(lambda: jobs.read(folder).state == "paused")
    jobs.kill(folder)
    wait_for(lambda: not jobs.read(folder).active)
    jobs.restart(folder)
    wait_for(lambda: jobs.read(folder).metric)
    assert (jobs.read(folder).state, jobs.read(folder).requested) == ("running", None)


def test_the_error_of_the_first_process_is_not_that_of_the_second(folder: Path) -> None:
    jobs.start([sys.executable, "-c", FAILS], folder, "Mine")
    wait_for(lambda: not jobs.read(folder).active)
    assert (jobs.read(folder).state, jobs.read(folder).message) == ("failed", "The disk is full.")
    record = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**record, "command": [sys.executable, "-c", COUNTS]}))
    jobs.restart(folder)
    wait_for(lambda: jobs.read(folder).metric)
    job = jobs.read(folder)
    assert (job.state, job.message, job.exit_code) == ("running", "", None)


def test_a_job_of_before_the_machine_restarted_is_lost_and_goes_on(killed: Path) -> None:
    """The number of its process now belongs to another one."""
    record = json.loads((killed / "job.json").read_text())
    (killed / "exit.json").unlink()
    record |= {"pid": os.getpid(), "created": "an earlier boot:1"}
    (killed / "job.json").write_text(json.dumps(record))
    assert jobs.read(killed).state == "lost"
    before = int((killed / "checkpoint").read_text())
    jobs.restart(killed)
    wait_for(lambda: last_step(killed) > before)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX matter")
def test_who_started_it_first_does_not_take_the_new_process_for_the_old_one(folder: Path) -> None:
    """Another program restarts the job before this one, the parent of the first process, has collected that."""
    job = jobs.start([sys.executable, "-c", COUNTS], folder, "Mine")
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    wait_for(lambda: process.creation_token(job.pid or 0) is None)
    body = f"import sys; sys.path.insert(0, {TRAINING!r})\nfrom medcontext import jobs\nfrom pathlib import Path\n"
    other = body + f"jobs.restart(Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", other], check=True, timeout=60)
    wait_for(lambda: jobs.read(folder).metric)
    assert jobs.read(folder).state == "running"


def test_only_what_ended_too_early_can_be_restarted(folder: Path) -> None:
    with pytest.raises(InputError, match="holds no job"):
        jobs.restart(folder)
    jobs.start([sys.executable, "-c", COUNTS], folder, "Mine")
    with pytest.raises(InputError, match="'Mine' is still running"):
        jobs.restart(folder)
    wait_for(lambda: last_step(folder) > 0)
    jobs.request(folder, "stop")
    wait_for(lambda: not jobs.read(folder).active)
    with pytest.raises(InputError, match="'Mine' has done its work"):
        jobs.restart(folder)


def test_of_two_that_restart_it_at_once_one_is_refused(killed: Path) -> None:
    (killed / ".starting").touch()
    with pytest.raises(InputError, match="Another program is starting"):
        jobs.restart(killed)
    old = time.time() - 100
    os.utime(killed / ".starting", (old, old))  # of a program that was killed
    assert jobs.restart(killed).active


@pytest.mark.parametrize("missing", ["program", "folder"])
def test_a_job_whose_program_or_folder_is_gone_stays_as_it_is(killed: Path, missing: str) -> None:
    record = json.loads((killed / "job.json").read_text())
    changes = {"command": ["/no/such/python"]} if missing == "program" else {"working_folder": "/no/such"}
    (killed / "job.json").write_text(json.dumps({**record, **changes}))
    before, events = jobs.read(killed), (killed / "events.jsonl").read_bytes()
    with pytest.raises(InputError, match="is gone"):
        jobs.restart(killed)
    assert jobs.read(killed) == before
    assert (killed / "events.jsonl").read_bytes() == events
