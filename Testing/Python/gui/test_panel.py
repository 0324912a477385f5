"""The panel before a run: what it offers, what it says, what it keeps."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def widget(load_module: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel, entered, with a worker that is not started by looking at it."""
    from harness.panel import MODULE

    found = load_module(MODULE)
    monkeypatch.setattr(found.logic, "warm", lambda _model=None: None)
    return found


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


def useModels(widget: Any, cards: list[Any]) -> None:
    widget.segmentPanel.models._models = widget.redoPanel.models._models = lambda: cards
    widget.segmentPanel.refresh()
    widget.update()


def chooseModel(widget: Any, title: str) -> None:
    from harness.panel import settle

    widget.ui.modelSelector.setCurrentIndex(widget.ui.modelSelector.findText(title))
    settle()


def status(widget: Any) -> str:
    return widget.ui.statusLabel.text


def test_without_a_volume_the_button_is_disabled_and_says_why(widget: Any) -> None:
    assert not widget.ui.segmentButton.enabled
    assert "volume" in status(widget)
    assert widget.ui.segmentButton.toolTip == status(widget)
    assert widget.ui.statusLabel.visible


def test_a_loaded_volume_is_chosen_and_can_be_segmented(widget: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample()
    assert widget.segmentPanel.channels.nodes() == [volume]
    assert widget.ui.segmentButton.enabled
    assert status(widget) == ""


def test_labels_and_card_are_shown_before_a_run(widget: Any) -> None:
    labels = widget.ui.labelsList
    assert [labels.item(row).text() for row in range(labels.count)] == ["Anterior", "Posterior"]
    assert not labels.item(0).icon().isNull()
    for word in ("Anterior", "MRI", "CC-BY-SA", "cases"):
        assert word in widget.ui.modelSelector.toolTip
    assert "CC-BY-SA" in widget.ui.modelSummaryLabel.text


def test_another_model_brings_its_channels_and_labels(widget: Any, two_channels: list[Any]) -> None:
    from harness.panel import loadSample

    flair, t1 = loadSample("FLAIR axial"), loadSample("T1 sagittal")
    useModels(widget, two_channels)
    chooseModel(widget, "Tumour")
    channels = widget.segmentPanel.channels
    assert [selector.visible for selector in channels.selectors] == [True, True]
    assert channels.nodes() == [t1, flair]
    assert widget.ui.labelsList.count == 3
    chooseModel(widget, two_channels[1].title)
    assert len(channels.nodes()) == 1
    assert widget.ui.labelsList.count == 2


def test_one_volume_for_two_channels_is_refused(widget: Any, two_channels: list[Any]) -> None:
    from harness.panel import loadSample

    volume = loadSample("T1")
    useModels(widget, two_channels)
    chooseModel(widget, "Tumour")
    assert not widget.ui.segmentButton.enabled
    assert "FLAIR" in status(widget)
    widget.segmentPanel.channels.selectors[1].setCurrentNode(volume)
    assert "several channels" in status(widget)


def test_a_broken_model_is_listed_but_cannot_be_chosen(widget: Any, two_channels: list[Any]) -> None:
    useModels(widget, two_channels)
    combo = widget.ui.modelSelector
    index = next(number for number in range(combo.count) if "Broken" in combo.itemText(number))
    assert not combo.model().item(index).isEnabled()
    assert "Weights are missing" in combo.itemData(index, qt().Qt.ToolTipRole)
    assert widget.segmentPanel.models.card.id == "hippocampus"


def test_without_any_model_the_panel_says_so(widget: Any) -> None:
    from harness.panel import loadSample

    loadSample()
    useModels(widget, [])
    assert not widget.ui.segmentButton.enabled
    assert "model" in status(widget)


def test_at_least_one_label_is_needed(widget: Any) -> None:
    from harness.panel import loadSample

    loadSample()
    widget.ui.noLabelsButton.click()
    assert not widget.ui.segmentButton.enabled
    assert "label" in status(widget)
    widget.ui.allLabelsButton.click()
    assert widget.ui.segmentButton.enabled


@pytest.mark.parametrize(("index", "word"), [(1, "ROI"), (2, "segment")])
def test_a_chosen_kind_of_region_must_be_given(widget: Any, index: int, word: str) -> None:
    from harness.panel import loadSample

    loadSample()
    widget.ui.regionSelector.setCurrentIndex(index)
    assert not widget.ui.segmentButton.enabled
    assert word in status(widget)
    assert widget.ui.roiSelector.visible == (index == 1)
    assert widget.ui.insideSegmentSelector.visible == (index == 2)


def test_a_new_roi_lies_around_the_volume(widget: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample()
    widget.ui.regionSelector.setCurrentIndex(1)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    widget.ui.roiSelector.setCurrentNode(roi)
    bounds, wanted = [0.0] * 6, [0.0] * 6
    roi.GetRASBounds(bounds)
    volume.GetRASBounds(wanted)
    assert bounds == pytest.approx(wanted)
    assert widget.ui.segmentButton.enabled


def test_an_image_unlike_the_training_images_is_warned_of_before_the_run(widget: Any) -> None:
    from harness.panel import loadSample, settle

    volume = loadSample()
    assert not widget.ui.warningArea.visible
    volume.SetSpacing(1, 1, 2.5)
    widget.enter()
    settle()
    assert widget.ui.warningArea.visible
    assert "spacing" in widget.ui.warningLabel.text
    assert widget.ui.segmentButton.enabled


def test_a_color_image_is_refused_in_a_sentence(widget: Any) -> None:
    import numpy as np

    from harness.panel import settle

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 5, 6, 3), np.uint8))
    settle()
    widget.segmentPanel.channels.selectors[0].setCurrentNode(node)
    assert not widget.ui.segmentButton.enabled
    assert "photo" in status(widget)


