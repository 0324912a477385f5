"""Learning from a correction in the scene: with the real worker, written only where nobody corrected, and undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import DEAF, Recorder, addSegment, loadSample, scriptWorker, segmentArrays
from medcontext import correction_facts
from medcontext.cards import bundled_models, read_summary
from medcontext.errors import CancelledError, InputError, MedContextError
from MedContextSegmentLib.Learn import Correction
from MedContextSegmentLib.Learn.Correction import CorrectionRun
from MedContextSegmentLib.Learn.CorrectionReasons import correctionReason, correctionRequest
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.Run.Redo import RedoRequest
from MedContextSegmentLib.Scene.ModelAnswer import (
    PackedLabels,
    answerOf,
    forgetAnswer,
    isCorrected,
    rememberAnswer,
    segmentsOfModel,
    stampOf,
)
from MedContextSegmentLib.Scene.SegmentReading import readSegments
from MedContextSegmentLib.Scene.VolumeReader import readVolume

CARD = read_summary(bundled_models() / "hippocampus")
CORRECTED = 10
"""The slice that is corrected."""
MISSED = slice(14, 18)
"""Slices in which the model found nothing, as these tests have it; it finds something there when it looks again."""

Finish = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction_facts, "FACTS", (fact(),))


def fact() -> correction_facts.CorrectionFact:
    return correction_facts.CorrectionFact("bundled", "1 slice", 2, 0.8, 0.9, 0.05, 0.15, True)


@pytest.fixture
def logic(worker: Any, root: Path) -> MedContextSegmentLogic:
    return MedContextSegmentLogic(worker=worker, exchangeRoot=root)


@pytest.fixture
def scan() -> Any:
    return loadSample()


@pytest.fixture
def segmentation(logic: MedContextSegmentLogic, scan: Any) -> Any:
    return logic.segment(scan, "hippocampus", device="cpu")


@pytest.fixture
def corrected(segmentation: Any, scan: Any) -> Any:
    """The segmentation with an answer that missed some slices, of which one other slice was corrected."""
    for name in ("Anterior", "Posterior"):
        paint(segmentation, name, scan, MISSED, 0)
    answered(segmentation, scan)
    paint(segmentation, "Posterior", scan, CORRECTED, 0)
    return segmentation


@pytest.fixture
def learn(worker: Any, root: Path, scan: Any) -> Callable[..., CorrectionRun]:
    """``learn(segmentation, recorder=None, **options)`` begins a run of a single step or so."""

    def begin(segmentation: Any, recorder: Any = None, **options: Any) -> CorrectionRun:
        fixed = {"device": "cpu", "seconds": 0.01}
        request = correctionRequest(segmentation, [scan], [CARD], **{**fixed, **options})
        assert request is not None, correctionReason(segmentation, [scan], [CARD])
        return CorrectionRun(worker, request, recorder or Recorder(), root)

    return begin


def idOf(segmentation: Any, name: str) -> str:
    return str(segmentation.GetSegmentation().GetSegmentIdBySegmentName(name))


def paint(segmentation: Any, name: str, scan: Any, where: Any, value: int) -> None:
    array = segmentArrays(segmentation, scan)[name].copy()
    array[where] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, idOf(segmentation, name), scan)


def answered(segmentation: Any, scan: Any) -> None:
    """Let what is there now be what the model answered."""
    answer = answerOf(segmentation)
    assert answer is not None
    values = segmentsOfModel(segmentation, answer.key)
    labels = readSegments(segmentation, values, readVolume(scan)).labelmap
    stamp = stampOf(segmentation, answer.key)
    rememberAnswer(segmentation, replace(answer, labelmap=PackedLabels(labels), stamp=stamp))


def copies(segmentation: Any, scan: Any) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in segmentArrays(segmentation, scan).items()}


def assertSame(segmentation: Any, scan: Any, expected: dict[str, np.ndarray]) -> None:
    found = segmentArrays(segmentation, scan)
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def reason(segmentation: Any, *volumes: Any) -> str:
    return correctionReason(segmentation, volumes, [CARD])


# What is remembered


def test_what_the_model_answered_is_remembered_until_it_is_corrected(segmentation: Any, scan: Any) -> None:
    answer = answerOf(segmentation)
    assert answer is not None
    found = segmentArrays(segmentation, scan)
    remembered = answer.labelmap.unpacked()
    for value, name in ((1, "Anterior"), (2, "Posterior")):
        np.testing.assert_array_equal(remembered == value, found[name] > 0)
    assert not isCorrected(segmentation, answer)
    assert "Nothing is corrected yet" in reason(segmentation, scan)
    paint(segmentation, "Anterior", scan, CORRECTED, 0)
    assert isCorrected(segmentation, answer)
    assert reason(segmentation, scan) == ""
    assert not (answer.labelmap.unpacked() != remembered).any()


def test_another_name_color_or_view_is_no_correction(segmentation: Any) -> None:
    segment = segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetName("head")
    segment.SetColor(1, 0, 0)
    segmentation.CreateClosedSurfaceRepresentation()
    segmentation.GetDisplayNode().SetVisibility(False)
    assert "Nothing is corrected yet" in reason(segmentation)


def test_what_is_done_again_in_a_region_is_no_correction(
    logic: MedContextSegmentLogic, segmentation: Any, scan: Any
) -> None:
    paint(segmentation, "Anterior", scan, CORRECTED, 0)
    redo = RedoRequest("finer", segment=(segmentation, idOf(segmentation, "Posterior")), marginMm=0)
    run = logic.start(SegmentRequest((scan,), "hippocampus", segmentation, redo=redo), Recorder())
    while run.poll():
        time.sleep(0.005)
    assert run.error is None
    answer = answerOf(segmentation)
    assert answer is not None
    values = segmentsOfModel(segmentation, answer.key)
    now = readSegments(segmentation, values, readVolume(scan)).labelmap
    differs = answer.labelmap.unpacked() != now
    assert np.flatnonzero(differs.any((1, 2))).tolist() == [CORRECTED]


def test_what_could_not_be_written_is_no_correction(
    logic: MedContextSegmentLogic, segmentation: Any, scan: Any
) -> None:
    paint(segmentation, "Anterior", scan, slice(0, 30), 1)
    segments = slicer.vtkSlicerSegmentationsModuleLogic
    segment = segmentation.GetSegmentation().GetSegment(idOf(segmentation, "Anterior"))
    segments.SetSegmentStatus(segment, segments.Completed)
    again = logic.segment(scan, "hippocampus", segmentation, device="cpu")
    answer = answerOf(again)
    assert answer is not None
    values = segmentsOfModel(again, answer.key)
    now = readSegments(again, values, readVolume(scan)).labelmap
    np.testing.assert_array_equal(answer.labelmap.unpacked(), now)


def test_a_packed_label_map_comes_back_as_it_was() -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:3, 2:5, 3:6] = np.arange(18).reshape(2, 3, 3)
    np.testing.assert_array_equal(PackedLabels(labels).unpacked(), labels)
    assert not PackedLabels(np.zeros((2, 3, 4), bool)).unpacked().any()


# Learning


def test_the_rest_of_the_scan_is_segmented_again_and_the_correction_stays(
    corrected: Any, scan: Any, learn: Any, finish: Finish
) -> None:
    before = copies(corrected, scan)
    learnt = finish(learn(corrected))
    after = segmentArrays(corrected, scan)
    assert list(after) == list(before)
    assert learnt.changedVoxels > 100
    assert sum(int(array[MISSED].sum()) for array in after.values()) > 100
    for name, array in before.items():
        np.testing.assert_array_equal(after[name][CORRECTED], array[CORRECTED])
    changed = np.logical_or.reduce([after[name] != before[name] for name in before])
    assert learnt.changedVoxels == changed.sum()
    assert learnt.volumeMl == pytest.approx(changed.sum() * np.prod(scan.GetSpacing()) / 1000)


def test_it_can_be_taken_back_exactly(corrected: Any, scan: Any, learn: Any, finish: Finish) -> None:
    before = copies(corrected, scan)
    attributes = {name: corrected.GetAttribute(name) for name in corrected.GetAttributeNames()}
    run = learn(corrected)
    finish(run)
    assert run.canTakeBack
    run.takeBack()
    assertSame(corrected, scan, before)
    assert {name: corrected.GetAttribute(name) for name in corrected.GetAttributeNames()} == attributes
    assert not run.canTakeBack
    assert reason(corrected, scan) == ""


def test_what_is_kept_is_the_answer_from_then_on_and_corrections_add_up(
    corrected: Any, scan: Any, learn: Any, finish: Finish
) -> None:
    run = learn(corrected)
    finish(run)
    run.keep()
    assert "Nothing is corrected yet" in reason(corrected, scan)
    paint(corrected, "Anterior", scan, MISSED.start, 0)
    before = copies(corrected, scan)
    run = learn(corrected)
    finish(run)
    after = segmentArrays(corrected, scan)
    for name, array in before.items():
        for corrected_slice in (CORRECTED, MISSED.start):
            np.testing.assert_array_equal(after[name][corrected_slice], array[corrected_slice])


def test_segments_of_others_keep_their_voxels(corrected: Any, scan: Any, learn: Any, finish: Finish) -> None:
    shape = slicer.util.arrayFromVolume(scan).shape
    everywhere = np.ones(shape, np.uint8)
    addSegment(corrected, "by hand", everywhere, scan)
    editor = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetAndObserveSegmentationNode(corrected)
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    learnt = finish(learn(corrected, editorNode=editor))
    assert learnt.changedVoxels > 100
    np.testing.assert_array_equal(segmentArrays(corrected, scan)["by hand"], everywhere)


def test_a_segment_that_was_removed_does_not_come_back(
    corrected: Any, scan: Any, learn: Any, finish: Finish
) -> None:
    corrected.GetSegmentation().RemoveSegment(idOf(corrected, "Anterior"))
    finish(learn(corrected))
    assert list(segmentArrays(corrected, scan)) == ["Posterior"]


def test_what_is_painted_meanwhile_stays(corrected: Any, scan: Any, learn: Any, finish: Finish) -> None:
    painted = slice(MISSED.start, MISSED.start + 1)
    recorder = Recorder("segment", lambda: paint(corrected, "Posterior", scan, painted, 1))
    finish(learn(corrected, recorder))
    after = segmentArrays(corrected, scan)
    assert (after["Posterior"][painted] == 1).all()
    assert not after["Anterior"][painted].any()
    assert sum(int(array[MISSED].sum()) for array in after.values()) > after["Posterior"][painted].sum()


@pytest.mark.parametrize("stage", ["read", "write"])
def test_what_is_painted_while_the_answer_is_written_stays(
    corrected: Any, scan: Any, learn: Any, finish: Finish, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(Correction, "WRITTEN_VOXELS", 1)  # slice by slice
    painted = slice(MISSED.stop - 1, MISSED.stop)
    recorder = Recorder(stage, lambda: paint(corrected, "Anterior", scan, painted, 1))
    run = learn(corrected, recorder)
    finish(run)
    after = segmentArrays(corrected, scan)
    assert (after["Anterior"][painted] == 1).all()
    assert not after["Posterior"][painted].any()
    assert sum(int(array[MISSED.start].sum()) for array in after.values())
    assert run.canTakeBack == (stage == "read")


def test_what_is_painted_while_it_is_written_outlives_a_cancel(
    corrected: Any, scan: Any, learn: Any, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Correction, "WRITTEN_VOXELS", 1)
    runs: list[CorrectionRun] = []

    def paintAndCancel() -> None:
        paint(corrected, "Anterior", scan, slice(2, 3), 1)
        runs[0].cancel()

    runs.append(learn(corrected, Recorder("write", paintAndCancel)))
    with pytest.raises(CancelledError):
        finish(runs[0])
    assert (segmentArrays(corrected, scan)["Anterior"][2] == 1).all()


def test_without_a_remembered_answer_the_model_is_asked_again(
    segmentation: Any, scan: Any, learn: Any, finish: Finish
) -> None:
    paint(segmentation, "Posterior", scan, CORRECTED, 0)
    forgetAnswer(segmentation)
    assert reason(segmentation, scan) == ""
    before = copies(segmentation, scan)
    finish(learn(segmentation))
    after = segmentArrays(segmentation, scan)
    np.testing.assert_array_equal(after["Posterior"][CORRECTED], before["Posterior"][CORRECTED])
    assert answerOf(segmentation) is not None
    assert "Nothing is corrected yet" in reason(segmentation, scan)


def test_where_nothing_differs_it_says_so(segmentation: Any, learn: Any, finish: Finish) -> None:
    forgetAnswer(segmentation)
    with pytest.raises(InputError, match="Nothing was corrected"):
        finish(learn(segmentation))


def test_cancelling_changes_nothing(corrected: Any, scan: Any, learn: Any, finish: Finish) -> None:
    before = copies(corrected, scan)
    runs: list[CorrectionRun] = []
    runs.append(learn(corrected, Recorder("adapt", lambda: runs[0].cancel()), seconds=600))
    with pytest.raises(CancelledError):
        finish(runs[0])
    assert runs[0].state == "cancelled"
    assertSame(corrected, scan, before)
    assert reason(corrected, scan) == ""


def test_cancelling_while_it_is_written_takes_it_back(
    corrected: Any, scan: Any, learn: Any, finish: Finish
) -> None:
    before = copies(corrected, scan)
    runs: list[CorrectionRun] = []
    runs.append(learn(corrected, Recorder("write", lambda: runs[0].cancel())))
    with pytest.raises(CancelledError):
        finish(runs[0])
    assertSame(corrected, scan, before)


def test_a_worker_that_does_not_answer_is_left(
    corrected: Any, scan: Any, root: Path, tmp_path: Path, finish: Finish
) -> None:
    deaf = scriptWorker(tmp_path, DEAF)
    request = correctionRequest(corrected, [scan], [CARD])
    assert request is not None
    runs: list[CorrectionRun] = []
    runs.append(CorrectionRun(deaf, request, Recorder("segment", lambda: runs[0].cancel()), root))
    try:
        with pytest.raises(MedContextError):
            finish(runs[0])
    finally:
        deaf.kill()


def test_a_segmentation_that_is_deleted_meanwhile_ends_it(corrected: Any, learn: Any, finish: Finish) -> None:
    recorder = Recorder("segment", lambda: slicer.mrmlScene.RemoveNode(corrected))
    with pytest.raises(InputError, match="deleted"):
        finish(learn(corrected, recorder))


# Whether it can begin


def test_there_is_a_reason_for_each_thing_that_is_missing(segmentation: Any, scan: Any, screen: Any) -> None:
    assert "Segment the image first" in reason(None, scan)
    assert "No model made these segments" in reason(screen[1], scan)
    assert "'hippocampus@1.0.0', which made this" in correctionReason(segmentation, [scan], [])
    forgetAnswer(segmentation)
    assert "Choose above the volumes" in reason(segmentation, None)
    assert reason(segmentation, scan) == ""


def test_it_is_not_offered_where_it_did_not_help(
    corrected: Any, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correction_facts, "FACTS", (replace(fact(), helps=False),))
    assert "did not help models like" in reason(corrected, scan)
    assert correctionRequest(corrected, [scan], [CARD]) is None


def test_the_volumes_that_were_segmented_are_taken_whatever_is_chosen_now(corrected: Any, scan: Any) -> None:
    other = loadSample("another scan")
    request = correctionRequest(corrected, [other], [CARD])
    assert request is not None
    assert request.volumes == (scan,)
