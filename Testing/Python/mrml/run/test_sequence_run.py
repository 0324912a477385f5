"""All frames of a sequence as one run: it ends whatever happens, and what was finished is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import Recorder, addSegment, loadSample, segmentArrays, segmentations, start
from medcontext.errors import InputError, MedContextError, ResourceError
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.Run.SequenceRun import SequenceRun
from MedContextSegmentLib.Scene.Sequences import FrameRuns

TIMES = ("0", "1")


def addSequence(name: str, frames: list[Any], browser: Any = None) -> tuple[Any, Any]:
    """A sequence of nodes, which are removed; its browser and its proxy."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    for moment, frame in zip(TIMES, frames, strict=True):
        sequence.SetDataNodeAtValue(frame, moment)
        slicer.mrmlScene.RemoveNode(frame)
    if browser is None:
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    else:
        browser.AddSynchronizedSequenceNode(sequence)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser, browser.GetProxyNode(sequence)


@pytest.fixture
def beating() -> tuple[Any, Any]:
    """Two frames of the sample; the second is brighter."""
    second = loadSample()
    slicer.util.updateVolumeFromArray(second, slicer.util.arrayFromVolume(second) * 2)
    return addSequence("heart", [loadSample(), second])


class FakeRun:
    """Ends with the first poll, with an error or none."""

    def __init__(self, request: SegmentRequest, listener: Any, error: MedContextError | None) -> None:
        self.request, self._listener, self.error = request, listener, error

    def poll(self) -> bool:
        if self.error is None:
            array = np.zeros(slicer.util.arrayFromVolume(self.request.volumes[0]).shape, np.uint8)
            array[10:20, 10:20, 10:20] = 1
            addSegment(self.request.segmentation, "Anterior", array, self.request.volumes[0])
        self._listener.ended(self)
        return False

    def cancel(self) -> None:
        self.error = MedContextError("stopped")


def fakes(*errors: MedContextError | None) -> Callable[..., FakeRun]:
    left = list(errors)
    return lambda request, listener: FakeRun(request, listener, left.pop(0))


def pollToEnd(run: Any, seconds: float = 90) -> None:
    ends = time.monotonic() + seconds
    while run.poll():
        assert time.monotonic() < ends
        time.sleep(0.002)


def shown(browser: Any, segmentation: Any, volume: Any) -> list[int]:
    """How many voxels each frame has."""
    found = []
    for number in range(browser.GetNumberOfItems()):
        browser.SetSelectedItemNumber(number)
        arrays = segmentArrays(segmentation, volume).values()
        found.append(sum(int(array.astype(bool).sum()) for array in arrays))
    return found


