"""Scenes and the panel that shows them: saved and opened again, nodes that are removed under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


def reopen(path: Path) -> None:
    """Save the scene and open it again, with the panel shown all the while."""
    from harness.panel import settle

    assert slicer.mrmlScene.WriteToMRB(str(path))
    slicer.mrmlScene.Clear(0)
    settle()
    assert slicer.mrmlScene.ReadFromMRB(str(path), True)
    settle()


def remove(node: Any) -> None:
    from harness.panel import settle

    slicer.mrmlScene.RemoveNode(node)
    settle()


def test_a_saved_scene_brings_its_choices_back(panel: Any, tmp_path: Path) -> None:
    import qt

    from harness.panel import loadSample, newRoi, settle
    from MedContextSegmentLib.Panel.Parameters import parametersOf

    loadSample("T1 A")
    chosen = loadSample("T1 B")
    panel.segmentPanel.channels.selectors[0].setCurrentNode(chosen)
    panel.ui.labelsList.item(1).setCheckState(qt.Qt.Unchecked)
    panel.ui.regionSelector.setCurrentIndex(1)
    panel.ui.roiSelector.setCurrentNode(newRoi(chosen, slice(0, 18)))
    settle()
    reopen(tmp_path / "scene.mrb")
    assert [node.GetName() for node in panel.segmentPanel.channels.nodes()] == ["T1 B"]
    assert panel.segmentPanel.labels.ticked() == ["Anterior"]
    assert panel.ui.regionSelector.currentIndex == 1
    assert panel.ui.roiSelector.currentNode() is not None
    assert panel.ui.segmentButton.enabled, panel.ui.statusLabel.text
    request = panel.segmentPanel.request()
    assert request.volumes[0].GetName() == "T1 B"
    assert request.roi is not None
    kept = parametersOf(panel.logic.getParameterNode())
    assert [node.GetName() for node in kept.channels] == ["T1 B"]
    assert list(kept.unwanted) == ["Posterior"]
    assert kept.region == "roi"
    panel.ui.regionSelector.setCurrentIndex(0)
    assert kept.region == "whole"


def test_a_scene_with_a_result_is_ready_for_review(panel: Any, sample: Any, tmp_path: Path) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    node.SetReferenceImageGeometryParameterFromVolumeNode(sample)
    node.GetSegmentation().AddEmptySegment("", "a")
    panel.ui.segmentationSelector.setCurrentNode(node)
    reopen(tmp_path / "scene.mrb")
    editor = panel.ui.segmentEditorWidget
    assert panel.ui.segmentationSelector.currentNode().GetName() == "result"
    assert editor.segmentationNode() is panel.ui.segmentationSelector.currentNode()
    assert editor.sourceVolumeNode().GetName() == sample.GetName()


def test_the_editor_gets_another_parameter_node_when_its_own_is_removed(panel: Any, sample: Any) -> None:
    editor = panel.ui.segmentEditorWidget
    remove(editor.mrmlSegmentEditorNode())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    panel.ui.segmentationSelector.setCurrentNode(node)
    assert editor.mrmlSegmentEditorNode().GetScene() is slicer.mrmlScene
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is sample


@pytest.mark.parametrize("shown", [True, False], ids=["while shown", "while left"])
def test_choices_go_into_a_new_parameter_node_when_theirs_is_removed(panel: Any, shown: bool) -> None:
    from harness.panel import loadSample

    if not shown:
        panel.exit()
    remove(panel.logic.getParameterNode())
    if not shown:
        panel.enter()
    volume = loadSample()
    panel.ui.regionSelector.setCurrentIndex(1)
    from MedContextSegmentLib.Panel.Parameters import parametersOf

    kept = parametersOf(panel.logic.getParameterNode())
    assert kept.parameterNode.GetScene() is slicer.mrmlScene
    assert list(kept.channels) == [volume]
    assert kept.region == "roi"


def test_a_volume_is_not_kept_in_the_editor_without_a_segmentation(panel: Any, sample: Any) -> None:
    editor = panel.ui.segmentEditorWidget
    panel.ui.segmentationSelector.setCurrentNode(
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    )
    assert editor.sourceVolumeNode() is sample
    panel.ui.segmentationSelector.setCurrentNode(None)
    assert editor.segmentationNode() is None
    assert editor.sourceVolumeNode() is None


def test_only_what_the_panel_shows_makes_it_look_at_the_scene(panel: Any) -> None:
    from harness.panel import settle

    looked: list[bool] = []
    panel.segmentPanel.preselectVolumes = lambda: looked.append(True)
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode"))
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    settle()
    assert looked == []
    for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsROINode"):
        node = slicer.mrmlScene.AddNewNodeByClass(name)
        settle()
        assert looked, name
        looked.clear()
        remove(node)
        assert looked, name
        looked.clear()
