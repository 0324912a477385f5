"""What the program that started a worker relies on: every request is answered, and the worker lives and ends well."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medcontext
from medcontext import jobs
from medcontext.events import PROTOCOL_VERSION
from medcontext.exchange import ExchangeFolder
from medcontext.geometry import Geometry, Volume

RequestFor = Callable[..., dict[str, Any]]


@pytest.fixture
def long_work(request_for: RequestFor) -> dict[str, Any]:
    """A request that takes minutes: many windows, in a strip that only one axis is too long for."""
    noise = np.random.default_rng(0).normal(100, 20, (2000, 50, 36)).astype(np.float32)
    image = Volume(noise[None], Geometry.from_spacing(noise.shape))
    return request_for(image, certainty="masked")


PATIENT = ("--grace-seconds", "300")
"""For a worker that is to end by itself: on a busy machine one window may take longer than it is given otherwise."""

WAIT_SECONDS = 300.0
"""How long a test waits for a process to end; how long it takes is nothing to test on a busy machine."""


def is_computing(event: dict[str, Any]) -> bool:
    return event.get("stage") == "segment"


def test_hello_comes_before_anything_heavy(start: Any) -> None:
    code = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'numpy', 'pydantic', 'SimpleITK'):\n"
        "            raise ImportError(name + ' must not be imported')\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from medcontext.worker.__main__ import main\n"
        "main()"
    )
    hello = start(code=code).wait_for(lambda _event: True)
    assert hello["event"] == "hello"
    assert (hello["id"], hello["protocol"]) == ("", PROTOCOL_VERSION)
    assert hello["software"]["medcontext"] == medcontext.__version__
    assert set(hello["software"]) == {"medcontext", "python"}


def test_hello_names_the_process(start: Any) -> None:
    client = start()
    assert client.wait_for(lambda event: event["event"] == "hello")["pid"] == client.process.pid


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"request": "seg', "broken"),
        (b"\xff\xfe", "broken"),
        (b"[" * 100_000, "broken"),
        (b"[1]", "JSON object"),
        (b'{"request": "segment"}', "needs its kind"),
        (b'{"id": "1"}', "needs its kind"),
        (b'{"request": "segment", "id": 1}', "needs its kind"),
    ],
)
def test_a_line_that_is_no_request_is_answered(worker: Any, line: bytes, message: str) -> None:
    worker.send_line(line)
    error = worker.wait_for(lambda event: event["event"] == "error")
    assert (error["kind"], error["exit_code"], error["id"]) == ("input", 2, "")
    assert message in error["message"]


def test_empty_lines_are_no_requests(worker: Any) -> None:
    worker.send_line(b"")
    assert worker.ask("release")["event"] == "result"


def wrong(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The request with one channel's array or other fields changed."""
    array = {k: changes.pop(k) for k in ("path", "dtype", "shape") if k in changes}
    channel = {k: changes.pop(k) for k in ("affine", "axis_order") if k in changes}
    (first,) = request["channels"]
    first = {**first, **channel, "array": {**first["array"], **array}}
    return {**request, "channels": [first], **changes}


IDENTITY = np.eye(4).tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "/no/such/file.raw"}, "cannot be opened"),
        ({"dtype": "object"}, "not a type of numbers"),
        ({"dtype": "<f8"}, "holds"),
        ({"dtype": "|b1"}, "volume of numbers"),
        ({"shape": [1000, 1000, 1000]}, "holds"),
        ({"shape": [10, 10]}, "three axes"),
        ({"shape": [0, 10, 10]}, "positive sizes"),
        ({"axis_order": "IJK"}, "axis_order"),
        ({"affine": IDENTITY[:3]}, "affine"),
        ({"affine": np.zeros((4, 4)).tolist()}, "span a volume"),
        ({"affine": [[float("nan")] * 4] * 4}, "finite"),
        ({"model": "no-such-model"}, "There is no model"),
        ({"device": "abacus"}, "There is no device"),
        ({"precision": "fp3"}, "There is no precision"),
        ({"certainty": "very"}, "certainty"),
        ({"labels": [7]}, "no label 7"),
        ({"labels": []}, "No label"),
        ({"box": [[0, 10], [0, 10]]}, "box"),
        ({"box": [[90, 99], [0, 10], [0, 10]]}, "outside the image"),
        ({"output": "/no/such/folder"}, "does not exist"),
        ({"colour": "red"}, "colour"),
        ({"channels": []}, "channels"),
    ],
    ids=str,
)
def test_bad_requests_are_answered_with_one_sentence(
    worker: Any, crop: Volume, request_for: RequestFor, changes: dict[str, Any], message: str
) -> None:
    error = worker.ask("segment", **wrong(request_for(crop), **changes))
    assert (error["event"], error["kind"], error["exit_code"]) == ("error", "input", 2)
    assert message in error["message"]


