"""One run from click to segments. Real MRML, real worker."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import (
    Recorder,
    addRoi,
    dice,
    loadSample,
    pollUntil,
    sampleLabels,
    segmentArrays,
    start,
)
from medcontext.cards import bundled_models
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic
from MedContextSegmentLib.Run.SegmentationRun import WRITING
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess


def test_a_click_gives_named_segments_that_agree_with_a_person(logic: MedContextSegmentLogic) -> None:
    logic.worker.send("release").wait(90)  # the model of the tests before
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
    node = slicer.util.addVolumeFromArray(np.random.default_rng(0).random((200, 256, 256), np.float32))
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
