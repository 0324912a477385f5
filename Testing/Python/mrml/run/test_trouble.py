"""What may go wrong in a run: each is one sentence, and nothing stays half-done."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import (
    CRASHING,
    Recorder,
    endedWith,
    loadSample,
    pollUntil,
    scriptWorker,
    segmentations,
    start,
)
from medcontext.cards import bundled_models
from medcontext.errors import InputError, MedContextError, ResourceError
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.Run.SegmentationRun import COMPUTING
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess


def test_a_model_that_is_removed_while_selected_is_a_sentence(
    logic: MedContextSegmentLogic, own_home: Path
) -> None:
    folder = own_home / "models" / "mine"
    shutil.copytree(bundled_models() / "hippocampus", folder)
    card = folder / "model.json"
    card.write_text(card.read_text(encoding="utf-8").replace('"id": "hippocampus"', '"id": "mine"'), "utf-8")
    request = SegmentRequest((loadSample(),), "mine@1.0.0")
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"There is no model 'mine@1\.0\.0'"):
        logic.start(request, Recorder())


def test_a_model_that_is_removed_during_the_run_is_a_sentence(
    logic: MedContextSegmentLogic, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(bundled_models() / "hippocampus", folder)
    logic.worker.kill()
    recorder = Recorder()
    run = logic.start(SegmentRequest((loadSample(),), str(folder)), recorder)
    shutil.rmtree(folder)
    assert "mine" in endedWith(run, recorder, InputError, "failed")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_killed_by_the_system_offers_the_low_memory_plan(logic: MedContextSegmentLogic) -> None:
    logic.worker.kill()  # a cold one takes seconds to load
    recorder = Recorder()
    node = loadSample()
    run = start(logic, node, recorder)
    pollUntil(run, COMPUTING)
    pid = logic.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    said = endedWith(run, recorder, ResourceError, "failed")
    assert said == "The worker was killed by the system, probably because memory ran out."
    assert run.error is not None
    assert "low-memory plan" in run.error.hint
    assert segmentations() == []
    assert logic.segment(node, "hippocampus", lowMemory=True) is not None  # the next click starts a fresh one


@pytest.mark.parametrize(
    ("line", "code", "kind", "said"),
    [
        ("MemoryError", 1, ResourceError, "Memory ran out in the worker."),
        (
            "RuntimeError: DefaultCPUAllocator: not enough memory: x",
            1,
            ResourceError,
            "Memory ran out in the worker.",
        ),
        (
            "killed",
            137,
            ResourceError,
            "The worker was killed by the system, probably because memory ran out.",
        ),
        (
            "error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem.",
            1,
            ResourceError,
            "The worker was killed by the system, probably because memory ran out.",
        ),
        (
            "Fatal Python error: Segmentation fault\\n  File x\\nerror: [python-real] exit abnormally",
            1,
            MedContextError,
            "The worker ended unexpectedly: Fatal Python error: Segmentation fault.",
        ),
        (
            "ModuleNotFoundError: No module named 'torch'",
            1,
            InputError,
            "A Python package that segmenting needs cannot be loaded: No module named 'torch'.",
        ),
        ("ValueError: odd", 1, MedContextError, "The worker ended unexpectedly: ValueError: odd."),
        ("", 3, MedContextError, "The worker ended unexpectedly: exit code 3."),
    ],
)
def test_a_crash_is_one_sentence_with_its_cause(
    tmp_path: Path, root: Path, line: str, code: int, kind: type[MedContextError], said: str
) -> None:
    script = CRASHING.replace("LINE", line).replace("CODE", str(code))
    logic = MedContextSegmentLogic(worker=scriptWorker(tmp_path, script), exchangeRoot=root)
    recorder = Recorder()
    assert endedWith(start(logic, loadSample(), recorder), recorder, kind, "failed") == said
    logic.close()


def test_a_worker_that_cannot_be_started_is_one_sentence(tmp_path: Path, root: Path) -> None:
    logic = MedContextSegmentLogic(worker=WorkerProcess([str(tmp_path / "PythonSlicer")]), exchangeRoot=root)
    recorder = Recorder()
    said = endedWith(start(logic, loadSample(), recorder), recorder, InputError, "failed")
    assert said.startswith("The worker cannot be started: ")


@pytest.mark.skipif(sys.platform == "win32", reason="limits")
def test_a_full_disk_is_one_sentence_that_names_the_folder(logic: MedContextSegmentLogic, root: Path) -> None:
    recorder = Recorder()
    node = loadSample()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # less than the image
    try:
        said = endedWith(start(logic, node, recorder), recorder, ResourceError, "failed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(root) in said
    assert segmentations() == []


def test_a_temporary_folder_that_cannot_be_used_is_one_sentence(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    logic = MedContextSegmentLogic(worker=worker, exchangeRoot=blocked / "folder")
    recorder = Recorder()
    assert str(blocked) in endedWith(start(logic, loadSample(), recorder), recorder, InputError, "failed")


def test_a_fault_of_ours_ends_the_run_instead_of_the_application(
    logic: MedContextSegmentLogic, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedContextSegmentLib.Run import Writing

    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Writing, "newSegmentation", fail)
    recorder = Recorder()
    assert endedWith(start(logic, loadSample(), recorder), recorder, MedContextError, "failed") == (
        "ZeroDivisionError: oh"
    )
