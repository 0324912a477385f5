"""Learn from this correction in the panel: real strokes, a real worker, a look at the result, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

CORRECTED = 10
"""The slice that is corrected."""
MISSED = slice(14, 18)
"""Slices in which the model found nothing, as these tests have it; it finds something there when it looks again."""

Stroke = Callable[..., None]


@pytest.fixture
def panel(working_panel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel, in which learning takes a step or so."""
    from medcontext import correction_facts

    fact = correction_facts.CorrectionFact("bundled", "1 slice", 2, 0.8, 0.9, 0.05, 0.15, True)
    monkeypatch.setattr(correction_facts, "FACTS", (fact,))
    working_panel.learn.correction.seconds = 0.01
    working_panel.learn.correction.control.ignoredSeconds = 0.0
    return working_panel


@pytest.fixture
def ui(panel: Any) -> Any:
    return panel.learn.correction.ui


@pytest.fixture
def stroke(panel: Any, sample: Any) -> Stroke:
    """``stroke(segmentation, name, slices)``: erases in whole slices, as an effect of the editor does it."""

    def erase(segmentation: Any, name: str, slices: slice) -> None:
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        from harness.panel import settle

        panel.editor.saveStateForUndo(segmentation)
        matrix = vtk.vtkMatrix4x4()
        sample.GetIJKToRASMatrix(matrix)
        modifier = slicer.vtkOrientedImageData()
        modifier.SetExtent(sample.GetImageData().GetExtent())
        modifier.SetGeometryFromImageToWorldMatrix(matrix)
        modifier.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        scalars = modifier.GetPointData().GetScalars()
        array = vtk_to_numpy(scalars).reshape(modifier.GetDimensions()[::-1])
        array[:] = 0
        array[slices] = 1
        scalars.Modified()
        editor = slicer.vtkSlicerSegmentEditorLogic()
        editor.SetSegmentEditorNode(panel.editor.node)
        segmentId = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        mode = editor.ModificationModeRemove
        editor.ModifySegmentByLabelmap(segmentation, segmentId, modifier, mode, False, True)
        settle()

    return erase


@pytest.fixture
def result(panel: Any, sample: Any, stroke: Stroke) -> Any:
    """An answer of the model that missed some slices."""
    from dataclasses import replace

    from harness.panel import output, runToEnd
    from MedContextSegmentLib.Scene.ModelAnswer import (
        PackedLabels,
        answerOf,
        rememberAnswer,
        segmentsOfModel,
        stampOf,
    )
    from MedContextSegmentLib.Scene.SegmentReading import readSegments
    from MedContextSegmentLib.Scene.VolumeReader import readVolume

    runToEnd(panel)
    node = output(panel)
    for name in ("Anterior", "Posterior"):
        stroke(node, name, MISSED)
    answer = answerOf(node)
    values = segmentsOfModel(node, answer.key)
    labels = PackedLabels(readSegments(node, values, readVolume(sample)).labelmap)
    rememberAnswer(node, replace(answer, labelmap=labels, stamp=stampOf(node, answer.key)))
    panel.update()
    return node


def learn(panel: Any) -> None:
    """Click the button and wait for the end."""
    from harness.panel import waitUntil

    part = panel.learn.correction
    assert part.ui.correctionButton.enabled, part.ui.correctionButton.toolTip
    part.ui.correctionButton.click()
    assert part.control.running, part.ui.correctionStatusLabel.text
    assert part.ui.correctionButton.text == "Cancel"
    assert waitUntil(lambda: not part.control.running)


