"""The logic as scripts use it: one call, sentences for what is wrong, nothing left running."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import DEAF, Recorder, loadSample, pollUntil, sampleLabels, scriptWorker, segmentArrays
from medcontext.errors import CancelledError, InputError
from medcontext.exchange import PREFIX, ExchangeFolder
from medcontext.jobs.process import creation_token
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.Run.Redo import RedoRequest
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess


def makeVolume(shape: tuple[int, ...], className: str = "vtkMRMLScalarVolumeNode") -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(className, "thing")
    slicer.util.updateVolumeFromArray(node, np.zeros(shape, np.uint8))
    return node


def test_a_script_gets_the_segmentation_while_the_application_lives(
    logic: MedContextSegmentLogic, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    monkeypatch.setattr(slicer.app, "processEvents", lambda: turns.append(1), raising=False)
    node = loadSample()
    segmentation = logic.segment(node, "hippocampus")
    assert segmentation.IsA("vtkMRMLSegmentationNode")
    found = sum(segmentArrays(segmentation, node).values()) > 0
    drawn = sampleLabels() > 0
    assert 2 * (found & drawn).sum() / (found.sum() + drawn.sum()) > 0.85
    assert len(turns) > 5
    assert logic.run is None


def test_a_segmentation_that_is_given_is_written_into(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    assert logic.segment([node], "hippocampus@1.0.0", mine, certainty="none", device="cpu") is mine
    assert mine.GetSegmentation().GetNumberOfSegments() == 2


def test_what_the_run_says_is_logged(logic: MedContextSegmentLogic, caplog: pytest.LogCaptureFixture) -> None:
    node = loadSample()
    node.SetSpacing(0.45, 0.45, 0.45)
    with caplog.at_level("WARNING"):
        logic.segment(node, "hippocampus")
    assert [message for message in caplog.messages if "spacing of 0.45 x 0.45 x 0.45 mm" in message]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: None, "No volume is selected"),
        (list, "No volume is selected"),
        (lambda: makeVolume((40, 50, 40), "vtkMRMLLabelMapVolumeNode"), "label map"),
        (lambda: makeVolume((40, 50, 40, 3), "vtkMRMLVectorVolumeNode"), "colors or vectors"),
        (lambda: makeVolume((1, 50, 40)), "single slice"),
        (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "thing"), "is empty"),
        (lambda: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "thing"), "not a scan"),
        (lambda: [makeVolume((40, 50, 40))] * 2, "2 volume"),
    ],
    ids=["none", "no channel", "label map", "color", "slice", "empty", "model", "two"],
)
def test_what_cannot_be_segmented_is_one_sentence(
    logic: MedContextSegmentLogic, make: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said) as error:
        logic.segment(make(), "hippocampus")
    assert error.value.hint
    assert logic.run is None
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("hipocampus", {}, "Did you mean 'hippocampus'"),
        ("", {}, "No model is chosen"),
        ("hippocampus", {"certainty": "some"}, "no certainty map of the kind 'some'"),
        ("hippocampus", {"color": "red"}, "no option 'color'"),
        ("hippocampus", {"device": "abacus"}, "abacus"),
    ],
)
def test_wrong_options_are_one_sentence(
    logic: MedContextSegmentLogic, model: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        logic.segment(loadSample(), model, **options)
    assert logic.run is None


def surfaces() -> Any:
    """A segmentation that was read from a surface file."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "skin")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    source = vtk.vtkSphereSource()
    source.Update()
    node.AddSegmentFromClosedSurfaceRepresentation(source.GetOutput(), "skin", [1.0, 0.0, 0.0])
    return node


def addNode(className: str) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass(className, "thing")


def segmentationNode() -> Any:
    return addNode("vtkMRMLSegmentationNode")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (lambda: {"segmentation": surfaces()}, "skin holds surfaces"),
        (lambda: {"segmentation": "mine"}, "segmentation node to write into is needed, str 'mine'"),
        (lambda: {"segmentation": addNode("vtkMRMLModelNode")}, "vtkMRMLModelNode 'thing' was given"),
        (lambda: {"segmentation": addNode("vtkMRMLScalarVolumeNode")}, "vtkMRMLScalarVolumeNode 'thing'"),
        (lambda: {"segmentation": slicer.vtkMRMLSegmentationNode()}, "is not in the scene"),
        (lambda: {"roi": "x"}, "An ROI node is needed, str 'x'"),
        (lambda: {"roi": addNode("vtkMRMLMarkupsFiducialNode")}, "An ROI node is needed"),
        (lambda: {"insideSegment": ("a", "b")}, "segmentation node with the segment is needed"),
        (lambda: {"insideSegment": "a"}, "A segment is given as str 'a'"),
        (lambda: {"insideSegment": (segmentationNode(), "b")}, "'thing' has no segment with the id 'b'"),
        (lambda: {"redo": "finer"}, "What to do again is given as str 'finer'"),
        (lambda: {"redo": RedoRequest("finer", roi=5)}, "An ROI node is needed, int 5"),
        (lambda: {"redo": RedoRequest("finer", segment=(segmentationNode(), "b"))}, "no segment with the id"),
        (lambda: {"volumes": ("scan",)}, "A volume node is needed, str 'scan'"),
        (lambda: {"volumes": (slicer.vtkMRMLScalarVolumeNode(),)}, "is not in the scene"),
        (lambda: {"model": 5}, "The model is given as int 5"),
    ],
)  # fmt: skip
def test_what_is_of_the_wrong_kind_is_refused_before_anything_is_computed(
    tmp_path: Path, options: Any, said: str
) -> None:
    logic = MedContextSegmentLogic(worker=WorkerProcess(["no such program"]), exchangeRoot=tmp_path)
    request = SegmentRequest((loadSample(),), "hippocampus")
    with pytest.raises(InputError, match=said) as error:
        logic.start(replace(request, **options()), Recorder())
    assert error.value.hint
    assert logic.run is None