def test_label_maps_are_not_offered(widget: Any) -> None:
    import numpy as np

    from harness.panel import settle

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    slicer.util.updateVolumeFromArray(node, np.zeros((4, 5, 6), np.uint8))
    settle()
    assert widget.segmentPanel.channels.nodes() == [None]


def test_a_volume_that_is_removed_leaves_its_selector(widget: Any) -> None:
    from harness.panel import loadSample, settle

    volume = loadSample()
    slicer.mrmlScene.RemoveNode(volume)
    settle()
    assert widget.segmentPanel.channels.nodes() == [None]
    assert not widget.ui.segmentButton.enabled


def test_the_scene_keeps_the_choices(widget: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample("T1")
    widget.ui.labelsList.item(1).setCheckState(qt().Qt.Unchecked)
    widget.ui.regionSelector.setCurrentIndex(1)
    widget.ui.redoMarginSpinBox.value = 7.0
    from MedContextSegmentLib.Parameters import parametersOf

    kept = parametersOf(widget.logic.getParameterNode())
    assert list(kept.channels) == [volume]
    assert kept.model.startswith("hippocampus@")
    assert list(kept.unwanted) == ["Posterior"]
    assert kept.region == "roi"
    assert kept.redoMargin == 7.0


def test_settings_belong_to_the_machine_and_outlive_the_panel(load_module: Callable[[Path], Any]) -> None:
    from harness import slicer_qt
    from harness.panel import MODULE

    first = slicer_qt.enter(slicer_qt.load_module(MODULE))
    first.ui.lowMemoryCheckBox.checked = True
    first.ui.certaintySelector.setCurrentIndex(1)
    slicer_qt.unload(first)
    slicer.mrmlScene.Clear(0)
    second = load_module(MODULE)
    assert second.ui.lowMemoryCheckBox.checked
    assert second.settings.certainty == "entropy"
    assert second.ui.certaintySelector.currentIndex == 1


def test_closing_the_scene_empties_the_panel_and_it_works_again(widget: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    slicer.mrmlScene.Clear(0)
    settle()
    assert widget.segmentPanel.channels.nodes() == [None]
    assert not widget.ui.segmentButton.enabled
    volume = loadSample()
    assert widget.segmentPanel.channels.nodes() == [volume]
    assert widget.ui.segmentButton.enabled


def test_two_panels_show_the_same_choices(widget: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    parent = slicer.modules.medcontextsegment.createNewWidgetRepresentation()
    other = parent.self()
    other.logic.warm = lambda _model=None: None
    try:
        settle()
        assert other.segmentPanel.channels.nodes() == widget.segmentPanel.channels.nodes()
        assert other.ui.segmentButton.enabled
    finally:
        other.cleanup()
        parent.deleteLater()
        settle()
    assert widget.ui.segmentButton.enabled


def test_leaving_deactivates_the_editor(widget: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("", "a")
    widget.ui.segmentationSelector.setCurrentNode(node)
    editor = widget.ui.segmentEditorWidget
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is volume
    editor.setActiveEffectByName("Paint")
    widget.exit()
    assert editor.activeEffect() is None
    widget.enter()
    assert editor.segmentationNode() is node


def test_the_editor_has_a_parameter_node_of_its_own(widget: Any) -> None:
    node = widget.ui.segmentEditorWidget.mrmlSegmentEditorNode()
    assert node.GetSingletonTag() == "MedContextSegment"
    slicer.mrmlScene.Clear(0)
    assert widget.ui.segmentEditorWidget.mrmlSegmentEditorNode().GetScene() is slicer.mrmlScene


def test_the_panel_works_without_a_main_window(app: Any, load_module: Callable[[Path], Any]) -> None:
    from harness.panel import MODULE, loadSample

    app.useMainWindow(False)
    widget = load_module(MODULE)
    widget.logic.warm = lambda _model=None: None
    loadSample()
    widget.exit()
    widget.enter()
    assert widget.ui.segmentButton.enabled


def test_reload_gives_a_fresh_panel_of_fresh_code(widget: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    before = sys.modules["MedContextSegmentLib.Widget"]
    widget.onReload()
    settle()
    fresh = slicer.modules.MedContextSegmentWidget
    fresh.logic.warm = lambda _model=None: None
    assert fresh is not widget
    assert sys.modules["MedContextSegmentLib.Widget"] is not before
    fresh.enter()
    assert fresh.ui.segmentButton.enabled
    fresh.cleanup()


@pytest.mark.parametrize("width", [400, 600])
def test_nothing_is_cut_off_in_a_narrow_panel(widget: Any, width: int) -> None:
    """Every text fits into its widget; the panel does not ask for more width than it gets."""
    from harness.panel import loadSample, settle

    loadSample()
    for name in ("advancedSection", "redoSection", "exportSection", "volumesSection"):
        getattr(widget.ui, name).collapsed = False
    settle()
    widget.parent.resize(width, 2000)
    settle()
    assert widget.parent.width == width
    for kind in ("QLabel", "QPushButton", "QCheckBox", "QToolButton"):
        for child in widget.parent.findChildren(kind):
            if not child.visible or not child.text:
                continue
            wraps = kind == "QLabel" and child.wordWrap
            needed = child.fontMetrics().horizontalAdvance(child.text) if not wraps else 0
            assert needed <= child.width, child.text
            if wraps:
                assert child.heightForWidth(child.width) <= child.height, child.text


def test_install_is_asked_for_before_the_first_run_and_refusing_starts_nothing(widget: Any) -> None:
    from harness.panel import loadSample

    loadSample()
    asked: list[bool] = []

    def refuse() -> bool:
        asked.append(True)
        return False

    widget.actions._install = SimpleNamespace(ensureInstalled=refuse)
    widget.ui.segmentButton.click()
    assert asked == [True]
    assert not widget.control.running


def test_a_model_removed_while_chosen_is_replaced_by_what_is_there(
    widget: Any, two_channels: list[Any]
) -> None:
    from harness.panel import loadSample

    loadSample("T1")
    loadSample("FLAIR")
    useModels(widget, two_channels)
    chooseModel(widget, "Tumour")
    useModels(widget, two_channels[:2])
    assert widget.segmentPanel.models.card.id == "hippocampus"