def voxels(segmentation: Any, volume: Any) -> dict[str, np.ndarray]:
    from harness.panel import segmentArrays

    return {name: array.copy() for name, array in segmentArrays(segmentation, volume).items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return list(one) == list(other) and all((one[name] == other[name]).all() for name in one)


def test_a_stroke_makes_the_button_ready(panel: Any, ui: Any, result: Any, stroke: Stroke) -> None:
    assert not ui.correctionButton.enabled
    assert "Nothing is corrected yet" in ui.correctionStatusLabel.text
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    assert ui.correctionButton.enabled
    assert ui.correctionStatusLabel.text == ""
    assert not ui.correctionPreviewArea.isVisible()
    panel.ui.segmentationSelector.setCurrentNode(None)
    panel.update()
    assert not ui.correctionButton.enabled
    assert "Segment the image first" in ui.correctionButton.toolTip


def test_what_was_learnt_is_shown_and_undone_exactly(
    panel: Any, ui: Any, sample: Any, result: Any, stroke: Stroke
) -> None:
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    before = voxels(result, sample)
    learn(panel)
    after = voxels(result, sample)
    assert any(array[MISSED].any() for array in after.values())
    for name, array in after.items():
        assert (array[CORRECTED] == before[name][CORRECTED]).all()
    assert not ui.correctionPreviewArea.isHidden()
    assert "mL changed" in ui.correctionStatusLabel.text
    assert not ui.correctionButton.enabled
    ui.undoCorrectionButton.click()
    assert same(voxels(result, sample), before)
    assert ui.correctionPreviewArea.isHidden()
    assert ui.correctionButton.enabled


def test_the_undo_of_the_editor_brings_it_back_too(
    panel: Any, sample: Any, result: Any, stroke: Stroke
) -> None:
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    before = voxels(result, sample)
    learn(panel)
    assert not same(voxels(result, sample), before)
    panel.ui.segmentEditorWidget.undo()
    assert same(voxels(result, sample), before)


def test_it_can_be_kept_and_corrected_again(
    panel: Any, ui: Any, sample: Any, result: Any, stroke: Stroke
) -> None:
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    learn(panel)
    after = voxels(result, sample)
    ui.keepCorrectionButton.click()
    assert ui.correctionPreviewArea.isHidden()
    assert same(voxels(result, sample), after)
    assert not ui.correctionButton.enabled
    stroke(result, "Anterior", slice(MISSED.start + 2, MISSED.start + 3))
    learn(panel)
    found = voxels(result, sample)
    assert not found["Anterior"][MISSED.start + 2].any()
    assert (found["Posterior"][CORRECTED] == after["Posterior"][CORRECTED]).all()


def test_it_can_become_a_case(panel: Any, ui: Any, sample: Any, result: Any, stroke: Stroke) -> None:
    asked = []
    panel.learn.context.addCase = lambda: asked.append(True)
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    learn(panel)
    after = voxels(result, sample)
    ui.correctionCaseButton.click()
    assert asked == [True]
    assert same(voxels(result, sample), after)
    assert ui.correctionPreviewArea.isHidden()


def test_a_segment_by_hand_is_left_alone(panel: Any, sample: Any, result: Any, stroke: Stroke) -> None:
    drawn = np.ones(slicer.util.arrayFromVolume(sample).shape, np.uint8)
    segmentId = result.GetSegmentation().AddEmptySegment("", "by hand")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, result, segmentId, sample)
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    learn(panel)
    after = voxels(result, sample)
    assert any(after[name][MISSED].any() for name in ("Anterior", "Posterior"))
    assert after["by hand"].all()


def test_cancelling_changes_nothing(panel: Any, ui: Any, sample: Any, result: Any, stroke: Stroke) -> None:
    from harness.panel import waitUntil

    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    before = voxels(result, sample)
    part = panel.learn.correction
    part.seconds = 600.0
    ui.correctionButton.click()
    assert waitUntil(lambda: "Learning from the correction" in ui.correctionStatusLabel.text)
    ui.correctionButton.click()
    assert waitUntil(lambda: not part.control.running)
    assert same(voxels(result, sample), before)
    assert ui.correctionPreviewArea.isHidden()
    assert ui.correctionButton.enabled


def test_segmenting_comes_first(panel: Any, ui: Any, result: Any, stroke: Stroke) -> None:
    from harness.panel import runToEnd

    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    part = panel.learn.correction
    part.seconds = 600.0
    ui.correctionButton.click()
    assert part.control.running
    runToEnd(panel)
    assert not part.control.running
    assert "Nothing is corrected yet" in ui.correctionButton.toolTip


def test_closing_the_scene_ends_it(panel: Any, ui: Any, result: Any, stroke: Stroke) -> None:
    from harness.panel import waitUntil

    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    part = panel.learn.correction
    part.seconds = 600.0
    ui.correctionButton.click()
    slicer.mrmlScene.Clear(0)
    assert waitUntil(lambda: not part.control.running)
    assert not ui.correctionButton.enabled
    assert ui.correctionPreviewArea.isHidden()


def test_it_is_not_offered_for_models_that_it_did_not_help(
    ui: Any, result: Any, stroke: Stroke, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medcontext import correction_facts

    monkeypatch.setattr(correction_facts, "FACTS", ())
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    assert not ui.correctionButton.enabled
    assert "did not help models like" in ui.correctionStatusLabel.text


@pytest.mark.parametrize("change", ["stroke", "segment", "name"])
def test_what_is_done_on_the_preview_is_never_lost(
    panel: Any, ui: Any, sample: Any, result: Any, stroke: Stroke, change: str
) -> None:
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    learn(panel)
    assert ui.undoCorrectionButton.enabled
    segmentation = result.GetSegmentation()
    if change == "stroke":
        stroke(result, "Anterior", slice(CORRECTED - 3, CORRECTED))
    elif change == "segment":
        segmentation.AddEmptySegment("mine", "Mine")
    else:
        segmentation.GetNthSegment(0).SetName("Head")
    after = voxels(result, sample)
    ui.undoCorrectionButton.click()  # hidden or not
    assert same(voxels(result, sample), after)
    assert ui.correctionPreviewArea.isHidden()
    assert "Undo in the segment editor" in ui.correctionStatusLabel.text


def test_the_undo_of_the_editor_goes_back_behind_a_stroke_on_the_preview(
    panel: Any, ui: Any, sample: Any, result: Any, stroke: Stroke
) -> None:
    stroke(result, "Posterior", slice(CORRECTED, CORRECTED + 1))
    before = voxels(result, sample)
    learn(panel)
    shown = voxels(result, sample)
    stroke(result, "Anterior", slice(CORRECTED - 3, CORRECTED))
    assert ui.correctionPreviewArea.isHidden()
    panel.ui.segmentEditorWidget.undo()
    assert same(voxels(result, sample), shown)
    panel.ui.segmentEditorWidget.undo()
    assert same(voxels(result, sample), before)
