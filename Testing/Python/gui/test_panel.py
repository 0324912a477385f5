"""The panel before a run: what it offers, what it says, what it keeps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def two_channels() -> list[Any]:
    """A library with the bundled model, one of two channels and three labels, and a broken one."""
    from medcontext.cards import list_cards

    good = next(card for card in list_cards() if card.id == "hippocampus")
    other = dataclasses.replace(
        good,
        id="tumour",
        title="Tumour",
        channels=("T1", "FLAIR"),
        modalities=("MRI", "MRI"),
        labels=("Edema", "Core", "Vessel"),
        label_colors=((1, 2, 3), (4, 5, 6), (7, 8, 9)),
        label_values=(1, 2, 4),
    )
    broken = dataclasses.replace(good, id="broken", title="Broken", problem="Weights are missing: a.")
    return [broken, good, other]


def qt() -> Any:
    import qt

    return qt


def useModels(panel: Any, cards: list[Any]) -> None:
    panel.segmentPanel.models._models = panel.redoPanel._library = lambda: cards
    panel.refresh()


def chooseModel(panel: Any, title: str) -> None:
    from harness.panel import settle

    panel.ui.modelSelector.setCurrentIndex(panel.ui.modelSelector.findText(title))
    settle()


def status(panel: Any) -> str:
    return panel.ui.statusLabel.text


def test_without_a_volume_the_button_is_disabled_and_says_why(panel: Any) -> None:
    assert not panel.ui.segmentButton.enabled
    assert "volume" in status(panel)
    assert panel.ui.segmentButton.toolTip == status(panel)
    assert panel.ui.statusLabel.visible


def test_a_loaded_volume_is_chosen_and_can_be_segmented(panel: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample()
    assert panel.segmentPanel.channels.nodes() == [volume]
    assert panel.ui.segmentButton.enabled
    assert status(panel) == ""


def test_labels_and_card_are_shown_before_a_run(panel: Any) -> None:
    labels = panel.ui.labelsList
    assert [labels.item(row).text() for row in range(labels.count)] == ["Anterior", "Posterior"]
    assert not labels.item(0).icon().isNull()
    for word in ("Anterior", "MRI", "CC-BY-SA", "cases"):
        assert word in panel.ui.modelSelector.toolTip
    assert "CC-BY-SA" in panel.ui.modelSummaryLabel.text


def test_another_model_brings_its_channels_and_labels(panel: Any, two_channels: list[Any]) -> None:
    from harness.panel import loadSample

    flair, t1 = loadSample("FLAIR axial"), loadSample("T1 sagittal")
    useModels(panel, two_channels)
    chooseModel(panel, "Tumour")
    channels = panel.segmentPanel.channels
    assert [selector.visible for selector in channels.selectors] == [True, True]
    assert channels.nodes() == [t1, flair]
    assert panel.ui.labelsList.count == 3
    chooseModel(panel, two_channels[1].title)
    assert len(channels.nodes()) == 1
    assert panel.ui.labelsList.count == 2


def test_one_volume_for_two_channels_is_refused(panel: Any, two_channels: list[Any]) -> None:
    from harness.panel import loadSample

    volume = loadSample("T1")
    useModels(panel, two_channels)
    chooseModel(panel, "Tumour")
    assert not panel.ui.segmentButton.enabled
    assert "FLAIR" in status(panel)
    panel.segmentPanel.channels.selectors[1].setCurrentNode(volume)
    assert "several channels" in status(panel)


def test_a_broken_model_is_listed_but_cannot_be_chosen(panel: Any, two_channels: list[Any]) -> None:
    useModels(panel, two_channels)
    combo = panel.ui.modelSelector
    index = next(number for number in range(combo.count) if "Broken" in combo.itemText(number))
    assert not combo.model().item(index).isEnabled()
    assert "Weights are missing" in combo.itemData(index, qt().Qt.ToolTipRole)
    assert panel.segmentPanel.models.card.id == "hippocampus"


def test_without_any_model_the_panel_says_so(panel: Any) -> None:
    from harness.panel import loadSample

    loadSample()
    useModels(panel, [])
    assert not panel.ui.segmentButton.enabled
    assert "model" in status(panel)


def test_at_least_one_label_is_needed(panel: Any) -> None:
    from harness.panel import loadSample

    loadSample()
    panel.ui.noLabelsButton.click()
    assert not panel.ui.segmentButton.enabled
    assert "label" in status(panel)
    panel.ui.allLabelsButton.click()
    assert panel.ui.segmentButton.enabled


@pytest.mark.parametrize(("index", "word"), [(1, "ROI"), (2, "segment")])
def test_a_chosen_kind_of_region_must_be_given(panel: Any, index: int, word: str) -> None:
    from harness.panel import loadSample

    loadSample()
    panel.ui.regionSelector.setCurrentIndex(index)
    assert not panel.ui.segmentButton.enabled
    assert word in status(panel)
    assert panel.ui.roiSelector.visible == (index == 1)
    assert panel.ui.insideSegmentSelector.visible == (index == 2)


def test_a_new_roi_lies_around_the_volume(panel: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample()
    panel.ui.regionSelector.setCurrentIndex(1)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    panel.ui.roiSelector.setCurrentNode(roi)
    bounds, wanted = [0.0] * 6, [0.0] * 6
    roi.GetRASBounds(bounds)
    volume.GetRASBounds(wanted)
    assert bounds == pytest.approx(wanted)
    assert panel.ui.segmentButton.enabled


def test_an_image_unlike_the_training_images_is_warned_of_before_the_run(panel: Any) -> None:
    from harness.panel import loadSample, settle

    volume = loadSample()
    assert not panel.ui.warningArea.visible
    volume.SetSpacing(1, 1, 2.5)
    panel.enter()
    settle()
    assert panel.ui.warningArea.visible
    assert "spacing" in panel.ui.warningLabel.text
    assert panel.ui.segmentButton.enabled


def test_a_color_image_is_refused_in_a_sentence(panel: Any) -> None:
    import numpy as np

    from harness.panel import settle

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 5, 6, 3), np.uint8))
    settle()
    panel.segmentPanel.channels.selectors[0].setCurrentNode(node)
    assert not panel.ui.segmentButton.enabled
    assert "photo" in status(panel)


def test_label_maps_are_not_offered(panel: Any) -> None:
    import numpy as np

    from harness.panel import settle

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 5, 6), np.uint8))
    settle()
    assert panel.segmentPanel.channels.nodes() == [None]


@pytest.mark.parametrize("width", [400, 600])
def test_nothing_is_cut_off_in_a_narrow_panel(panel: Any, width: int) -> None:
    """Every text fits into its panel; the panel does not ask for more width than it gets."""
    from harness.panel import loadSample, settle

    loadSample()
    sections = [
        "advanced",
        "redo",
        "export",
        "volumes",
        "correction",
        "learn",
        "suggest",
        "pretrain",
        "fineTune",
        "explore",
        "batch",
    ]
    for name in sections:
        getattr(panel.ui, f"{name}Section").collapsed = False
    settle()
    panel.parent.resize(width, 3000)
    settle()
    assert panel.parent.width == width
    for kind in ("QLabel", "QPushButton", "QCheckBox", "QToolButton"):
        for child in panel.parent.findChildren(kind):
            if not child.visible or not child.text:
                continue
            wraps = kind == "QLabel" and child.wordWrap
            needed = child.fontMetrics().horizontalAdvance(child.text) if not wraps else 0
            assert needed <= child.width, child.text
            if wraps:
                assert child.heightForWidth(child.width) <= child.height, child.text


def test_a_model_removed_while_chosen_is_replaced_by_what_is_there(
    panel: Any, two_channels: list[Any]
) -> None:
    from harness.panel import loadSample

    loadSample("T1")
    loadSample("FLAIR")
    useModels(panel, two_channels)
    chooseModel(panel, "Tumour")
    useModels(panel, two_channels[:2])
    assert panel.segmentPanel.models.card.id == "hippocampus"


def test_long_paths_do_not_widen_the_panel(panel: Any) -> None:
    from harness.panel import settle
    from MedContextSegmentLib.Panel.QtHelpers import showText

    panel.parent.resize(400, 1500)
    showText(panel.ui.statusLabel, "Written: /home/" + "/".join(["a_rather_long_folder_name"] * 8))
    settle()
    assert panel.parent.width == 400
    label = panel.ui.statusLabel
    assert label.height >= 3 * label.fontMetrics().height()


def test_another_model_is_offered_for_a_region_only_where_there_is_one(
    panel: Any, two_channels: list[Any]
) -> None:
    def forms() -> list[str]:
        combo = panel.ui.redoFormSelector
        return [combo.itemText(index) for index in range(combo.count)]

    assert not any("another model" in form for form in forms())
    useModels(panel, two_channels)  # the other one takes two channels
    assert not any("another model" in form for form in forms())
    useModels(panel, [*two_channels, dataclasses.replace(two_channels[1], id="second", title="Second")])
    assert any("another model" in form for form in forms())
    panel.ui.redoFormSelector.setCurrentIndex(len(forms()) - 1)
    assert panel.ui.redoModelSelector.visible or panel.ui.redoSection.collapsed
    assert [
        panel.ui.redoModelSelector.itemText(index) for index in range(panel.ui.redoModelSelector.count)
    ] == [
        "Broken (cannot be used)",
        "Second",
    ]


def test_an_input_that_was_cleared_stays_empty(panel: Any, two_channels: list[Any]) -> None:
    from harness.panel import loadSample, settle

    first = loadSample("T1 A")
    selector = panel.segmentPanel.channels.selectors[0]
    assert selector.currentNode() is first
    selector.setCurrentNode(None)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    loadSample("T1 B")
    panel.enter()
    settle()
    assert panel.segmentPanel.channels.nodes() == [None]
    useModels(panel, two_channels)
    chooseModel(panel, "Tumour")
    assert panel.segmentPanel.channels.nodes()[0] is not None


def test_the_place_of_a_deleted_volume_is_taken_by_another(panel: Any) -> None:
    from harness.panel import loadSample, settle

    first, second = loadSample("T1 A"), loadSample("T1 B")
    panel.segmentPanel.channels.selectors[0].setCurrentNode(first)
    slicer.mrmlScene.RemoveNode(first)
    settle()
    assert panel.segmentPanel.channels.nodes() == [second]


def test_an_output_of_surfaces_disables_the_button_and_says_why(panel: Any) -> None:
    import vtk

    from harness.panel import loadSample

    loadSample()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bones")
    panel.ui.segmentationSelector.setCurrentNode(node)
    assert panel.ui.segmentButton.enabled  # an empty one takes what comes
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "sphere", [1, 0, 0])
    panel.update()
    assert not panel.ui.segmentButton.enabled
    assert "'bones' holds surfaces" in status(panel)


def twoSegments(name: str = "parts") -> tuple[Any, list[str]]:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    return node, [node.GetSegmentation().AddEmptySegment("", part) for part in ("one", "two")]


def stayInside(panel: Any, node: Any, segmentId: str) -> None:
    panel.ui.regionSelector.setCurrentIndex(2)
    panel.ui.insideSegmentSelector.setCurrentNode(node)
    panel.ui.insideSegmentSelector.setCurrentSegmentID(segmentId)


def test_the_segment_to_stay_inside_is_kept_while_segments_come_and_go(panel: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    node, ids = twoSegments()
    stayInside(panel, node, ids[1])
    parts = node.GetSegmentation()
    for change in (
        lambda: parts.AddEmptySegment("", "three"),
        lambda: parts.GetSegment(ids[0]).SetName("renamed"),
        lambda: parts.RemoveSegment(ids[0]),
    ):
        change()
        settle()
        assert panel.segmentPanel.request().insideSegment == (node, ids[1])
        assert panel.ui.insideSegmentSelector.currentSegmentID() == ids[1]
    parts.RemoveSegment(ids[1])  # no other one takes its place
    settle()
    assert panel.ui.insideSegmentSelector.currentSegmentID() == ""
    assert not panel.ui.segmentButton.enabled
    assert "segment to stay inside" in status(panel)


def test_no_segment_and_another_segment_can_be_chosen(panel: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    node, ids = twoSegments()
    stayInside(panel, node, ids[1])
    panel.ui.insideSegmentSelector.setCurrentSegmentID("")
    settle()
    assert not panel.ui.segmentButton.enabled
    node.GetSegmentation().AddEmptySegment("", "three")
    settle()
    assert not panel.ui.segmentButton.enabled
    panel.ui.insideSegmentSelector.setCurrentSegmentID(ids[0])
    settle()
    assert panel.segmentPanel.request().insideSegment == (node, ids[0])
    other, otherIds = twoSegments("others")
    panel.ui.insideSegmentSelector.setCurrentNode(other)
    assert panel.segmentPanel.request().insideSegment == (other, otherIds[0])
