"""The panel at work: real clicks, a real worker process, the bundled model, a real scan."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def panel(working_panel: Any) -> Any:
    return working_panel


def test_a_click_gives_named_colored_segments_that_agree_with_the_expert(panel: Any, sample: Any) -> None:
    from harness import dialogs
    from harness.panel import dice, manualLabels, output, runToEnd, segmentArrays

    runToEnd(panel)
    assert dialogs.texts() == []
    arrays, manual = segmentArrays(output(panel), sample), manualLabels()
    assert dice(arrays["Anterior"], manual == 1) > 0.85
    assert dice(arrays["Posterior"], manual == 2) > 0.85
    segment = output(panel).GetSegmentation().GetNthSegment(0)
    assert segment.GetColor() == pytest.approx((230 / 255, 159 / 255, 0))
    assert "2 of 2 labels" in panel.ui.statusLabel.text
    assert panel.ui.segmentEditorWidget.segmentationNode() is output(panel)


@pytest.mark.usefixtures("sample")
def test_the_button_becomes_cancel_and_stops_within_two_seconds(
    panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.panel import waitForStage, waitUntil
    from MedContextSegmentLib.Worker.WorkerProcess import KILL_SECONDS

    monkeypatch.setattr(panel.logic.worker, "_killAfter", KILL_SECONDS)
    panel.settings.certainty = "masked"
    panel.ui.segmentButton.click()
    assert panel.ui.segmentButton.text == "Cancel"
    assert panel.ui.progressBar.visible
    assert not panel.ui.modelSelector.enabled
    waitForStage(panel)
    began = time.monotonic()
    panel.ui.segmentButton.click()
    assert waitUntil(lambda: not panel.control.running, 10)
    assert time.monotonic() - began < 2.5
    assert panel.ui.segmentButton.text == "Segment"
    assert panel.ui.segmentButton.enabled
    assert panel.ui.modelSelector.enabled
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.usefixtures("sample")
def test_a_second_click_is_served_by_the_same_warm_worker(panel: Any) -> None:
    from harness.panel import output, runToEnd

    results = []
    panel.reviewPanel.showResult = lambda run: results.append(run.result)
    runToEnd(panel)
    pid = panel.logic.worker.hello["pid"]
    first = output(panel)
    runToEnd(panel)
    assert panel.logic.worker.hello["pid"] == pid
    assert results[1].warm
    assert "load model" not in results[1].seconds
    assert output(panel) is first
    assert first.GetSegmentation().GetNumberOfSegments() == 2


def test_only_the_ticked_labels_are_produced(panel: Any, sample: Any) -> None:
    import qt

    from harness.panel import output, runToEnd, segmentArrays

    panel.ui.labelsList.item(0).setCheckState(qt.Qt.Unchecked)
    runToEnd(panel)
    assert list(segmentArrays(output(panel), sample)) == ["Posterior"]


def test_nothing_is_segmented_outside_the_roi(panel: Any, sample: Any) -> None:
    from harness.panel import newRoi, output, runToEnd, segmentArrays

    roi = newRoi(sample, slice(0, 18))
    panel.ui.regionSelector.setCurrentIndex(1)
    panel.ui.roiSelector.setCurrentNode(roi)
    runToEnd(panel)
    found = np.logical_or.reduce(list(segmentArrays(output(panel), sample).values()))
    assert found[:18].any()
    assert not found[19:].any()


@pytest.mark.usefixtures("sample")
def test_the_scene_is_closed_during_a_run(panel: Any) -> None:
    from harness import dialogs
    from harness.panel import loadSample, output, runToEnd, settle, waitForStage, waitUntil

    panel.settings.certainty = "masked"
    panel.ui.segmentButton.click()
    waitForStage(panel)
    slicer.mrmlScene.Clear(0)
    assert waitUntil(lambda: not panel.control.running)
    settle()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert dialogs.texts("error") == []
    assert not panel.ui.segmentButton.enabled
    panel.settings.certainty = "none"
    loadSample()
    runToEnd(panel)
    assert output(panel) is not None


def test_a_volume_deleted_during_a_run_ends_it_with_one_sentence(panel: Any, sample: Any) -> None:
    from harness import dialogs
    from harness.panel import waitForStage, waitUntil

    panel.settings.certainty = "masked"
    panel.ui.segmentButton.click()
    waitForStage(panel)
    slicer.mrmlScene.RemoveNode(sample)
    assert waitUntil(lambda: not panel.control.running)
    assert len(dialogs.texts("error")) == 1
    assert "deleted" in dialogs.texts("error")[0]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_volume_renamed_during_a_run_does_not_matter(panel: Any, sample: Any) -> None:
    from harness.panel import output, waitUntil

    panel.ui.segmentButton.click()
    sample.SetName("other name")
    assert waitUntil(lambda: not panel.control.running)
    assert output(panel) is not None


@pytest.mark.usefixtures("sample")
def test_a_killed_worker_is_told_of_and_the_next_click_starts_another(panel: Any) -> None:
    from harness import dialogs
    from harness.panel import output, runToEnd, waitForStage, waitUntil

    panel.settings.certainty = "masked"
    panel.settings.lowMemory = True  # else the low-memory plan is offered
    panel.ui.segmentButton.click()
    waitForStage(panel)
    os.kill(panel.logic.worker.hello["pid"], signal.SIGKILL)
    assert waitUntil(lambda: not panel.control.running, 10)
    assert "memory" in dialogs.texts("error")[0]
    panel.settings.certainty = "none"
    runToEnd(panel)
    assert output(panel) is not None


@pytest.mark.usefixtures("sample")
def test_when_memory_runs_out_the_low_memory_plan_is_offered_once(panel: Any) -> None:
    from harness import dialogs
    from harness.panel import output, waitForStage, waitUntil

    panel.settings.certainty = "masked"
    panel.ui.segmentButton.click()
    waitForStage(panel)
    os.kill(panel.logic.worker.hello["pid"], signal.SIGKILL)
    assert waitUntil(lambda: dialogs.texts("question"), 10)
    assert "low-memory" in dialogs.texts("question")[0]
    assert panel.control.running
    assert panel.settings.lowMemory
    assert waitUntil(lambda: not panel.control.running)
    assert output(panel) is not None


@pytest.mark.usefixtures("sample")
def test_a_model_removed_while_it_is_chosen(panel: Any) -> None:
    """The click finds it gone: the panel takes what is there, or says that nothing is."""
    panel.segmentPanel.models._models = list
    panel.ui.segmentButton.click()
    assert not panel.control.running
    assert "model" in panel.ui.statusLabel.text


@pytest.mark.usefixtures("sample")
def test_leaving_the_module_does_not_stop_a_run(panel: Any) -> None:
    from harness.panel import output, waitUntil

    panel.ui.segmentButton.click()
    panel.exit()
    assert waitUntil(lambda: not panel.control.running)
    panel.enter()
    assert output(panel) is not None


def test_all_frames_of_a_sequence(panel: Any, sample: Any) -> None:
    from harness.panel import output, runToEnd, sequenceOf, settle

    proxy = sequenceOf(sample, 2)
    settle()
    panel.segmentPanel.channels.selectors[0].setCurrentNode(proxy)
    assert panel.ui.allFramesCheckBox.visible
    assert "2" in panel.ui.allFramesCheckBox.text
    panel.ui.allFramesCheckBox.checked = True
    runToEnd(panel)
    from MedContextSegmentLib.Scene.Sequences import frameCount

    assert frameCount(output(panel)) == 2


@pytest.mark.usefixtures("panel")
def test_the_sample_test_for_use_inside_slicer_passes_here(
    kept_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import MedContextSegment
    from MedContextSegmentLib.Run import Logic

    monkeypatch.setattr(Logic, "WorkerProcess", lambda **_options: kept_worker)
    MedContextSegment.MedContextSegmentTest().runTest()


def test_nothing_overlaps_after_a_run(panel: Any, sample: Any) -> None:  # noqa: ARG001
    """Rows that came and went during the run leave no row on another, without resizing the panel."""
    from harness.panel import runToEnd, settle

    panel.parent.resize(400, 1500)
    settle()
    runToEnd(panel)
    for section in (panel.ui.segmentSection, panel.ui.reviewSection, panel.ui.inputsArea):
        rows = [
            child.geometry
            for child in section.findChildren("QWidget")
            if child.parent() is section and child.visible
        ]
        for index, row in enumerate(rows):
            assert not any(row.intersects(other) for other in rows[index + 1 :])


def test_a_run_into_the_segmentation_to_stay_inside_does_not_move_the_next_one(
    panel: Any, sample: Any
) -> None:
    from harness.panel import runToEnd, segmentArrays

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "both")
    node.SetReferenceImageGeometryParameterFromVolumeNode(sample)
    masks = np.zeros((2, *slicer.util.arrayFromVolume(sample).shape), np.uint8)
    masks[0, :2], masks[1, 8:] = 1, 1
    for name, mask in zip(("low", "high"), masks, strict=True):
        segmentId = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, sample)
    panel.editor.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    panel.ui.segmentationSelector.setCurrentNode(node)
    panel.ui.regionSelector.setCurrentIndex(2)
    panel.ui.insideSegmentSelector.setCurrentNode(node)
    panel.ui.insideSegmentSelector.setCurrentSegmentID(segmentId)
    for _click in range(2):
        runToEnd(panel)
        arrays = segmentArrays(node, sample)
        found = arrays["Anterior"] | arrays["Posterior"]
        assert found[8:].any()
        assert not found[:8].any()
        assert panel.ui.insideSegmentSelector.currentSegmentID() == segmentId


@pytest.mark.usefixtures("sample")
def test_a_region_brings_no_label_back_that_was_not_wanted(panel: Any, sample: Any) -> None:
    import qt

    from harness.panel import newRoi, output, runToEnd, segmentArrays, waitUntil

    panel.ui.labelsList.item(0).setCheckState(qt.Qt.Unchecked)
    runToEnd(panel)
    panel.ui.redoSection.collapsed = False
    panel.ui.redoRoiSelector.setCurrentNode(newRoi(sample, slice(0, 30)))
    assert panel.ui.redoButton.enabled, panel.ui.redoStatusLabel.text
    panel.ui.redoButton.click()
    assert waitUntil(lambda: not panel.control.running)
    assert list(segmentArrays(output(panel), sample)) == ["Posterior"]
