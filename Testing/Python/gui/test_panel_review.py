"""Review in the panel: undo, redo of a region, certainty, volumes, export; after real runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def panel(working_panel: Any) -> Any:
    return working_panel


def useSmallWindow(panel: Any) -> None:
    """Let the card say that the model looks through windows, so that finer ones are offered."""
    from medcontext.cards import list_cards

    card = next(card for card in list_cards() if card.id == "hippocampus")
    cards = [dataclasses.replace(card, window=(24.0, 32.0, 24.0))]
    panel.segmentPanel.models._models = panel.redoPanel._library = lambda: cards
    panel.refresh()


def test_undo_brings_back_what_was_there_before(panel: Any, sample: Any) -> None:
    from harness.panel import output, runToEnd, segmentArrays

    runToEnd(panel)
    node = output(panel)
    segmentId = node.GetSegmentation().GetSegmentIdBySegmentName("Anterior")
    corrected = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, sample).copy()
    corrected[:10] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(corrected, node, segmentId, sample)
    runToEnd(panel)
    assert segmentArrays(node, sample)["Anterior"].sum() > corrected.sum()
    panel.ui.segmentEditorWidget.undo()
    assert (segmentArrays(node, sample)["Anterior"] == (corrected > 0)).all()


def test_a_region_is_done_again_and_the_rest_stays(panel: Any, sample: Any) -> None:
    from harness.panel import dice, manualLabels, newRoi, output, runToEnd, segmentArrays, waitUntil

    useSmallWindow(panel)
    runToEnd(panel)
    node = output(panel)
    before = segmentArrays(node, sample)
    for index in range(2):  # spoil it everywhere
        segmentId = node.GetSegmentation().GetNthSegmentID(index)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, sample).copy()
        array[:, :, ::2] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, sample)
    spoilt = segmentArrays(node, sample)
    panel.ui.redoSection.collapsed = False
    panel.ui.redoSourceSelector.setCurrentIndex(0)
    assert not panel.ui.redoButton.enabled
    assert "ROI" in panel.ui.redoStatusLabel.text
    panel.ui.redoRoiSelector.setCurrentNode(newRoi(sample, slice(0, 18)))
    assert panel.ui.redoButton.enabled, panel.ui.redoStatusLabel.text
    panel.ui.redoButton.click()
    assert panel.ui.redoButton.text == "Cancel"
    assert waitUntil(lambda: not panel.control.running)
    after = segmentArrays(node, sample)
    manual = manualLabels()
    for value, name in enumerate(("Anterior", "Posterior"), 1):
        assert (after[name][19:] == spoilt[name][19:]).all()
        if (manual[:17] == value).sum() > 50:
            assert dice(after[name][:17], manual[:17] == value) > dice(
                spoilt[name][:17], manual[:17] == value
            )
    panel.ui.segmentEditorWidget.undo()
    assert (segmentArrays(node, sample)["Anterior"] == spoilt["Anterior"]).all()
    assert before.keys() == after.keys()


def test_certainty_is_shown_hidden_and_leads_to_the_least_sure_slice(panel: Any, sample: Any) -> None:
    from harness.panel import runToEnd

    assert not panel.ui.certaintyButton.enabled
    panel.settings.certainty = "entropy"
    runToEnd(panel)
    from MedContextSegmentLib.Scene.Certainty import isCertaintyShown

    overlay = panel.reviewPanel.certaintyNode
    assert panel.ui.certaintyButton.checked
    assert isCertaintyShown(overlay)
    panel.ui.certaintyButton.click()
    assert not isCertaintyShown(overlay)
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    before = red.GetSliceOffset()
    panel.ui.leastSureButton.click()
    assert red.GetSliceOffset() != before
    assert isCertaintyShown(overlay)
    assert panel.segmentPanel.channels.nodes() == [sample]


def test_certainty_is_shown_although_no_view_showed_the_scan(panel: Any, sample: Any) -> None:
    """The editor brings the scan into view, and hides what lies over it, when it gets the segmentation."""
    from harness.panel import loadSample, runToEnd
    from MedContextSegmentLib.Scene.Certainty import isCertaintyShown

    loadSample("other")  # shown instead
    panel.settings.certainty = "entropy"
    runToEnd(panel)
    assert isCertaintyShown(panel.reviewPanel.certaintyNode)
    assert panel.ui.certaintyButton.checked
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert red.GetBackgroundVolumeID() == sample.GetID()


def test_volumes_are_listed_in_ml(panel: Any, sample: Any) -> None:
    from harness.panel import output, runToEnd, segmentArrays

    runToEnd(panel)
    panel.ui.volumesSection.collapsed = False
    table = panel.ui.volumesTable
    shown = {table.item(row, 0).text(): float(table.item(row, 1).text()) for row in range(table.rowCount)}
    voxel = float(np.prod(sample.GetSpacing())) / 1000
    wanted = {name: array.sum() * voxel for name, array in segmentArrays(output(panel), sample).items()}
    assert shown == pytest.approx(wanted, abs=0.006)


def test_the_result_is_exported(panel: Any, sample: Any, tmp_path: Path) -> None:
    from harness import dialogs
    from harness.panel import output, runToEnd, segmentArrays, waitUntil

    panel.ui.exportSection.collapsed = False
    assert not panel.ui.exportButton.enabled
    runToEnd(panel)
    assert panel.ui.exportButton.enabled
    path = tmp_path / "result.seg.nrrd"
    dialogs.answers.append(str(path))
    panel.ui.exportButton.click()
    assert waitUntil(lambda: "result.seg.nrrd" in panel.ui.exportStatusLabel.text.replace("\u200b", ""))
    loaded = slicer.util.loadSegmentation(str(path), {})
    wanted, found = segmentArrays(output(panel), sample), segmentArrays(loaded, sample)
    assert {name: array.sum() for name, array in found.items()} == {
        name: array.sum() for name, array in wanted.items()
    }
