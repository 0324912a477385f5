"""What a result must not change: the settings of the Segment Editor, and segments that are marked as completed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import boxShape, resampled, transformBetween
from MedContextSegmentLib.Scene.SegmentationTarget import Target, segmentsOn

NODE = slicer.vtkMRMLSegmentationNode
INSIDE = (NODE.EditAllowedInsideAllSegments, NODE.EditAllowedInsideVisibleSegments)
VISIBLE = (NODE.EditAllowedInsideVisibleSegments, NODE.EditAllowedOutsideVisibleSegments)


@dataclass(frozen=True)
class Editing:
    """The settings of a Segment Editor that apply to one segmentation.

    Attributes:
        maskMode: ``vtkMRMLSegmentationNode.EditAllowed...``.
        maskSegmentId: for ``EditAllowedInsideSingleSegment``.
        intensities: lowest and highest editable value of ``sourceVolume``; None for all.
        sourceVolume: volume node; None for the scan itself.
        overwriteMode: ``vtkMRMLSegmentEditorNode.Overwrite...``: whose voxels the result takes.
    """

    maskMode: int
    maskSegmentId: str
    intensities: tuple[float, float] | None
    sourceVolume: Any
    overwriteMode: int

    @property
    def everywhere(self) -> bool:
        """Whether all voxels may be changed."""
        return self.maskMode == NODE.EditAllowedEverywhere and self.intensities is None


def editingOf(editorNode: Any, segmentationNode: Any) -> Editing:
    """The settings for a segmentation.

    Without an editor on this segmentation (a script, or a new segmentation) all voxels may be changed and the
    segments of others keep theirs: what was not on screen is not overwritten.

    Args:
        editorNode: ``vtkMRMLSegmentEditorNode`` or None.
        segmentationNode: where the result goes.
    """
    if editorNode is None or editorNode.GetSegmentationNode() is not segmentationNode:
        keep = slicer.vtkMRMLSegmentEditorNode.OverwriteNone
        return Editing(NODE.EditAllowedEverywhere, "", None, None, keep)
    low, high = editorNode.GetSourceVolumeIntensityMaskRange()
    return Editing(
        maskMode=editorNode.GetMaskMode(),
        maskSegmentId=editorNode.GetMaskSegmentID() or "",
        intensities=(low, high) if editorNode.GetSourceVolumeIntensityMask() else None,
        sourceVolume=editorNode.GetSourceVolumeNode(),
        overwriteMode=editorNode.GetOverwriteMode(),
    )


def segmentIdsOf(segmentationNode: Any) -> list[str]:
    """The ids of all segments, in order."""
    segmentation = segmentationNode.GetSegmentation()
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def isCompleted(segment: Any) -> bool:
    """Whether the person marked a segment as completed."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    return bool(logic.GetSegmentStatus(segment) == logic.Completed)


def losers(segmentationNode: Any, editing: Editing, targets: set[str]) -> list[str]:
    """Segments of others whose voxels the overwrite mode gives to the result."""
    others = [segmentId for segmentId in segmentIdsOf(segmentationNode) if segmentId not in targets]
    if editing.overwriteMode == slicer.vtkMRMLSegmentEditorNode.OverwriteNone:
        return []
    if editing.overwriteMode == slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments:
        return _visible(segmentationNode, others)
    return others


def protections(
    segmentationNode: Any, editing: Editing, targets: set[str], kept: set[str], target: Target, box: Box
) -> Iterator[np.ndarray]:
    """What must not change, one reason after another.

    Args:
        segmentationNode: where the result goes.
        editing: the settings.
        targets: the segments that the result replaces; they neither limit nor widen the editable area outside.
        kept: segments that lose no voxel and share none with the result.
        target: the grid.
        box: the part of it that is asked for.

    Yields:
        bool ``(K, J, I)`` of ``box``: True where nothing may change.
    """
    yield from segmentsOn(segmentationNode, sorted(kept), target, box)
    if editing.maskMode != NODE.EditAllowedEverywhere:
        yield _outsideArea(segmentationNode, editing, targets, target, box)
    if editing.intensities is not None:
        values = _intensities(segmentationNode, editing.sourceVolume, target, box)
        yield (values < editing.intensities[0]) | (values > editing.intensities[1])


def _outsideArea(
    segmentationNode: Any, editing: Editing, targets: set[str], target: Target, box: Box
) -> np.ndarray:
    single = editing.maskMode == NODE.EditAllowedInsideSingleSegment
    inside = single or editing.maskMode in INSIDE
    ids = [editing.maskSegmentId] if single else segmentIdsOf(segmentationNode)
    if editing.maskMode in VISIBLE:
        ids = _visible(segmentationNode, ids)
    if not inside:
        ids = [segmentId for segmentId in ids if segmentId not in targets]
    area = np.zeros(boxShape(box), bool)
    for part in segmentsOn(segmentationNode, ids, target, box):
        area |= part
    return ~area if inside else area


def _intensities(segmentationNode: Any, volumeNode: Any, target: Target, box: Box) -> np.ndarray:
    """The values of the editor's source volume on the grid, interpolated where its own is another one."""
    if volumeNode is None or volumeNode.GetImageData() is None or volumeNode.GetID() == target.scan.nodeId:
        return target.scanOn(box)
    first = vtk.vtkImageExtractComponents()  # as the Segment Editor does with colors
    first.SetInputData(volumeNode.GetImageData())
    first.SetComponents(0)
    first.Update()
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    image = slicer.vtkOrientedImageData()
    image.ShallowCopy(first.GetOutput())
    image.SetGeometryFromImageToWorldMatrix(matrix)
    transform = transformBetween(
        volumeNode.GetParentTransformNode(), segmentationNode.GetParentTransformNode()
    )
    background = volumeNode.GetImageBackgroundScalarComponentAsDouble(0)
    return resampled(image, target.ijkToRas, box, transform, linear=True, background=background)


def _visible(segmentationNode: Any, segmentIds: list[str]) -> list[str]:
    display = segmentationNode.GetDisplayNode()
    return [i for i in segmentIds if display is not None and display.GetSegmentVisibility(i)]
