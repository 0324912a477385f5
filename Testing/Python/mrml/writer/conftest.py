"""Scans and results small enough to compare each voxel.

Slicer is imported where it is used: without it the tests are skipped, and this file must load.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

SHAPE = (10, 12, 14)
NAMES = {1: "liver", 2: "spleen", 5: "left kidney"}
KIDNEY = {
    "category": {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"},
    "type": {"scheme": "SCT", "value": "64033007", "meaning": "Kidney"},
    "modifier": {"scheme": "SCT", "value": "7771000", "meaning": "Left"},
}
TURN = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])


def add_scan(directions: np.ndarray | None = None, shape: tuple[int, int, int] = SHAPE) -> Any:
    """A volume whose voxel values are 0, 1, 2, ... along I, oblique by default."""
    import slicer

    array = np.broadcast_to(np.arange(shape[2], dtype=np.int16), shape).copy()
    node = slicer.util.addVolumeFromArray(array, name="scan")
    matrix = np.eye(4)
    matrix[:3, :3] = TURN @ np.diag([0.7, -0.8, 2.5]) if directions is None else directions
    matrix[:3, 3] = (12.5, -30, 4)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def some_labels(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[2:5, 3:6, 4:9] = 1
    labels[5:7, 3:6, 4:9] = 2
    labels[2:4, 6:9, 4:9] = 5
    labels[8, 10, 12] = 5
    return labels


def make_result(labelmap: np.ndarray, names: dict[int, str] | None = None, model: str = "organs") -> Any:
    """What the worker answers for a label map."""
    from MedContextSegmentLib.Scene.OrientedImage import boundsOf
    from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel

    labels = tuple(
        SegmentLabel(
            value=value,
            name=name,
            color=(200, 10 * value, 30),
            terminology=KIDNEY if "kidney" in name else None,
            extent=boundsOf(labelmap == value),
            voxels=int((labelmap == value).sum()),
            volumeMl=0.0,
        )
        for value, name in (names or NAMES).items()
    )
    return SegmentationResult(
        labelmap=labelmap,
        certainty=None,
        labels=labels,
        model={
            "id": model,
            "version": "1.2",
            "title": f"The {model}|new",
            "sha256": "ab12",
            "license": "Apache-2.0",
        },
        device="CPU",
        precision="fp32",
        seconds={"segment": 1.5, "label": 0.25},
        software={"medcontext": "0.1.0", "torch": "2.9", "python": "3.12"},
        warm=True,
    )


def voxels(node: Any, segment_id: str, volume: Any) -> np.ndarray:
    """A segment on the grid of a volume, as Slicer gives it."""
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).astype(bool)


def state(node: Any, volume: Any) -> dict[str, Any]:
    """All that undo must bring back: order, names, colors, tags and voxels of the segments."""
    segmentation = node.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment, segment_id = segmentation.GetNthSegment(index), segmentation.GetNthSegmentID(index)
        found[segment_id] = (
            segment.GetName(),
            segment.GetColor(),
            segment.GetTerminology(),
            voxels(node, segment_id, volume).tobytes(),
        )
    return found


def add_segment(node: Any, volume: Any, name: str, mask: np.ndarray, shared: bool = False) -> str:
    """A segment drawn by hand; with `shared` in one label map with the others."""
    import slicer

    segment_id = node.GetSegmentation().AddEmptySegment(name, name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, volume)
    if shared:
        node.GetSegmentation().CollapseBinaryLabelmaps()
    return str(segment_id)


@pytest.fixture
def tools() -> Any:
    """What the tests use, with the module's own functions."""
    from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter, newSegmentation
    from MedContextSegmentLib.Scene.VolumeReader import readVolume

    return SimpleNamespace(
        scan=add_scan,
        labels=some_labels,
        result=make_result,
        voxels=voxels,
        state=state,
        draw=add_segment,
        Writer=SegmentationWriter,
        new=newSegmentation,
        read=readVolume,
        NAMES=NAMES,
        SHAPE=SHAPE,
        KIDNEY=KIDNEY,
        TURN=TURN,
    )


@pytest.fixture
def editor() -> Callable[..., Any]:
    """Makes the parameter node of a Segment Editor, as the embedded one has it."""

    def make(node: Any, volume: Any, **settings: Any) -> Any:
        import slicer

        editor_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editor_node.SetAndObserveSegmentationNode(node)
        editor_node.SetAndObserveSourceVolumeNode(volume)
        for name, value in settings.items():
            getattr(editor_node, f"Set{name}")(value)
        return editor_node

    return make


class Case:
    """A scan and a segmentation with two segments drawn by hand, the second one hidden."""

    def __init__(self, tools: Any, shared: bool) -> None:
        self.tools = tools
        self.volume = tools.scan()
        self.snapshot = tools.read(self.volume)
        self.node = tools.new(self.snapshot, "result")
        self.shown, self.hidden = np.zeros((2, *tools.SHAPE), bool)
        self.shown[3:8, 2:6, 2:7] = True
        self.hidden[3:8, 2:6, 7:12] = True
        self.shown_id = tools.draw(self.node, self.volume, "shown", self.shown)
        self.hidden_id = tools.draw(self.node, self.volume, "hidden", self.hidden, shared)
        assert self.node.GetSegmentation().GetNumberOfLayers() == (1 if shared else 2)
        self.node.GetDisplayNode().SetSegmentVisibility(self.hidden_id, False)
        self.labels = tools.labels()

    def write(self, editor_node: Any = None, labels: np.ndarray | None = None, **options: Any) -> Any:
        writer = self.tools.Writer(editor_node)
        labels = self.labels if labels is None else labels
        result = self.tools.result(labels, options.pop("names", None), options.pop("model", "organs"))
        writer.write(result, self.snapshot, self.node, **options)
        return writer

    def mask(self, segment_id: str) -> np.ndarray:
        return self.tools.voxels(self.node, segment_id, self.volume)

    def check(self, writer: Any, editable: np.ndarray, labels: np.ndarray | None = None) -> None:
        """The result is there where it may be, and nowhere else."""
        labels = self.labels if labels is None else labels
        for value, segment_id in zip(self.tools.NAMES, writer.segmentIds, strict=True):
            np.testing.assert_array_equal(self.mask(segment_id), (labels == value) & editable)
        assert writer.protectedVoxels == ((labels > 0) & ~editable).sum()
        assert bool(writer.notes) == (writer.protectedVoxels > 0)


@pytest.fixture(params=[False, True], ids=["own label maps", "shared label map"])
def case(tools: Any, request: Any) -> Case:
    return Case(tools, request.param)