def test_the_wrong_number_of_channels_is_said(worker: Any, crop: Volume, request_for: RequestFor) -> None:
    image = Volume(np.concatenate([crop.array, crop.array]), crop.geometry)
    error = worker.ask("segment", **request_for(image))
    assert error["kind"] == "input"
    assert "2 channel(s) were given" in error["message"]
    assert "needs 1: MRI" in error["message"]


def test_voxels_that_are_no_numbers_are_said(worker: Any, crop: Volume, request_for: RequestFor) -> None:
    array = crop.array.copy()
    array[0, 10, 10, 10] = np.nan
    error = worker.ask("segment", **request_for(Volume(array, crop.geometry)))
    assert error["kind"] == "input"
    assert "not finite" in error["message"]


def test_an_unknown_request_is_answered(worker: Any) -> None:
    error = worker.ask("dance")
    assert (error["kind"], error["exit_code"]) == ("input", 2)
    assert "There is no request 'dance'" in error["message"]
    assert "segment" in error["hint"]


def test_the_doctor_reports(worker: Any) -> None:
    findings = worker.ask("doctor")["findings"]
    assert {"MedContext", "Python", "Memory"} <= {finding["name"] for finding in findings}
    assert all(set(finding) == {"name", "value", "ok", "advice"} for finding in findings)


def test_a_removed_model_is_said_even_when_warm(
    worker: Any, crop: Volume, request_for: RequestFor, make_model: Callable[..., Path]
) -> None:
    model = make_model()
    request = request_for(crop, str(model))
    assert worker.ask("segment", **request)["event"] == "result"
    for file in model.iterdir():
        if file.is_file():
            file.unlink()
    error = worker.ask("segment", **request)
    assert error["kind"] == "input"
    assert str(model) in error["message"]


def test_cancel_stops_the_work_at_hand(
    worker: Any, crop: Volume, request_for: RequestFor, long_work: dict[str, Any]
) -> None:
    target = worker.send("segment", **long_work)
    worker.wait_for(is_computing)
    assert worker.ask("cancel", target=target)["found"]
    error = worker.answer(target)
    assert (error["kind"], error["exit_code"]) == ("cancelled", 3)
    assert worker.ask("segment", **request_for(crop))["event"] == "result"


def test_cancel_drops_a_request_that_waits(
    worker: Any, crop: Volume, request_for: RequestFor, long_work: dict[str, Any]
) -> None:
    first = worker.send("segment", **long_work)
    second = worker.send("segment", **request_for(crop))
    third = worker.send("release")
    worker.wait_for(is_computing)
    assert worker.ask("cancel", target=second)["found"]
    worker.send("cancel", target=first)
    assert worker.answer(third)["event"] == "result"
    ends = {event["id"]: event for event in worker.events if event["event"] in ("result", "error")}
    assert ends[first]["kind"] == ends[second]["kind"] == "cancelled"
    assert [event["event"] for event in worker.of(second)] == ["error"]


def test_cancel_of_what_has_ended_does_nothing(worker: Any) -> None:
    answer = worker.ask("cancel", target="no such id")
    assert (answer["event"], answer["found"]) == ("result", False)


NOISY = """
import ctypes, os, subprocess, sys
from medcontext.workflows import doctor

def examine(reporter):
    print("a print of Python")
    os.write(1, b"a write to descriptor 1\\n")
    sys.__stdout__.write("a write to the first stdout\\n"); sys.__stdout__.flush()
    subprocess.run([sys.executable, "-c", "print('a child')"])
    asked = subprocess.run([sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"])
    assert asked.returncode == 0, "the child ate requests"
    if os.name == "posix":
        ctypes.CDLL(None).puts(b"a print of C"); ctypes.CDLL(None).fflush(None)
    return []

doctor.examine = examine
from medcontext.worker.__main__ import main
main()
"""


def test_prints_of_libraries_land_in_the_log(start: Any) -> None:
    client = start(code=NOISY)
    assert client.ask("doctor")["findings"] == []
    assert client.ask("doctor")["findings"] == []
    client.close()
    assert client.strange == []
    log = "".join(client.log)
    for text in ("a print of Python", "descriptor 1", "first stdout", "a child"):
        assert text in log


BROKEN = """
from medcontext.workflows import doctor

full = RuntimeError("CUDA error: out of memory")
errors = iter([ZeroDivisionError("half a bug"), MemoryError(), full])

def examine(reporter):
    import torch
    raise next(errors)

doctor.examine = examine
from medcontext.worker.__main__ import main
main()
"""


