"""One run from click to segments, and everything that may happen meanwhile. Real MRML, real worker."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import (
    CRASHING,
    DEAF,
    Recorder,
    addSegment,
    dice,
    loadSample,
    pollUntil,
    sampleLabels,
    scriptWorker,
    segmentArrays,
)
from medcontext.cards import bundled_models
from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from MedContextSegmentLib.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.SegmentationRun import COMPUTING, WRITING, SegmentationRun
from MedContextSegmentLib.WorkerProcess import WorkerProcess

STOP_SECONDS = 2.0


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess()
    yield process
    process.close()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where arrays are exchanged; nothing may stay there."""
    folder = tmp_path / "a temporary földer"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def logic(worker: WorkerProcess, root: Path) -> MedContextSegmentLogic:
    return MedContextSegmentLogic(worker=worker, exchangeRoot=root)


@pytest.fixture
def deaf(tmp_path: Path, root: Path) -> Iterator[MedContextSegmentLogic]:
    """Its worker neither answers nor stops."""
    logic = MedContextSegmentLogic(worker=scriptWorker(tmp_path, DEAF), exchangeRoot=root)
    yield logic
    logic.close()


def start(logic: MedContextSegmentLogic, node: Any, recorder: Recorder, **options: Any) -> SegmentationRun:
    return logic.start(SegmentRequest((node,), "hippocampus", **options), recorder)


def endedWith(run: SegmentationRun, recorder: Recorder, kind: type[MedContextError], state: str) -> str:
    """The sentence a run ended with."""
    pollUntil(run)
    assert recorder.ends == [run]
    assert run.state == state
    assert type(run.error) is kind
    assert run.segmentationNode is None
    return run.error.message


def segmentations() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


# What is wanted


def test_a_click_gives_named_segments_that_agree_with_a_person(logic: MedContextSegmentLogic) -> None:
    node, recorder = loadSample(), Recorder()
    run = start(logic, node, recorder)
    assert run.state == "preparing"
    pollUntil(run)
    assert (run.state, run.error) == ("done", None)
    assert recorder.ends == [run]
    drawn = sampleLabels()
    arrays = segmentArrays(run.segmentationNode, node)
    assert sorted(arrays) == ["Anterior", "Posterior"]
    assert dice(arrays["Anterior"] > 0, drawn == 1) > 0.8
    assert dice(arrays["Posterior"] > 0, drawn == 2) > 0.8
    stages = [stage for stage, _value in recorder.stages]
    assert {"load model", "segment", "write"} <= set(stages)
    assert run.result is not None
    assert (run.result.model["id"], run.certaintyNode) == ("hippocampus", None)
    # In memory and not in the exchange folder, which is gone.
    assert run.result.labelmap.any()


