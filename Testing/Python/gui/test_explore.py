"""Explore in the panel: regions of the slice that a view shows, the pointer over them, clicks that make segments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

SLICE = 15
"""Of the Green view in these tests, along j."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the worker writes down what it was asked."""
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def proposer(app: Any, folder: Path) -> Iterator[Any]:  # noqa: ARG001
    """One worker process for all tests, which proposes what is bright."""
    from harness.exploring import PROPOSER
    from harness.runs import scriptWorker

    process = scriptWorker(folder, PROPOSER)
    close, process.close = process.close, lambda: None  # not with a panel that goes away
    yield process
    close()


@pytest.fixture
def exploring(panel: Any, proposer: Any) -> Any:
    """The panel with that worker, and the section open."""
    from harness.panel import settle

    panel.logic._worker = proposer
    panel.explore.propose.control.ignoredSeconds = 0.0  # tests click faster than people
    panel.ui.exploreSection.collapsed = False
    settle()
    return panel


@pytest.fixture
def volume(exploring: Any) -> Any:  # noqa: ARG001
    """A real scan, in all views."""
    from harness.exploring import showSample

    return showSample()


@pytest.fixture
def proposed(exploring: Any, volume: Any) -> Any:
    """Regions of a slice of the Green view, which was scrolled last."""
    from harness.exploring import place, propose
    from harness.panel import settle

    node = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceNode()
    node.JumpSliceByOffsetting(*place(volume, 10, SLICE, 10))
    settle()
    return propose(exploring)


@pytest.fixture
def at(volume: Any, proposed: Any) -> Callable[[int], list[float]]:
    """``at(number)``: a place inside that region."""
    from harness.exploring import place

    def find(number: int) -> list[float]:
        k, _j, i = np.argwhere(proposed.proposal.regions == number)[0]
        return place(volume, k, SLICE, i)

    return find


def region(volume: Any, number: int) -> np.ndarray:
    """Where a region lies in the scan."""
    from harness.exploring import bright

    array = slicer.util.arrayFromVolume(volume)
    mask = np.zeros(array.shape, bool)
    mask[:, SLICE] = bright(array[:, SLICE]) == (number == 2)
    return mask


def text(label: Any) -> str:
    return str(label.text).replace("\u200b", "")


def test_without_an_image_the_button_says_why(exploring: Any) -> None:
    from harness.exploring import showSample, status

    ui = exploring.explore.ui
    assert not ui.exploreButton.enabled
    assert status(exploring) == "The view Red shows no image."
    showSample()
    assert ui.exploreButton.enabled
    assert status(exploring) == ""
    ui.exploreWhereSelector.setCurrentIndex(1)
    assert "Choose or create the ROI" in status(exploring)


def test_the_view_that_was_scrolled_last_is_looked_at_unless_another_is_chosen(
    exploring: Any, volume: Any, folder: Path
) -> None:
    from harness.exploring import propose
    from harness.panel import settle

    def axis() -> int:
        propose(exploring)
        return int(json.loads((folder / "asked.json").read_text())["plane"]["axis"])

    ui, layout = exploring.explore.ui, slicer.app.layoutManager()
    assert ui.exploreViewSelector.currentText == "Scrolled last (Red)"
    assert axis() == 0
    yellow = layout.sliceWidget("Yellow").sliceController()
    yellow.setSliceOffsetValue(layout.sliceWidget("Yellow").sliceLogic().GetSliceOffset() + 3)
    settle()
    assert ui.exploreViewSelector.currentText == "Scrolled last (Yellow)"
    assert axis() == 2
    slicer.util.setSliceViewerLayers(background=volume, fit=True)  # moves all views
    settle()
    assert ui.exploreViewSelector.currentText == "Scrolled last (Yellow)"
    ui.exploreViewSelector.setCurrentIndex(ui.exploreViewSelector.findData("Green"))
    assert axis() == 1


