"""The worker is started, asked, stopped and replaced: with the real worker, and with children that misbehave."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.exchange import ExchangeFolder, SharedArray
from medcontext.jobs.process import creation_token
from MedContextSegmentLib.Worker.WorkerChild import LOG_LINE_LENGTH, LOG_LINES, WorkerRequest
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess, pythonOfWorker, workerEnvironment

DEADLINE = 60.0
STOP_SECONDS = 2.0
"""What a person is promised when they press Cancel."""

# Speaks the protocol; "hang" never answers and starts a process of its own, which it names first.
SCRIPT = """
import json, subprocess, sys, time
def say(event, request, **fields):
    print(json.dumps({"event": event, "id": request, "time": 0, **fields}), flush=True)
say("hello", "", protocol=PROTOCOL, pid=0, software={})
for line in sys.stdin:
    asked = json.loads(line)
    kind = asked["request"]
    if kind == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say("info", asked["id"], message="hangs", child=child.pid)
        time.sleep(600)
    elif kind == "crash":
        print(asked["says"], file=sys.stderr, flush=True)
        sys.exit(asked["code"])
    elif kind == "chatter":
        sys.stderr.write("x" * 3_000_000)
        for number in range(5000):
            print("line", number, file=sys.stderr)
        print("no event at all")
        print('{"event": "info", "id": "nobody"}')
        sys.stderr.flush()
    if kind != "cancel":
        say("result", asked["id"], **{key: value for key, value in asked.items() if key == "echo"})