def test_the_second_click_is_warm_and_replaces_the_segments(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    first = logic.segment(node, "hippocampus")
    run = start(logic, node, Recorder(), segmentation=first)
    pollUntil(run)
    assert run.segmentationNode is first
    assert first.GetSegmentation().GetNumberOfSegments() == 2
    assert run.result is not None
    assert run.result.warm
    assert "load model" not in run.result.seconds


def test_the_main_thread_is_never_held_while_computing(logic: MedContextSegmentLogic) -> None:
    """Measured in time that the main thread itself worked, so that a busy machine does not count."""
    node = slicer.util.addVolumeFromArray(np.zeros((200, 256, 256), np.float32))
    roi = addRoi((100, 100, 100), (40, 40, 40))
    run = start(logic, node, Recorder(), roi=roi)
    longest = 0.0
    while run.running and run.state != WRITING:
        began = time.thread_time()
        run.poll()
        longest = max(longest, time.thread_time() - began)
        time.sleep(0.002)
    pollUntil(run)
    assert run.error is None
    assert longest < 0.1


def test_a_certainty_map_is_shown_and_used_again(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    run = start(logic, node, Recorder(), certainty="entropy")
    pollUntil(run)
    overlay = run.certaintyNode
    assert slicer.util.arrayFromVolume(overlay).shape == slicer.util.arrayFromVolume(node).shape
    assert slicer.util.arrayFromVolume(overlay).max() > 20  # percent, at the borders
    again = start(logic, node, Recorder(), certainty="entropy", segmentation=run.segmentationNode)
    pollUntil(again)
    assert again.certaintyNode is overlay


def test_paths_with_spaces_and_umlauts_reach_the_worker(
    logic: MedContextSegmentLogic, tmp_path: Path
) -> None:
    folder = tmp_path / "mein Modell ü"
    shutil.copytree(bundled_models() / "hippocampus", folder)
    assert logic.segment(loadSample(), str(folder)).GetSegmentation().GetNumberOfSegments() == 2


def test_a_library_that_cannot_be_written_is_no_obstacle(
    logic: MedContextSegmentLogic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    monkeypatch.setenv("MEDCONTEXT_HOME", str(blocked / "home"))  # nobody, root included, can make that
    logic.worker.kill()
    assert logic.segment(loadSample(), "hippocampus") is not None


def test_nothing_holds_a_run_that_ended(worker: WorkerProcess, root: Path) -> None:
    logic = MedContextSegmentLogic(worker=worker, exchangeRoot=root)
    run = start(logic, loadSample(), Recorder())
    pollUntil(run)
    ended = weakref.ref(run)
    del run, logic
    gc.collect()
    assert ended() is None


# Regions


def addRoi(center: tuple[float, float, float], size: tuple[float, float, float], angle: float = 0) -> Any:
    """An ROI with its center and sides in mm (RAS), turned around the inferior-superior axis."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.SetSize(*size)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = center
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def middle(volumeNode: Any) -> tuple[float, float, float]:
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    return (bounds[0] + bounds[1]) / 2, (bounds[2] + bounds[3]) / 2, (bounds[4] + bounds[5]) / 2


@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_nothing_is_found_outside_an_roi(logic: MedContextSegmentLogic, angle: float) -> None:
    from MedContextSegmentLib.Regions import maskOfRoi
    from MedContextSegmentLib.VolumeReader import readVolume

    node = loadSample()
    roi = addRoi(middle(node), (20, 25, 20), angle)
    run = start(logic, node, Recorder(), roi=roi)
    pollUntil(run)
    assert run.result is not None
    assert run.inputs.box is not None
    assert (run.inputs.mask is None) == (angle == 0)  # a straight box needs no mask
    outside = ~maskOfRoi(roi, readVolume(node))
    found = sum(segmentArrays(run.segmentationNode, node).values())
    assert found.any()
    assert not found[outside].any()
    for label in run.result.labels:
        assert label.voxels == int((run.result.labelmap == label.value).sum())


def test_a_segment_can_be_stayed_inside(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    inside = np.zeros(slicer.util.arrayFromVolume(node).shape, np.uint8)
    inside[:, 10:30] = 1
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mask.SetReferenceImageGeometryParameterFromVolumeNode(node)
    segmentId = addSegment(mask, "inside", inside, node)
    run = start(logic, node, Recorder(), insideSegment=(mask, segmentId), certainty="entropy")
    pollUntil(run)
    found = sum(segmentArrays(run.segmentationNode, node).values())
    assert found.any()
    assert not found[inside == 0].any()
    assert not slicer.util.arrayFromVolume(run.certaintyNode)[inside == 0].any()


def test_an_roi_beside_the_volume_is_a_sentence(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    with pytest.raises(InputError, match="covers no voxel"):
        start(logic, node, Recorder(), roi=addRoi((900, 900, 900), (10, 10, 10)))
    assert logic.run is None


# What may happen meanwhile


def test_cancel_while_the_image_is_sent(deaf: MedContextSegmentLogic) -> None:
    node = slicer.util.addVolumeFromArray(np.zeros((256, 256, 256), np.float32))
    recorder = Recorder()
    run = start(deaf, node, recorder)
    run.cancel()
    endedWith(run, recorder, CancelledError, "cancelled")
    assert segmentations() == []


def test_cancel_stops_a_worker_that_does_not_listen_within_two_seconds(deaf: MedContextSegmentLogic) -> None:
    recorder = Recorder()
    run = start(deaf, loadSample(), recorder)
    pollUntil(run, COMPUTING)
    while ("segment", 0.1) not in recorder.stages:
        run.poll()
    pid = deaf.worker.pid
    began = time.monotonic()
    run.cancel()
    run.cancel()
    endedWith(run, recorder, CancelledError, "cancelled")
    assert time.monotonic() - began < STOP_SECONDS
    assert deaf.worker.pid != pid
    assert segmentations() == []
    assert not run.poll()


def test_cancel_while_computing_is_followed_by_the_real_worker(root: Path) -> None:
    """Given the time that a busy machine may need, it stops by itself and stays warm."""
    logic = MedContextSegmentLogic(worker=WorkerProcess(killAfter=60), exchangeRoot=root)
    pid = logic.worker.pid if logic.warm("hippocampus").wait(60) else None
    node = slicer.util.addVolumeFromArray(np.random.default_rng(0).normal(size=(90, 120, 80)).astype("f4"))
    recorder = Recorder()
    run = start(logic, node, recorder, certainty="masked", roi=addRoi(middle(node), (70, 100, 80)))
    pollUntil(run, COMPUTING)
    run.cancel()
    endedWith(run, recorder, CancelledError, "cancelled")
    assert segmentations() == []
    assert logic.segment(loadSample(), "hippocampus") is not None
    assert logic.worker.pid == pid
    logic.close()


def test_cancel_while_writing_takes_everything_back(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    recorder = Recorder("write", lambda: run.cancel())
    run = start(logic, node, recorder)
    endedWith(run, recorder, CancelledError, "cancelled")
    assert segmentations() == []


@pytest.mark.parametrize("at", ["load model", "segment", "write"])
def test_a_closed_scene_ends_the_run_without_a_word(logic: MedContextSegmentLogic, at: str) -> None:
    if at == "load model":
        logic.worker.kill()
    node = loadSample()
    recorder = Recorder(at, lambda: slicer.mrmlScene.Clear(False))
    run = start(logic, node, recorder, certainty="entropy")
    if at == "load model":
        pollUntil(run, COMPUTING)
        slicer.mrmlScene.Clear(False)
    endedWith(run, recorder, CancelledError, "cancelled")
    assert segmentations() == []
    assert recorder.warnings == []


@pytest.mark.parametrize("at", ["preparing", COMPUTING])
def test_a_deleted_volume_is_a_sentence_and_stops_the_work(deaf: MedContextSegmentLogic, at: str) -> None:
    node, recorder = loadSample("my scan"), Recorder()
    run = start(deaf, node, recorder)
    pollUntil(run, at)
    slicer.mrmlScene.RemoveNode(node)
    said = endedWith(run, recorder, InputError, "failed")
    assert said == "The volume 'my scan' was deleted while it was segmented: there is no result."
    assert segmentations() == []


def test_a_volume_deleted_at_the_last_moment_leaves_nothing(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    recorder = Recorder("send", lambda: slicer.mrmlScene.RemoveNode(node))
    run = start(logic, node, recorder)
    endedWith(run, recorder, InputError, "failed")
    assert segmentations() == []


def test_a_changed_or_renamed_volume_is_segmented_as_it_was(logic: MedContextSegmentLogic) -> None:
    expected = segmentArrays(logic.segment(loadSample(), "hippocampus"), loadSample())
    node = loadSample()

    def change() -> None:
        node.SetName("renamed")
        slicer.util.arrayFromVolume(node)[:] = 0
        slicer.util.arrayFromVolumeModified(node)

    recorder = Recorder("segment", change)
    run = start(logic, node, recorder)
    pollUntil(run)
    assert run.error is None
    assert recorder.warnings == [
        "'scan' was changed during the run: the result is of the image as it was before."
    ]
    for name, array in segmentArrays(run.segmentationNode, node).items():
        np.testing.assert_array_equal(array, expected[name])


def test_nothing_is_written_while_a_scene_is_loaded(logic: MedContextSegmentLogic) -> None:
    scene = slicer.mrmlScene
    recorder = Recorder("send", lambda: scene.StartState(slicer.vtkMRMLScene.BatchProcessState))
    node = loadSample()
    run = start(logic, node, recorder)
    while not scene.IsBatchProcessing():
        assert run.poll()
    for _turn in range(50):
        run.poll()
        time.sleep(0.005)
    assert (run.state, segmentations()) == (COMPUTING, [])
    scene.EndState(slicer.vtkMRMLScene.BatchProcessState)
    pollUntil(run)
    assert run.state == "done"


def test_a_deleted_segmentation_is_replaced_by_a_new_one(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    recorder = Recorder("segment", lambda: slicer.mrmlScene.RemoveNode(target))
    run = start(logic, node, recorder, segmentation=target)
    pollUntil(run)
    assert run.error is None
    assert recorder.warnings == [
        "The segmentation 'mine' was deleted during the run: the result is a new one."
    ]
    assert segmentations() == [run.segmentationNode]
    assert run.segmentationNode is not target


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
    from MedContextSegmentLib import Writing

    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Writing, "newSegmentation", fail)
    recorder = Recorder()
    assert endedWith(start(logic, loadSample(), recorder), recorder, MedContextError, "failed") == (
        "ZeroDivisionError: oh"
    )