def test_regions_are_counted_and_shown(exploring: Any, volume: Any, proposed: Any) -> None:
    from harness.exploring import status

    assert status(exploring) == "2 regions in 2.0 s."
    assert exploring.explore.ui.exploreButton.text == "Propose regions"
    assert exploring.explore.ui.pickArea.visible
    for number in (1, 2):
        name = proposed.node.GetSegmentation().GetNthSegmentID(number - 1)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(proposed.node, name, volume)
        np.testing.assert_array_equal(found > 0, region(volume, number))
    assert exploring.ui.segmentationSelector.currentNode() is None
    assert exploring.ui.segmentationSelector.nodeCount() == 0


def test_the_region_below_the_pointer_is_bright_and_named(
    exploring: Any, proposed: Any, at: Callable[[int], list[float]]
) -> None:
    from harness.exploring import view

    ui, green = exploring.explore.ui, view("Green")
    display, parts = proposed.node.GetDisplayNode(), proposed.node.GetSegmentation()

    def fill(number: int) -> float:
        return float(display.GetSegmentOpacity2DFill(parts.GetNthSegmentID(number - 1)))

    green.point(at(2))
    assert text(ui.hoverLabel) == proposed.describe(2)
    assert fill(2) > fill(1)
    green.point(at(1))
    assert text(ui.hoverLabel) == proposed.describe(1)
    assert fill(1) > fill(2)
    green.leave()
    assert "Move the pointer over a region" in text(ui.hoverLabel)
    assert fill(1) == fill(2)


def test_a_click_makes_a_segment_that_the_panel_works_on(
    exploring: Any, volume: Any, at: Callable[[int], list[float]]
) -> None:
    from harness.exploring import outcome, view
    from harness.panel import output, segmentArrays

    ui, green = exploring.explore.ui, view("Green")
    ui.fillHolesCheckBox.checked = False
    green.click(at(2))
    assert output(exploring) is None  # not in pick mode
    ui.pickButton.click()
    assert ui.pickButton.text == "Stop picking"
    green.click(at(2))
    assert outcome(exploring) == "New segment: Region 2."
    node = output(exploring)
    assert node.GetName() == "T1 MR segmentation"
    (found,) = segmentArrays(node, volume).values()
    np.testing.assert_array_equal(found, region(volume, 2))
    assert exploring.editor.editor.segmentationNode() is node
    green.click(at(2))
    assert "is the segment 'Region 2' already" in outcome(exploring)
    node.GetSegmentation().RemoveAllSegments()  # that takes it back
    green.click(at(2))
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_clicks_add_to_a_segment_and_the_editor_takes_them_back(
    exploring: Any, volume: Any, at: Callable[[int], list[float]]
) -> None:
    from harness.exploring import outcome, view
    from harness.panel import output, segmentArrays

    ui, green = exploring.explore.ui, view("Green")
    ui.fillHolesCheckBox.checked = False
    ui.pickButton.click()
    green.click(at(2))
    node = output(exploring)
    before = segmentArrays(node, volume)["Region 2"].copy()
    node.GetSegmentation().GetNthSegment(0).SetName("Lesion")
    index = ui.pickTargetSelector.findText("A part of 'Lesion'")
    assert index > 0
    ui.pickTargetSelector.setCurrentIndex(index)
    green.click(at(1))
    assert outcome(exploring) == "Region 1 was added to 'Lesion'."
    assert segmentArrays(node, volume)["Lesion"][:, SLICE].all()
    exploring.ui.segmentEditorWidget.undo()
    np.testing.assert_array_equal(segmentArrays(node, volume)["Lesion"], before)