"""


def child(tmp_path: Path, protocol: int = 1) -> WorkerProcess:
    """A worker of our own that does as it is told."""
    script = tmp_path / "a worker ü.py"
    script.write_text(SCRIPT.replace("PROTOCOL", str(protocol)), encoding="utf-8")
    return WorkerProcess([sys.executable, str(script)])


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[WorkerProcess]:
    worker = child(tmp_path)
    yield worker
    worker.kill()


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    """The real one."""
    process = WorkerProcess()
    yield process
    process.kill()


def answer(request: WorkerRequest) -> dict[str, Any]:
    """The last event; fails where none came."""
    assert request.wait(DEADLINE)
    events = request.poll()
    assert events, request.end
    return events[-1]


def wait_for(event: str, request: WorkerRequest) -> dict[str, Any]:
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        for found in request.poll():
            if found["event"] == event:
                return found
        time.sleep(0.01)
    raise AssertionError(f"no event '{event}'")


def wait_until_gone(pid: int) -> None:
    ends = time.monotonic() + 60
    while creation_token(pid) is not None:
        assert time.monotonic() < ends, f"process {pid} still runs"
        time.sleep(0.01)


def test_text_of_every_alphabet_crosses(fake: WorkerProcess) -> None:
    assert answer(fake.send("echo", echo="Milz 脾臓 طحال"))["echo"] == "Milz 脾臓 طحال"
    assert fake.hello["protocol"] == 1


def test_one_process_serves_all_requests(fake: WorkerProcess) -> None:
    requests = [fake.send("echo", echo=number) for number in range(20)]
    assert [answer(request)["echo"] for request in requests] == list(range(20))
    pid = fake.pid
    answer(fake.send("echo"))
    assert fake.pid == pid


def test_a_large_request_does_not_block_the_caller(fake: WorkerProcess) -> None:
    hanging = fake.send("hang")
    wait_for("info", hanging)
    large = "x" * 2_000_000  # more than a pipe holds; nobody reads it
    began = time.monotonic()
    fake.send("echo", echo=large)
    assert time.monotonic() - began < 1


def test_cancel_kills_a_worker_that_hangs_and_all_it_started(fake: WorkerProcess) -> None:
    request = fake.send("hang")
    grandchild = wait_for("info", request)["child"]
    first = fake.pid
    assert first is not None
    began = time.monotonic()
    fake.cancel(request)
    assert request.wait(STOP_SECONDS)
    assert time.monotonic() - began < STOP_SECONDS
    assert request.end is not None
    wait_until_gone(first)
    wait_until_gone(grandchild)
    assert answer(fake.send("echo", echo="again"))["echo"] == "again"
    assert fake.pid != first


def test_after_a_kill_a_fresh_worker_is_there_before_anybody_asks(fake: WorkerProcess) -> None:
    request = fake.send("hang")
    wait_for("info", request)
    first = fake.pid
    fake.cancel(request)
    assert request.wait(STOP_SECONDS)
    ends = time.monotonic() + 60
    while fake.pid in (None, first):
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_fresh_worker_gets_ready_for_what_was_asked_last(tmp_path: Path) -> None:
    worker = child(tmp_path)
    told = tmp_path / "told"
    script = SCRIPT.replace("PROTOCOL", "1").replace(
        "    kind =", "    print(line, file=open(TOLD, 'a'), flush=True)\n    kind ="
    )
    (tmp_path / "a worker ü.py").write_text(script.replace("TOLD", repr(str(told))), encoding="utf-8")
    answer(worker.warm("m@1", device="cpu", precision="bf16"))
    asked = json.loads(told.read_text(encoding="utf-8"))
    wanted = {"request": "warm", "model": "m@1", "device": "cpu", "precision": "bf16"}
    assert wanted.items() <= asked.items()
    request = worker.send("hang")  # names no model: the last one counts
    wait_for("info", request)
    worker.cancel(request)
    assert request.wait(STOP_SECONDS)
    ends = time.monotonic() + DEADLINE
    while told.read_text(encoding="utf-8").count('"warm"') < 2:
        assert time.monotonic() < ends
        time.sleep(0.01)
    again = json.loads(told.read_text(encoding="utf-8").strip().splitlines()[-1])
    assert wanted.items() <= again.items()
    worker.kill()


def test_a_request_that_was_answered_cannot_be_cancelled(fake: WorkerProcess) -> None:
    request = fake.send("echo")
    answer(request)
    pid = fake.pid
    fake.cancel(request)
    time.sleep(STOP_SECONDS)
    assert fake.pid == pid


def test_a_crash_ends_every_request_with_code_and_log(fake: WorkerProcess) -> None:
    crash = fake.send("crash", code=7, says="RuntimeError: it broke")
    waiting = fake.send("echo")
    for request in (crash, waiting):
        assert request.wait(DEADLINE)
        assert request.end is not None
        assert request.end.code == 7
        assert "RuntimeError: it broke" in request.end.log
    assert answer(fake.send("echo", echo="fresh"))["echo"] == "fresh"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_killed_while_idle_is_replaced_without_a_word(fake: WorkerProcess) -> None:
    answer(fake.send("echo"))
    pid = fake.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    while fake.running:  # the thread that waits for the process has to hear of it
        time.sleep(0.001)
    assert answer(fake.send("echo", echo=1))["echo"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_children_that_outlive_a_killed_worker_go_too(fake: WorkerProcess) -> None:
    request = fake.send("hang")
    grandchild = wait_for("info", request)["child"]
    assert fake.pid is not None
    os.kill(fake.pid, signal.SIGKILL)
    assert request.wait(60)  # though the grandchild holds the pipes open
    assert request.end is not None
    assert request.end.code == -signal.SIGKILL
    wait_until_gone(grandchild)


def test_the_log_stays_small_whatever_is_printed(fake: WorkerProcess) -> None:
    answer(fake.send("chatter"))
    answer(fake.send("echo"))
    ends = time.monotonic() + 60
    while "line 4999" not in fake.log:
        assert time.monotonic() < ends
        time.sleep(0.01)
    lines = fake.log.splitlines()
    assert len(lines) <= LOG_LINES
    assert max(map(len, lines)) <= LOG_LINE_LENGTH


def test_a_program_that_is_not_there_ends_the_request_with_the_reason(tmp_path: Path) -> None:
    request = WorkerProcess([str(tmp_path / "PythonSlicer")]).send("warm")
    assert request.ended
    assert request.end is not None
    assert request.end.code is None
    assert "PythonSlicer" in request.end.reason


def test_a_worker_of_another_protocol_is_refused(tmp_path: Path) -> None:
    worker = child(tmp_path, protocol=99)
    request = worker.send("hang")
    assert request.wait(DEADLINE)
    assert request.end is not None
    assert "99" in request.end.reason
    worker.kill()


def test_close_ends_the_process_and_a_later_request_starts_one(fake: WorkerProcess) -> None:
    answer(fake.send("echo"))
    pid = fake.pid
    assert pid is not None
    fake.close()
    assert not fake.running
    wait_until_gone(pid)
    fake.close()
    answer(fake.send("echo"))


def test_close_does_not_wait_for_one_that_hangs(fake: WorkerProcess) -> None:
    wait_for("info", fake.send("hang"))
    pid = fake.pid
    assert pid is not None
    began = time.monotonic()
    fake.close()
    assert time.monotonic() - began < 5
    wait_until_gone(pid)


def test_a_forgotten_worker_does_not_stay(tmp_path: Path) -> None:
    worker = child(tmp_path)
    answer(worker.send("echo"))
    pid = worker.pid
    assert pid is not None
    del worker
    gc.collect()
    wait_until_gone(pid)


def test_the_environment_leads_to_the_package_and_speaks_utf8(own_home: Path) -> None:
    base = {"PATH": "/bin", "PYTHONPATH": "/mine", "PYTHONIOENCODING": "latin-1"}
    environment = workerEnvironment(base)
    package, mine = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(package) / "medcontext" / "worker").is_dir()
    assert (mine, environment["PYTHONUTF8"], environment["MEDCONTEXT_HOME"]) == ("/mine", "1", str(own_home))
    assert "PYTHONIOENCODING" not in environment
    assert base == {"PATH": "/bin", "PYTHONPATH": "/mine", "PYTHONIOENCODING": "latin-1"}


def test_slicers_launcher_runs_the_worker_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup = {"HOME": "/home/somebody"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythonOfWorker(startup) == (sys.executable, startup)
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    for program in (name, "python-real.exe"):
        (tmp_path / program).write_text("", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    assert pythonOfWorker(startup, "linux") == (str(tmp_path / name), startup)
    python, environment = pythonOfWorker(startup, "win32")
    assert (python, environment["PATH"]) == (str(tmp_path / "python-real.exe"), str(tmp_path))


# The real worker


def segment(worker: WorkerProcess, folder: ExchangeFolder, image: np.ndarray) -> WorkerRequest:
    array = folder.write("image", image)
    volume = {"array": array.to_json(), "axis_order": "KJI", "affine": np.eye(4).tolist()}
    return worker.send("segment", model="hippocampus", channels=[volume], output=str(folder.path))


def test_the_real_worker_segments_and_stays_warm(worker: WorkerProcess, tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(36, 50, 35)).astype(np.float32)
    with ExchangeFolder(tmp_path) as folder:
        first = answer(segment(worker, folder, image))
        labelmap = np.array(SharedArray.from_json(first["labelmap"]).open())
        again = answer(segment(worker, folder, image))
        np.testing.assert_array_equal(labelmap, SharedArray.from_json(again["labelmap"]).open())
    assert labelmap.shape == image.shape
    assert [label["name"] for label in first["labels"]] == ["Anterior", "Posterior"]
    assert not first["warm"]
    assert again["warm"]
    assert "load model" not in again["seconds"]


def test_the_real_worker_says_what_is_wrong(worker: WorkerProcess) -> None:
    event = answer(worker.send("segment", model="no such model"))
    assert (event["event"], event["kind"]) == ("error", "input")
    event = answer(worker.send("no such request"))
    assert (event["event"], event["kind"]) == ("error", "input")
    assert worker.running
