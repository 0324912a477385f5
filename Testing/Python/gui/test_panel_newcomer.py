"""What a person who is new to the panel runs into: nothing happens silently, nothing old is left to read."""

from __future__ import annotations

from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


def chooseVolume(panel: Any, volume: Any) -> None:
    from harness.panel import settle

    panel.segmentPanel.channels.selectors[0].setCurrentNode(volume)
    settle()


@pytest.mark.usefixtures("sample")
def test_a_model_that_was_deleted_is_not_replaced_by_another_one(panel: Any) -> None:
    import dataclasses

    from harness import dialogs
    from harness.panel import settle
    from medcontext.cards import list_cards

    good = next(card for card in list_cards() if card.id == "hippocampus")
    library = [good, dataclasses.replace(good, id="mine", title="Mine")]
    panel.segmentPanel.models._models = lambda: library
    panel.refresh()
    panel.ui.modelSelector.setCurrentIndex(panel.ui.modelSelector.findText("Mine"))
    settle()
    del library[1]
    began: list[Any] = []
    panel.logic.start = lambda *arguments: began.append(arguments)
    panel.ui.segmentButton.click()
    assert not began
    assert not panel.control.running
    text = "The model 'Mine' is no longer in the library. Choose another one."
    assert dialogs.texts() == [text]
    assert panel.ui.statusLabel.text == text


def test_another_scan_gets_a_segmentation_of_its_own(panel: Any, sample: Any) -> None:
    from harness.panel import loadSample, output, settle

    other = loadSample("Other")
    chooseVolume(panel, sample)
    made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "T1 MR segmentation")
    made.SetReferenceImageGeometryParameterFromVolumeNode(sample)
    panel.ui.segmentationSelector.setCurrentNode(made)
    settle()
    chooseVolume(panel, other)
    assert output(panel) is None
    assert panel.segmentPanel.request().segmentation is None
    panel.ui.segmentationSelector.setCurrentNode(made)  # on purpose
    settle()
    assert output(panel) is made
    chooseVolume(panel, sample)
    assert output(panel) is made


def test_what_came_of_the_last_run_is_not_said_of_another_input(panel: Any, sample: Any) -> None:
    from harness.panel import loadSample

    chooseVolume(panel, sample)
    panel.actions.outcome = "2 of 2 labels found."
    panel.update()
    assert panel.ui.statusLabel.text == "2 of 2 labels found."
    chooseVolume(panel, loadSample("Other"))
    assert panel.ui.statusLabel.text == ""


@pytest.mark.usefixtures("sample")
def test_a_double_click_begins_a_run_and_does_not_stop_it(working_panel: Any) -> None:
    from harness.panel import output, waitUntil

    panel = working_panel
    panel.control.ignoredSeconds = 60.0
    panel.ui.segmentButton.click()
    panel.ui.segmentButton.click()
    assert panel.control.running
    assert not panel.control.cancelling
    assert waitUntil(lambda: not panel.control.running)
    assert output(panel) is not None


def test_memory_that_runs_out_on_the_low_memory_plan_is_not_answered_with_that_plan(panel: Any) -> None:  # noqa: ARG001
    from medcontext.errors import InputError
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerEnd
    from MedContextSegmentLib.Worker.WorkerTexts import explainEnd, withoutLowMemoryHint

    killed = explainEnd(WorkerEnd(-9, ""))
    assert "low-memory" in killed.hint
    told = withoutLowMemoryHint(killed)
    assert told.message == killed.message
    assert "low-memory" not in told.hint
    other = InputError("No.", "")
    assert withoutLowMemoryHint(other) is other


def test_a_redo_says_in_its_own_section_that_the_region_was_done_again(
    working_panel: Any, sample: Any
) -> None:
    from harness.panel import newRoi, runToEnd, settle, waitUntil

    panel = working_panel
    runToEnd(panel)
    panel.ui.redoSection.collapsed = False
    panel.ui.redoRoiSelector.setCurrentNode(newRoi(sample, slice(10, 20)))
    settle()
    assert panel.ui.redoButton.enabled, panel.ui.redoStatusLabel.text
    panel.ui.redoButton.click()
    assert waitUntil(lambda: not panel.control.running)
    assert "The region was done again" in panel.ui.redoStatusLabel.text
    assert "labels found" not in panel.ui.statusLabel.text


def test_grey_certainty_buttons_say_what_they_wait_for(panel: Any, sample: Any) -> None:
    from harness.panel import settle

    made = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Made")
    made.SetReferenceImageGeometryParameterFromVolumeNode(sample)
    panel.ui.segmentationSelector.setCurrentNode(made)
    settle()
    for button in (panel.ui.certaintyButton, panel.ui.leastSureButton):
        assert not button.enabled
        assert "Advanced > Certainty" in button.toolTip
    assert "Advanced > Certainty" in panel.ui.reviewStatusLabel.text


def test_an_uncertainty_map_without_its_segmentation_is_not_offered_as_a_scan(
    working_panel: Any, sample: Any
) -> None:
    from harness.panel import output, runToEnd, settle
    from MedContextSegmentLib.Scene.VolumeChoice import candidateVolumes

    working_panel.settings.certainty = "entropy"
    runToEnd(working_panel)
    overlay = working_panel.reviewPanel.certaintyNode
    assert overlay is not None
    slicer.mrmlScene.RemoveNode(output(working_panel))
    settle()
    assert overlay.GetScene() is not None
    assert candidateVolumes() == [sample]