def test_what_was_picked_is_offered_as_an_annotated_slice(
    exploring: Any, volume: Any, at: Callable[[int], list[float]], tmp_path: Path
) -> None:
    from harness.exploring import view
    from harness.panel import waitUntil
    from medcontext.case_list import read_store
    from MedContextSegmentLib.Panel.AddCaseDialog import AddCaseDialog

    (tmp_path / "store").mkdir()
    empty = {
        "name": "mine",
        "modality": {"0": "MR"},
        "labels": {"0": "background"},
        "training": [],
        "test": [],
    }
    (tmp_path / "store" / "dataset.json").write_text(json.dumps(empty))
    exploring.explore.ui.pickButton.click()
    view("Green").click(at(2))
    context = exploring.learn.context
    assert context.volumes() == [volume]
    dialog = AddCaseDialog(read_store(tmp_path / "store"), context.volumes(), context.segmentation())
    assert waitUntil(lambda: not dialog.reading)
    ui = slicer.util.childWidgetVariables(dialog.dialog)
    texts = [str(ui.finishedRegionSelector.currentText), str(ui.finishedSlicesEdit.text)]
    assert texts[1] == str(SLICE), texts
    dialog.dialog.close()


def test_pick_mode_ends(exploring: Any, at: Callable[[int], list[float]]) -> None:
    from harness import slicer_qt
    from harness.exploring import view
    from harness.panel import output

    part, ui = exploring.explore.pick, exploring.explore.ui
    ways = {
        "escape": part._escape.activated.emit,
        "button": ui.pickButton.click,
        "effect": lambda: exploring.editor.editor.setActiveEffectByName("Paint"),
        "section": lambda: setattr(exploring.ui.exploreSection, "collapsed", True),
        "module": lambda: slicer_qt.leave(exploring),
    }
    for way, end in ways.items():
        ui.pickButton.click()
        assert part.picking, way
        end()
        assert not part.picking, way
        assert not ui.pickButton.checked, way
        view("Green").click(at(2))
        assert output(exploring) is None, way


def test_a_click_with_shift_or_beside_the_regions_makes_nothing(
    exploring: Any, volume: Any, at: Callable[[int], list[float]]
) -> None:
    from harness.exploring import outcome, place, view
    from harness.panel import output

    exploring.explore.ui.pickButton.click()
    green = view("Green")
    green.click(at(2), shift=True)  # moves the view in Slicer
    assert output(exploring) is None
    red = view("Red")
    red.click(place(volume, 10, SLICE + 5, 10))
    assert outcome(exploring) == "There is no proposed region."
    assert output(exploring) is None


def test_discarding_takes_them_away_and_leaves_segments(
    exploring: Any, at: Callable[[int], list[float]]
) -> None:
    from harness.exploring import view
    from harness.panel import output

    ui = exploring.explore.ui
    ui.pickButton.click()
    view("Green").click(at(2))
    ui.discardButton.click()
    assert exploring.explore.pick.proposed is None
    assert not ui.pickArea.visible
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [output(exploring)]
    view("Green").click(at(1))
    assert output(exploring).GetSegmentation().GetNumberOfSegments() == 1


@pytest.mark.parametrize("end", ["scene", "volume", "again"])
def test_old_regions_do_not_stay(exploring: Any, volume: Any, proposed: Any, end: str) -> None:
    from harness.exploring import propose
    from harness.panel import settle

    if end == "scene":
        slicer.mrmlScene.Clear(0)
    elif end == "volume":
        slicer.mrmlScene.RemoveNode(volume)
    else:
        propose(exploring)
    settle()
    assert proposed.node.GetScene() is None
    assert exploring.explore.ui.pickArea.visible == (end == "again")


def test_a_new_roi_lies_around_the_middle_of_the_view(exploring: Any, volume: Any, folder: Path) -> None:
    from harness.exploring import propose

    ui = exploring.explore.ui
    ui.exploreWhereSelector.setCurrentIndex(1)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    ui.exploreRoiSelector.setCurrentNode(roi)
    regions = propose(exploring).proposal.regions
    assert regions.shape == slicer.util.arrayFromVolume(volume).shape  # smaller than a new ROI along all axes
    assert json.loads((folder / "asked.json").read_text())["plane"] is None


