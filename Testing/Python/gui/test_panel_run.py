"""The panel at work: real clicks, a real worker process, the bundled model, a real scan."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture(scope="module")
def worker(app: Any) -> Iterator[Any]:  # noqa: ARG001
    """One worker for the tests of this file, which a panel that goes away leaves alone."""
    from MedContextSegmentLib.WorkerProcess import WorkerProcess

    class KeptWorker(WorkerProcess):
        def close(self) -> None:
            """It is ended after the last test."""

    kept = KeptWorker(environment=slicer.util.startupEnvironment())
    yield kept
    WorkerProcess.close(kept)


@pytest.fixture
def widget(load_module: Callable[[Path], Any], worker: Any) -> Any:
    from harness.panel import MODULE

    found = load_module(MODULE)
    found.logic._worker = worker
    return found


@pytest.fixture
def volume(widget: Any) -> Any:  # noqa: ARG001  (the panel is there before the volume)
    from harness.panel import loadSample

    return loadSample()


def output(widget: Any) -> Any:
    return widget.ui.segmentationSelector.currentNode()


def test_a_click_gives_named_colored_segments_that_agree_with_the_expert(widget: Any, volume: Any) -> None:
    from harness import dialogs
    from harness.panel import dice, manualLabels, runToEnd, segmentArrays

    runToEnd(widget)
    assert dialogs.texts() == []
    arrays, manual = segmentArrays(output(widget), volume), manualLabels()
    assert dice(arrays["Anterior"], manual == 1) > 0.85
    assert dice(arrays["Posterior"], manual == 2) > 0.85
    segment = output(widget).GetSegmentation().GetNthSegment(0)
    assert segment.GetColor() == pytest.approx((230 / 255, 159 / 255, 0))
    assert "2 of 2 labels" in widget.ui.statusLabel.text
    assert widget.ui.segmentEditorWidget.segmentationNode() is output(widget)


@pytest.mark.usefixtures("volume")
def test_the_button_becomes_cancel_and_stops_within_two_seconds(widget: Any) -> None:
    from harness.panel import waitForStage, waitUntil

    widget.settings.certainty = "masked"
    widget.ui.segmentButton.click()
    assert widget.ui.segmentButton.text == "Cancel"
    assert widget.ui.progressBar.visible
    assert not widget.ui.modelSelector.enabled
    waitForStage(widget)
    began = time.monotonic()
    widget.ui.segmentButton.click()
    assert waitUntil(lambda: not widget.control.running, 10)
    assert time.monotonic() - began < 2.5
    assert widget.ui.segmentButton.text == "Segment"
    assert widget.ui.segmentButton.enabled
    assert widget.ui.modelSelector.enabled
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.usefixtures("volume")
def test_a_second_click_is_served_by_the_same_warm_worker(widget: Any) -> None:
    from harness.panel import runToEnd

    results = []
    widget.reviewPanel.showResult = lambda run: results.append(run.result)
    runToEnd(widget)
    pid = widget.logic.worker.hello["pid"]
    first = output(widget)
    runToEnd(widget)
    assert widget.logic.worker.hello["pid"] == pid
    assert results[1].warm
    assert "load model" not in results[1].seconds
    assert output(widget) is first
    assert first.GetSegmentation().GetNumberOfSegments() == 2


def test_undo_brings_back_what_was_there_before(widget: Any, volume: Any) -> None:
    from harness.panel import runToEnd, segmentArrays

    runToEnd(widget)
    node = output(widget)
    segmentId = node.GetSegmentation().GetSegmentIdBySegmentName("Anterior")
    corrected = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume).copy()
    corrected[:10] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(corrected, node, segmentId, volume)
    runToEnd(widget)
    assert segmentArrays(node, volume)["Anterior"].sum() > corrected.sum()
    widget.ui.segmentEditorWidget.undo()
    assert (segmentArrays(node, volume)["Anterior"] == (corrected > 0)).all()


def test_only_the_ticked_labels_are_produced(widget: Any, volume: Any) -> None:
    import qt

    from harness.panel import runToEnd, segmentArrays

    widget.ui.labelsList.item(0).setCheckState(qt.Qt.Unchecked)
    runToEnd(widget)
    assert list(segmentArrays(output(widget), volume)) == ["Posterior"]


def test_nothing_is_segmented_outside_the_roi(widget: Any, volume: Any) -> None:
    from harness.panel import runToEnd, segmentArrays

    roi = newRoi(volume, slice(0, 18))
    widget.ui.regionSelector.setCurrentIndex(1)
    widget.ui.roiSelector.setCurrentNode(roi)
    runToEnd(widget)
    found = np.logical_or.reduce(list(segmentArrays(output(widget), volume).values()))
    assert found[:18].any()
    assert not found[19:].any()


def test_a_region_is_done_again_and_the_rest_stays(widget: Any, volume: Any) -> None:
    from harness.panel import dice, manualLabels, runToEnd, segmentArrays, waitUntil

    runToEnd(widget)
    node = output(widget)
    before = segmentArrays(node, volume)
    for index in range(2):  # spoil it everywhere
        segmentId = node.GetSegmentation().GetNthSegmentID(index)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume).copy()
        array[:, :, ::2] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volume)
    spoilt = segmentArrays(node, volume)
    widget.ui.redoSection.collapsed = False
    widget.ui.redoSourceSelector.setCurrentIndex(0)
    assert not widget.ui.redoButton.enabled
    assert "ROI" in widget.ui.redoStatusLabel.text
    widget.ui.redoRoiSelector.setCurrentNode(newRoi(volume, slice(0, 18)))
    assert widget.ui.redoButton.enabled, widget.ui.redoStatusLabel.text
    widget.ui.redoButton.click()
    assert widget.ui.redoButton.text == "Cancel"
    assert waitUntil(lambda: not widget.control.running)
    after = segmentArrays(node, volume)
    manual = manualLabels()
    for value, name in enumerate(("Anterior", "Posterior"), 1):
        assert (after[name][19:] == spoilt[name][19:]).all()
        if (manual[:17] == value).sum() > 50:
            assert dice(after[name][:17], manual[:17] == value) > dice(
                spoilt[name][:17], manual[:17] == value
            )
    widget.ui.segmentEditorWidget.undo()
    assert (segmentArrays(node, volume)["Anterior"] == spoilt["Anterior"]).all()
    assert before.keys() == after.keys()


def test_certainty_is_shown_hidden_and_leads_to_the_least_sure_slice(widget: Any, volume: Any) -> None:
    from harness.panel import runToEnd

    assert not widget.ui.certaintyButton.enabled
    widget.settings.certainty = "entropy"
    runToEnd(widget)
    from MedContextSegmentLib.Certainty import isCertaintyShown

    overlay = widget.reviewPanel.certaintyNode
    assert widget.ui.certaintyButton.checked
    assert isCertaintyShown(overlay)
    widget.ui.certaintyButton.click()
    assert not isCertaintyShown(overlay)
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    before = red.GetSliceOffset()
    widget.ui.leastSureButton.click()
    assert red.GetSliceOffset() != before
    assert isCertaintyShown(overlay)
    assert widget.segmentPanel.channels.nodes() == [volume]


def test_volumes_are_listed_in_ml(widget: Any, volume: Any) -> None:
    from harness.panel import runToEnd, segmentArrays

    runToEnd(widget)
    widget.ui.volumesSection.collapsed = False
    table = widget.ui.volumesTable
    shown = {table.item(row, 0).text(): float(table.item(row, 1).text()) for row in range(table.rowCount)}
    voxel = float(np.prod(volume.GetSpacing())) / 1000
    wanted = {name: array.sum() * voxel for name, array in segmentArrays(output(widget), volume).items()}
    assert shown == pytest.approx(wanted, abs=0.006)


@pytest.mark.usefixtures("volume")
def test_the_scene_is_closed_during_a_run(widget: Any) -> None:
    from harness import dialogs
    from harness.panel import loadSample, runToEnd, settle, waitForStage, waitUntil

    widget.settings.certainty = "masked"
    widget.ui.segmentButton.click()
    waitForStage(widget)
    slicer.mrmlScene.Clear(0)
    assert waitUntil(lambda: not widget.control.running, 10)
    settle()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert dialogs.texts("error") == []
    assert not widget.ui.segmentButton.enabled
    widget.settings.certainty = "none"
    loadSample()
    runToEnd(widget)
    assert output(widget) is not None


def test_a_volume_deleted_during_a_run_ends_it_with_one_sentence(widget: Any, volume: Any) -> None:
    from harness import dialogs
    from harness.panel import waitForStage, waitUntil

    widget.settings.certainty = "masked"
    widget.ui.segmentButton.click()
    waitForStage(widget)
    slicer.mrmlScene.RemoveNode(volume)
    assert waitUntil(lambda: not widget.control.running, 10)
    assert len(dialogs.texts("error")) == 1
    assert "deleted" in dialogs.texts("error")[0]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_volume_renamed_during_a_run_does_not_matter(widget: Any, volume: Any) -> None:
    from harness.panel import waitUntil

    widget.ui.segmentButton.click()
    volume.SetName("other name")
    assert waitUntil(lambda: not widget.control.running)
    assert output(widget) is not None


@pytest.mark.usefixtures("volume")
def test_a_killed_worker_is_told_of_and_the_next_click_starts_another(widget: Any) -> None:
    from harness import dialogs
    from harness.panel import runToEnd, waitForStage, waitUntil

    widget.settings.certainty = "masked"
    widget.settings.lowMemory = True  # else the low-memory plan is offered
    widget.ui.segmentButton.click()
    waitForStage(widget)
    os.kill(widget.logic.worker.hello["pid"], signal.SIGKILL)
    assert waitUntil(lambda: not widget.control.running, 10)
    assert "memory" in dialogs.texts("error")[0]
    widget.settings.certainty = "none"
    runToEnd(widget)
    assert output(widget) is not None


@pytest.mark.usefixtures("volume")
def test_when_memory_runs_out_the_low_memory_plan_is_offered_once(widget: Any) -> None:
    from harness import dialogs
    from harness.panel import waitForStage, waitUntil

    widget.settings.certainty = "masked"
    widget.ui.segmentButton.click()
    waitForStage(widget)
    os.kill(widget.logic.worker.hello["pid"], signal.SIGKILL)
    assert waitUntil(lambda: dialogs.texts("question"), 10)
    assert "low-memory" in dialogs.texts("question")[0]
    assert widget.control.running
    assert widget.settings.lowMemory
    assert waitUntil(lambda: not widget.control.running)
    assert output(widget) is not None


@pytest.mark.usefixtures("volume")
def test_a_model_removed_while_it_is_chosen(widget: Any) -> None:
    """The click finds it gone: the panel takes what is there, or says that nothing is."""
    widget.segmentPanel.models._models = list
    widget.ui.segmentButton.click()
    assert not widget.control.running
    assert "model" in widget.ui.statusLabel.text


@pytest.mark.usefixtures("volume")
def test_leaving_the_module_does_not_stop_a_run(widget: Any) -> None:
    from harness.panel import waitUntil

    widget.ui.segmentButton.click()
    widget.exit()
    assert waitUntil(lambda: not widget.control.running)
    widget.enter()
    assert output(widget) is not None


def test_all_frames_of_a_sequence(widget: Any, volume: Any) -> None:
    from harness.panel import runToEnd, settle

    proxy = sequenceOf(volume, 2)
    settle()
    widget.segmentPanel.channels.selectors[0].setCurrentNode(proxy)
    assert widget.ui.allFramesCheckBox.visible
    assert "2" in widget.ui.allFramesCheckBox.text
    widget.ui.allFramesCheckBox.checked = True
    runToEnd(widget)
    from MedContextSegmentLib.Sequences import frameCount

    assert frameCount(output(widget)) == 2


@pytest.mark.usefixtures("widget")
def test_the_sample_test_for_use_inside_slicer_passes_here() -> None:
    import MedContextSegment

    MedContextSegment.MedContextSegmentTest().runTest()


def newRoi(volume: Any, slices: slice) -> Any:
    """An ROI around those slices of the volume."""
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    origin, spacing = volume.GetOrigin()[2], volume.GetSpacing()[2]
    low, high = origin + (slices.start - 0.5) * spacing, origin + (slices.stop - 0.5) * spacing
    roi.SetCenterWorld((bounds[0] + bounds[1]) / 2, (bounds[2] + bounds[3]) / 2, (low + high) / 2)
    roi.SetSizeWorld(bounds[1] - bounds[0], bounds[3] - bounds[2], high - low)
    return roi


def sequenceOf(volume: Any, frames: int) -> Any:
    """The proxy node of a sequence of copies of the volume."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    for index in range(frames):
        sequence.SetDataNodeAtValue(volume, str(index))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateAllProxyNodes()
    return browser.GetProxyNode(sequence)
