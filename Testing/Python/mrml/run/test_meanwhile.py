"""What a person may do while a run goes on: cancel, close, delete, change."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import (
    Recorder,
    addRoi,
    endedWith,
    loadSample,
    middle,
    pollUntil,
    segmentArrays,
    segmentations,
    start,
)
from medcontext.errors import CancelledError, InputError
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic
from MedContextSegmentLib.Run.SegmentationRun import COMPUTING
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

STOP_SECONDS = 2.0


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