def test_the_worker_survives_bugs_and_full_memory(start: Any) -> None:
    client = start(code=BROKEN)
    bug = client.ask("doctor")
    assert (bug["kind"], bug["exit_code"]) == ("bug", 1)
    assert "ZeroDivisionError: half a bug" in bug["message"]
    for _ in range(2):
        error = client.ask("doctor")
        assert (error["kind"], error["exit_code"]) == ("resources", 4)
        assert "low-memory plan" in error["hint"]
    assert client.ask("release")["event"] == "result"
    assert any("Traceback" in line for line in client.log)


def test_a_full_disk_is_said(
    start: Any, crop: Volume, request_for: RequestFor, folder: ExchangeFolder
) -> None:
    pytest.importorskip("resource", reason="Windows has no limit on file size")
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))\n"
        "from medcontext.worker.__main__ import main\nmain()"
    )
    client = start(code=code)
    request = request_for(crop)
    before = sorted(folder.path.iterdir())
    error = client.ask("segment", **request)
    assert (error["kind"], error["exit_code"]) == ("resources", 4)
    assert str(folder.path) in error["message"]
    assert sorted(folder.path.iterdir()) == before


def test_shutdown_ends_the_worker(start: Any, long_work: dict[str, Any]) -> None:
    client = start(*PATIENT)
    target = client.send("segment", **long_work)
    waits = client.send("release")
    client.wait_for(is_computing)
    bye = client.send("shutdown")
    assert client.process.wait(WAIT_SECONDS) == 0
    with contextlib.suppress(AssertionError):
        client.wait_for(lambda _event: False)
    ends = {event["id"]: event for event in client.events if event["event"] in ("result", "error")}
    assert ends[target]["kind"] == ends[waits]["kind"] == "cancelled"
    assert ends[bye]["event"] == "result"


def test_the_end_of_stdin_ends_an_idle_worker(start: Any) -> None:
    client = start(*PATIENT)
    client.wait_for(lambda event: event["event"] == "hello")
    client.process.stdin.close()
    assert client.process.wait(WAIT_SECONDS) == 0


def test_the_end_of_stdin_ends_a_working_worker(start: Any, long_work: dict[str, Any]) -> None:
    client = start(*PATIENT)
    client.send("segment", **long_work)
    client.wait_for(is_computing)
    client.process.stdin.close()
    assert client.process.wait(WAIT_SECONDS) == 0


STUCK = """
from medcontext.workflows import doctor

def examine(reporter):
    import time
    reporter.progress("segment", 0)
    time.sleep(600)

doctor.examine = examine
from medcontext.worker.__main__ import main
main()
"""


def test_the_end_of_stdin_ends_a_worker_that_hangs(start: Any) -> None:
    client = start(code=STUCK)
    client.send("doctor")
    client.wait_for(is_computing)
    client.process.stdin.close()
    assert client.process.wait(WAIT_SECONDS) == 3


def test_an_idle_worker_lets_go_of_its_models(start: Any, crop: Volume, request_for: RequestFor) -> None:
    client = start("--idle-seconds", "0.5", "--watch-seconds", "0.1")
    assert client.ask("warm", model="hippocampus", device="cpu")["event"] == "result"
    client_log(client, "Idle: letting go of 1 models")
    assert not client.ask("segment", **request_for(crop))["warm"]


def test_a_training_takes_the_device(start: Any, tmp_path: Path) -> None:
    client = start("--watch-seconds", "0.2")
    assert client.ask("warm", model="hippocampus", device="cpu")["event"] == "result"
    script = tmp_path / "training.py"
    script.write_text("import time\ntime.sleep(300)\n")
    other = jobs.start([sys.executable, str(script), "--like", "segment"], jobs.new_folder("other"), "Other")
    training = jobs.start([sys.executable, str(script), "train"], jobs.new_folder("learn"), "Learning")
    try:
        client_log(client, "A training runs: letting go of 1 models")
    finally:
        jobs.kill(other.folder)
        jobs.kill(training.folder)


def client_log(client: Any, text: str) -> None:
    """Wait until the log says ``text``."""
    end = time.monotonic() + 60
    while not any(text in line for line in client.log):
        assert time.monotonic() < end, "".join(client.log)
        time.sleep(0.05)


def test_events_are_ascii_lines(worker: Any) -> None:
    worker.send_line(json.dumps({"request": "tänzeln", "id": "ü"}).encode())
    assert "tänzeln" in worker.wait_for(lambda event: event["id"] == "ü")["message"]
