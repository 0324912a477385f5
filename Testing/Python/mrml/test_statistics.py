"""Volumes of segments in mL: every voxel once, as large as it is in the world."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer

SHAPE = (6, 7, 8)


@pytest.fixture
def node() -> Any:
    """Two segments in one label map, one that overlaps them, one that is empty; voxels of 2 mm3."""
    volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))
    matrix = np.eye(4)
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    matrix[:3, :3] = turn @ np.diag([-0.5, 1, 4])
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    masks = np.zeros((4, *SHAPE), np.uint8)
    masks[0, :3], masks[1, 3:5, :2], masks[2, 1:4, 1:4, 1:4] = 1, 1, 1
    for name, mask in zip(("a", "b", "c", "d"), masks, strict=True):
        node.GetSegmentation().AddEmptySegment(name, name)
        if mask.any():
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, name, volume)
        if name == "b":
            node.GetSegmentation().CollapseBinaryLabelmaps()
            assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert node.GetSegmentation().GetNumberOfLayers() == 2
    return node


EXPECTED = {"a": 3 * 7 * 8 * 0.002, "b": 2 * 2 * 8 * 0.002, "c": 27 * 0.002, "d": 0.0}


def test_each_segment_of_each_label_map_is_counted(node: Any) -> None:
    from MedContextSegmentLib.Scene.Statistics import countedVolumes, segmentVolumes

    assert countedVolumes(node) == pytest.approx(EXPECTED)
    assert segmentVolumes(node) == pytest.approx(EXPECTED)


def test_linear_transforms_count(node: Any) -> None:
    from MedContextSegmentLib.Scene.Statistics import countedVolumes

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[1.0, 0.4, 0, 3], [0, 2, 0, 4], [0, 0, 1.5, 5], [0, 0, 0, 1]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert countedVolumes(node) == pytest.approx({name: 3 * volume for name, volume in EXPECTED.items()})


def test_values_above_a_byte_and_long_label_maps() -> None:
    from MedContextSegmentLib.Scene import Statistics

    array = np.array([0, 1, 300, 300, 7], np.int16).repeat(1000)
    whole = Statistics._valueCounts(array)
    assert whole == {0: 1000, 1: 1000, 7: 1000, 300: 2000}


def test_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from MedContextSegmentLib.Scene import Statistics

    monkeypatch.setattr(Statistics, "SLICE_VOXELS", 7)
    array = np.random.default_rng(0).integers(0, 300, 1000).astype(np.int16)
    values, counts = np.unique(array, return_counts=True)
    assert Statistics._valueCounts(array) == dict(zip(values.tolist(), counts.tolist(), strict=True))


class StatisticsLogic:
    """Behaves as Slicer's SegmentStatisticsLogic does towards its users."""

    def __init__(self) -> None:
        self.plugins = [LabelmapSegmentStatisticsPlugin(), ScalarVolumeSegmentStatisticsPlugin()]
        self.parameters = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        self.statistics: dict[Any, Any] = {}
        for plugin in self.plugins:
            for key in plugin.keys:
                self.parameters.SetParameter(f"{plugin.toLongKey(key)}.enabled", "True")
        self.parameters.SetParameter("visibleSegmentsOnly", "True")

    def getParameterNode(self) -> Any:
        return self.parameters

    def computeStatistics(self) -> None:
        get = self.parameters.GetParameter
        assert get("visibleSegmentsOnly") == "False"
        assert get("ScalarVolumeSegmentStatisticsPlugin.enabled") == "False"
        assert get("LabelmapSegmentStatisticsPlugin.enabled") == "True"
        enabled = [
            key for key in self.plugins[0].keys if get(f"{self.plugins[0].toLongKey(key)}.enabled") == "True"
        ]
        assert enabled == ["volume_cm3"]
        assert slicer.mrmlScene.GetNodeByID(get("Segmentation")).GetSegmentation().GetNumberOfSegments() == 4
        self.statistics = {("a", "LabelmapSegmentStatisticsPlugin.volume_cm3"): 7.5, "SegmentIDs": ["a"]}

    def getStatistics(self) -> dict[Any, Any]:
        return self.statistics


class Plugin:
    keys = ("voxel_count", "volume_cm3")

    def toLongKey(self, key: str) -> str:
        return f"{type(self).__name__}.{key}"


class LabelmapSegmentStatisticsPlugin(Plugin):
    pass


class ScalarVolumeSegmentStatisticsPlugin(Plugin):
    pass


def test_slicers_own_logic_where_present(node: Any, scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in: the real module is not part of slicer-core."""
    from MedContextSegmentLib.Scene.Statistics import segmentVolumes

    module = SimpleNamespace(SegmentStatisticsLogic=StatisticsLogic)
    monkeypatch.setitem(sys.modules, "SegmentStatistics", module)
    before = scene.GetNumberOfNodes()
    assert segmentVolumes(node) == {"a": 7.5, "b": 0.0, "c": 0.0, "d": 0.0}
    assert scene.GetNumberOfNodes() == before