def test_an_image_that_is_far_too_large_is_refused_with_the_way_out(logic: MedContextSegmentLogic) -> None:
    node = makeVolume((100, 150, 150))
    slicer.util.arrayFromVolume(node)[50:] = 1
    with pytest.raises(InputError, match="The image measures 150 x 150 x 100 mm"):
        logic.segment(node, "hippocampus")


def test_one_run_at_a_time(tmp_path: Path) -> None:
    logic = MedContextSegmentLogic(worker=scriptWorker(tmp_path, DEAF), exchangeRoot=tmp_path)
    run = logic.start(SegmentRequest((loadSample(),), "hippocampus"), Recorder())
    assert logic.run is run
    with pytest.raises(InputError, match="Another segmentation is running"):
        logic.segment(loadSample(), "hippocampus")
    logic.close()
    assert (run.state, logic.run) == ("cancelled", None)


def test_two_logics_work_side_by_side(worker: WorkerProcess, tmp_path: Path) -> None:
    node = loadSample()
    logics = [MedContextSegmentLogic(worker=worker, exchangeRoot=tmp_path), MedContextSegmentLogic()]
    runs = [logic.start(SegmentRequest((node,), "hippocampus"), Recorder()) for logic in logics]
    ends = time.monotonic() + 120
    while sum(run.poll() for run in runs):
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert [run.state for run in runs] == ["done", "done"]
    first, second = (segmentArrays(run.segmentationNode, node) for run in runs)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    assert logics[1].worker.pid != worker.pid
    logics[1].close()


def test_close_ends_the_run_and_the_worker_at_once(tmp_path: Path) -> None:
    logic = MedContextSegmentLogic(worker=scriptWorker(tmp_path, DEAF), exchangeRoot=tmp_path)
    recorder = Recorder()
    run = logic.start(SegmentRequest((loadSample(),), "hippocampus"), recorder)
    pollUntil(run, "computing")
    pid = logic.worker.pid
    assert pid is not None
    logic.close()
    assert type(run.error) is CancelledError
    assert recorder.ends == [run]
    assert creation_token(pid) is None
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def test_an_interrupted_script_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logic = MedContextSegmentLogic(worker=scriptWorker(tmp_path, DEAF), exchangeRoot=tmp_path)

    def interrupt() -> None:
        raise KeyboardInterrupt

    node = loadSample()
    with monkeypatch.context() as patch:
        patch.setattr(slicer.app, "processEvents", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt):
            logic.segment(node, "hippocampus")
    assert logic.run is None
    assert not logic.worker.running
    logic.close()


def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from medcontext.exchange import ExchangeFolder\n"
        "ExchangeFolder(Path(sys.argv[1])); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
    with ExchangeFolder(tmp_path) as used:
        MedContextSegmentLogic(exchangeRoot=tmp_path)
        ends = time.monotonic() + 10
        while list(tmp_path.glob(f"{PREFIX}*")) != [used.path]:
            assert time.monotonic() < ends
            time.sleep(0.01)


def test_warming_up_loads_the_model_before_the_click(tmp_path: Path) -> None:
    logic = MedContextSegmentLogic(exchangeRoot=tmp_path)
    assert logic.warm("hippocampus").wait(120)
    run = logic.start(SegmentRequest((loadSample(),), "hippocampus"), Recorder())
    pollUntil(run)
    assert run.result is not None
    assert run.result.warm
    logic.close()


def test_the_temporary_folder_is_slicers_own() -> None:
    from MedContextSegmentLib.Run import Logic

    recorder = Recorder()
    folder = Path(slicer.app.temporaryPath)
    before = set(folder.glob("*"))
    logic = Logic.MedContextSegmentLogic(worker=WorkerProcess(["no such program"]))
    run = logic.start(SegmentRequest((loadSample(),), "hippocampus"), recorder)
    assert run._root == folder
    pollUntil(run)
    assert set(folder.glob("*")) == before
