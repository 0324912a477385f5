"""The stand-ins for Slicer's MRML widgets follow the scene, and undo is real."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

SHAPE = (5, 6, 7)


def add_volume(name: str = "scan") -> Any:
    return slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), name=name)


def add_segmentation(volume: Any) -> tuple[Any, list[str]]:
    """A segmentation with a block in the first of two segments."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    ids = [node.GetSegmentation().AddEmptySegment("", name) for name in ("one", "two")]
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 2:4, 2:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, ids[0], volume)
    return node, ids


def voxels(node: Any, segment: str, volume: Any) -> int:
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume).sum())


@pytest.fixture
def combo() -> Any:
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(slicer.mrmlScene)
    return box


def test_node_combo_takes_the_first_node_and_follows_removal(combo: Any) -> None:
    seen: list[Any] = []
    combo.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    first, second = add_volume("a"), add_volume("b")
    assert combo.currentNode() is first or combo.currentNode() is None
    combo.setCurrentNode(first)
    slicer.mrmlScene.RemoveNode(first)
    assert combo.currentNode() is second
    slicer.mrmlScene.Clear(False)
    assert combo.currentNode() is None
    assert combo.nodeCount() == 0
    assert seen[-2:] == [second, None]


def test_node_combo_with_none_stays_empty(combo: Any) -> None:
    combo.noneEnabled = True
    combo.setCurrentNode(None)
    volume = add_volume()
    assert combo.currentNode() is None
    combo.currentNodeID = volume.GetID()
    slicer.mrmlScene.RemoveNode(volume)
    assert combo.currentNodeID == ""


def test_node_combo_leaves_out_label_maps_when_told(combo: Any) -> None:
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert combo.nodeCount() == 1
    combo.showChildNodeTypes = False
    assert combo.nodeCount() == 0


def test_node_combo_filters_by_attribute(combo: Any) -> None:
    volume = add_volume()
    combo.addAttribute("vtkMRMLScalarVolumeNode", "Kind", "x")
    assert combo.nodeCount() == 0
    volume.SetAttribute("Kind", "x")
    combo.setMRMLScene(None)
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.nodeCount() == 1


def test_node_combo_shows_a_new_name(combo: Any) -> None:
    volume = add_volume("before")
    volume.SetName("after")
    inner = combo.findChild("QComboBox")
    assert [inner.itemText(row) for row in range(inner.count)][:1] == ["after"]


def test_editor_undo_restores_segments(app: Any) -> None:
    volume = add_volume()
    node, ids = add_segmentation(volume)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.saveStateForUndo()
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros(SHAPE, np.uint8), node, ids[0], volume)
    node.GetSegmentation().RemoveSegment(ids[1])
    editor.findChild("QPushButton", "UndoButton").click()
    assert voxels(node, ids[0], volume) == 12
    assert list(node.GetSegmentation().GetSegmentIDs()) == ids
    editor.findChild("QPushButton", "RedoButton").click()
    assert list(node.GetSegmentation().GetSegmentIDs()) == ids[:1]
    app.processEvents()


def test_editor_without_its_node_refuses() -> None:
    volume = add_volume()
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    with pytest.raises(RuntimeError, match="setMRMLSegmentEditorNode"):
        editor.setSegmentationNode(add_segmentation(volume)[0])


def test_editor_survives_closing_the_scene() -> None:
    volume = add_volume()
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(add_segmentation(volume)[0])
    slicer.mrmlScene.Clear(False)
    assert editor.segmentationNode() is None
    assert editor.mrmlSegmentEditorNode() is None


def test_effect_is_active_until_it_is_deactivated() -> None:
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect().name == "Paint"
    editor.setActiveEffect(None)
    assert editor.activeEffect() is None


def test_table_follows_the_segmentation() -> None:
    node, ids = add_segmentation(add_volume())
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(slicer.mrmlScene)
    table.setSegmentationNode(node)
    changes: list[Any] = []
    table.connect("selectionChanged(QItemSelection,QItemSelection)", lambda *_: changes.append(1))
    table.setSelectedSegmentIDs([ids[1]])
    assert table.selectedSegmentIDs() == (ids[1],)
    assert changes
    node.GetSegmentation().GetSegment(ids[1]).SetName("renamed")
    assert table.tableWidget().item(1, 3).text() == "renamed"
    assert table.selectedSegmentIDs() == (ids[1],)
    node.GetSegmentation().RemoveSegment(ids[1])
    assert table.segmentCount == 1
    slicer.mrmlScene.RemoveNode(node)
    assert table.segmentCount == 0


def test_show_3d_makes_and_removes_the_surface() -> None:
    node, _ids = add_segmentation(add_volume())
    button = slicer.qMRMLSegmentationShow3DButton()
    assert not button.enabled
    button.setSegmentationNode(node)
    button.click()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    button.click()
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_segment_selector_tells_its_segment() -> None:
    node, ids = add_segmentation(add_volume())
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(slicer.mrmlScene)
    seen: list[str] = []
    selector.connect("currentSegmentChanged(QString)", seen.append)
    selector.setCurrentNode(node)
    selector.setCurrentSegmentID(ids[1])
    assert selector.currentSegmentID() == ids[1]
    assert seen == [ids[1]]
    seen.clear()
    added = node.GetSegmentation().AddEmptySegment("", "third")
    assert seen[:2] == ["", ids[0]]  # as in Slicer, the first one is selected whenever segments come or go
    selector.setCurrentSegmentID(added)
    node.GetSegmentation().RemoveSegment(ids[1])
    assert selector.currentSegmentID() == ids[0]