def test_the_kinds_to_tell_apart_are_asked_for(exploring: Any, volume: Any, folder: Path) -> None:  # noqa: ARG001
    from harness.exploring import propose

    def clusters() -> Any:
        propose(exploring)
        return json.loads((folder / "asked.json").read_text())["clusters"]

    kinds = exploring.explore.ui.exploreKindsSpinBox
    assert kinds.text == "Automatic"
    assert clusters() is None
    kinds.stepUp()
    assert clusters() == 2
    kinds.value = 12
    assert clusters() == 12
    kinds.value = kinds.minimum
    assert clusters() is None


def test_of_an_image_that_is_not_divided_the_panel_says_what_helps(exploring: Any, volume: Any) -> None:
    from harness.exploring import propose, status

    slicer.util.updateVolumeFromArray(volume, np.full_like(slicer.util.arrayFromVolume(volume), 7))
    propose(exploring)
    assert status(exploring) == "The image was not divided: all of it is one region. Choose more kinds."
    exploring.explore.ui.exploreKindsSpinBox.stepUp()
    assert status(exploring) == ""


@pytest.fixture
def deaf(exploring: Any, volume: Any, tmp_path: Path) -> Any:  # noqa: ARG001
    """The panel with a worker that never answers and does not listen."""
    from harness.runs import DEAF, scriptWorker

    script = DEAF.replace(
        '"stage": "segment", "value": 0.1', '"stage": "propose", "value": 0.2, "step": 7, "total": 50'
    )
    exploring.logic._worker = scriptWorker(tmp_path, script)
    return exploring


def test_iterations_are_counted_and_cancel_works_on_a_worker_that_hangs(deaf: Any) -> None:
    from harness.exploring import status
    from harness.panel import waitUntil

    ui, part = deaf.explore.ui, deaf.explore.propose
    ui.exploreButton.click()
    assert ui.exploreButton.text == "Cancel"
    assert waitUntil(lambda: "iteration 7 of at most 50" in status(deaf)), status(deaf)
    assert not ui.exploreMethodSelector.enabled
    assert not ui.exploreKindsSpinBox.enabled
    ui.exploreButton.click()
    assert status(deaf) == "Stopping..."
    assert waitUntil(lambda: not part.control.running, 10)
    assert status(deaf) == "Stopped on request."
    assert ui.exploreButton.enabled
    assert ui.exploreKindsSpinBox.enabled
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_it_gives_way_to_a_segmentation(deaf: Any) -> None:
    from harness.panel import waitUntil

    part, deaf.control.ignoredSeconds = deaf.explore.propose, 0.0
    deaf.explore.ui.exploreButton.click()
    assert waitUntil(lambda: part._run.iteration is not None)
    deaf.ui.segmentButton.click()
    assert deaf.control.running
    assert part._run is None or part._run._stop is not None
    deaf.ui.segmentButton.click()
    assert waitUntil(lambda: not deaf.control.running)
    deaf.logic.worker.kill()
    assert waitUntil(lambda: not part.control.running)


def test_a_picture_in_color_is_picked_from_without_touching_the_chosen_scan(
    exploring: Any, volume: Any
) -> None:
    from harness.exploring import propose, view
    from harness.panel import output, settle

    colors = np.random.default_rng(0).integers(0, 255, (1, 40, 50, 3)).astype(np.uint8)
    picture = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "picture")
    slicer.util.updateVolumeFromArray(picture, colors)
    slicer.util.setSliceViewerLayers(background=picture, fit=True)
    settle()
    proposed = propose(exploring)
    assert len(proposed.proposal.facts[2].means) == 3
    exploring.explore.ui.pickButton.click()
    _k, j, i = np.argwhere(proposed.proposal.regions == 2)[0]
    view("Red").click([float(i), float(j), 0.0])
    assert output(exploring).GetName() == "picture segmentation"
    assert exploring.learn.context.volume() is volume
