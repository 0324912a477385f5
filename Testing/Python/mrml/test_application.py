"""What the other MRML tests stand on: the started scene behaves as Slicer's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer


def test_volume_gets_a_hierarchy_item_and_loses_it(scene: Any) -> None:
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.int16))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(volume)
    assert hierarchy.GetItemName(item) == volume.GetName()
    scene.RemoveNode(volume)
    assert hierarchy.GetItemDataNode(item) is None


def test_segment_written_and_read_back_by_the_module_logics() -> None:
    volume = slicer.util.addVolumeFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("one")
    mask = (slicer.util.arrayFromVolume(volume) > 50).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume), mask)


def test_files_come_back_equal(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = slicer.util.addVolumeFromArray(array, name="scan")
    for name in ("scan.nii.gz", "scan.nrrd"):
        assert slicer.util.exportNode(volume, str(tmp_path / name), {})
        loaded = slicer.util.loadVolume(str(tmp_path / name), {})
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), array)


def test_scene_bundle_comes_back(tmp_path: Path) -> None:
    slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.int16), name="Schädel")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    assert slicer.util.arrayFromVolume(slicer.util.getNode("Schädel")).shape == (2, 3, 4)


def test_terminology_is_found_by_name() -> None:
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.modules.terminologies.logic()
    context = "Segmentation category and type - 3D Slicer General Anatomy list"
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(context, "left kidney", entry)
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Left"


def test_scene_is_empty_at_the_start_of_a_test(scene: Any) -> None:
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