def test_a_fault_of_ours_while_a_frame_is_stored_ends_the_run(
    beating: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(FrameRuns, "store", fail)
    recorder = Recorder()
    run = SequenceRun(fakes(None, None), SegmentRequest((beating[1],), "hippocampus"), recorder)
    pollToEnd(run, 5)
    assert run.error is not None
    assert (run.state, run.error.message) == ("failed", "ZeroDivisionError: oh")
    assert recorder.ends == [run]
    assert segmentations() == []


def test_a_real_frame_that_cannot_be_stored_ends_the_run(
    logic: MedContextSegmentLogic, beating: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    begin = FrameRuns.begin
    monkeypatch.setattr(FrameRuns, "begin", lambda self, index: begun.append(index) or begin(self, index))
    monkeypatch.setattr(FrameRuns, "store", lambda *_arguments: [][0])
    recorder = Recorder()
    run = SequenceRun(logic.start, SegmentRequest((beating[1],), "hippocampus"), recorder)
    pollToEnd(run)
    assert run.error is not None
    assert run.error.message.startswith("IndexError")
    assert (begun, recorder.ends, segmentations()) == ([0], [run], [])


def test_what_goes_wrong_in_a_listener_at_the_end_is_not_lost(logic: MedContextSegmentLogic) -> None:
    class Failing(Recorder):
        def ended(self, run: Any) -> None:
            super().ended(run)
            raise ZeroDivisionError("in the listener")

    recorder = Failing()
    run = start(logic, loadSample(), recorder)
    with pytest.raises(ZeroDivisionError, match="in the listener"):
        pollToEnd(run)
    assert (run.state, run.error, len(recorder.ends)) == ("done", None, 1)
    assert run.segmentationNode.GetSegmentation().GetNumberOfSegments() == 2
    assert not run.poll()
    assert len(recorder.ends) == 1


def test_a_fault_in_a_listener_meanwhile_fails_the_run_and_leaves_nothing(
    logic: MedContextSegmentLogic,
) -> None:
    recorder = Recorder("write", lambda: [][0])
    run = start(logic, loadSample(), recorder)
    pollToEnd(run)
    assert run.error is not None
    assert (run.state, recorder.ends) == ("failed", [run])
    assert run.error.message.startswith("IndexError")
    assert segmentations() == []


def test_a_result_that_cannot_be_taken_back_is_said_and_ends_the_run(
    logic: MedContextSegmentLogic, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedContextSegmentLib.Run.Writing import Writing

    monkeypatch.setattr(Writing, "takeBack", lambda _self: [][0])
    recorder = Recorder("write", lambda: run.cancel())
    run = start(logic, loadSample(), recorder)
    pollToEnd(run)
    assert (run.state, recorder.ends) == ("cancelled", [run])
    assert len(recorder.warnings) == 1
    assert "could not be put back" in recorder.warnings[0]


def test_cancelled_between_two_frames_keeps_the_first(beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    recorder = Recorder()
    run = SequenceRun(fakes(None, None), SegmentRequest((volume,), "hippocampus"), recorder)
    run.poll()
    run.poll()
    run.cancel()
    pollToEnd(run, 5)
    assert (run.state, recorder.ends) == ("cancelled", [run])
    assert shown(browser, run.segmentationNode, volume) == [1000, 0]


def test_after_memory_ran_out_the_other_frames_join_the_first(beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    request = SegmentRequest((volume,), "hippocampus")
    failed = SequenceRun(fakes(None, ResourceError("Memory ran out.")), request, Recorder())
    pollToEnd(failed, 5)
    assert failed.state == "failed"
    assert shown(browser, failed.segmentationNode, volume) == [1000, 0]
    target = failed.segmentationNode
    again = SequenceRun(
        fakes(None, None), SegmentRequest((volume,), "hippocampus", segmentation=target), Recorder()
    )
    pollToEnd(again, 5)
    assert again.segmentationNode is target
    assert min(shown(browser, target, volume)) >= 1000
    assert len(segmentations()) == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLSequenceNode")) == 2


def drawn(volume: Any, half: slice) -> Any:
    """A segmentation with one segment that holds the slices of one half."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "limits")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    array = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    array[half] = 1
    node.GetSegmentation().AddEmptySegment("inside", "Inside")
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, "inside", volume)
    return node


def test_each_frame_stays_inside_its_own_segment(
    logic: MedContextSegmentLogic, beating: tuple[Any, Any]
) -> None:
    browser, volume = beating
    middle = slicer.util.arrayFromVolume(volume).shape[0] // 2
    halves = [slice(None, middle), slice(middle, None)]
    _, limits = addSequence("limits", [drawn(volume, half) for half in halves], browser)
    browser.SetSelectedItemNumber(0)
    before = len(segmentations())
    request = SegmentRequest((volume,), "hippocampus", insideSegment=(limits, "inside"))
    run = SequenceRun(logic.start, request, Recorder())
    pollToEnd(run)
    assert run.error is None
    assert len(segmentations()) == before + 1  # no copy of the limits stays
    for number, half in enumerate(halves):
        browser.SetSelectedItemNumber(number)
        filled = sum(segmentArrays(run.segmentationNode, volume).values()).any(axis=(1, 2))
        assert filled[half].any()
        filled[half] = False
        assert not filled.any()


def test_a_frame_without_the_segment_to_stay_inside_is_one_sentence(beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    frames = [drawn(volume, slice(0, 9)), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")]
    _, limits = addSequence("limits", frames, browser)
    browser.GetSequenceNode(limits).RemoveDataNodeAtValue(TIMES[1])
    request = SegmentRequest((volume,), "hippocampus", insideSegment=(limits, "inside"))
    run = SequenceRun(fakes(None, None), request, Recorder())
    pollToEnd(run, 5)
    assert isinstance(run.error, InputError)
    assert "'limits' has no frame at" in run.error.message
