"""Where in the scene a result goes: a segmentation beside the scan, and the voxel grid of a segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import (
    alignment,
    among,
    boxIsEmpty,
    cropped,
    imageMatrix,
    linearMatrix,
    orientedImage,
    resampled,
    shifted,
    transformBetween,
    valuesOn,
    vtkMatrix,
)
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot

LABELMAP = "Binary labelmap"
SURFACE = "Closed surface"
SAMPLES = 9  # per axis, to find where a box ends up below a transform that is not linear
SPARE_VOXELS = 2


def newSegmentation(snapshot: VolumeSnapshot, name: str) -> Any:
    """Add an empty ``vtkMRMLSegmentationNode`` for a scan.

    It has the voxel grid of the scan, the same parent transform (none for a scan that was read through a hardened
    copy) and the same place in the subject hierarchy.

    Args:
        snapshot: the scan.
        name: made unique in the scene.

    Raises:
        InputError: the volume is gone.
    """
    if slicer.mrmlScene.GetNodeByID(snapshot.nodeId) is None:
        raise InputError(_("The volume {name} was deleted.").format(name=snapshot.name))
    unique = slicer.mrmlScene.GenerateUniqueName(name)
    segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", unique)
    adopt(segmentationNode, snapshot)
    return segmentationNode


def adopt(segmentationNode: Any, snapshot: VolumeSnapshot) -> None:
    """Give an empty segmentation the grid, the transform and the place in the hierarchy of a scan."""
    with modifying(segmentationNode):
        segmentationNode.CreateDefaultDisplayNodes()
        segmentationNode.SetAndObserveTransformNodeID(snapshot.transformNodeId or None)
        volumeNode = slicer.mrmlScene.GetNodeByID(snapshot.nodeId)
        if volumeNode is not None:
            segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
            placeBeside(segmentationNode, volumeNode)
        converter = slicer.vtkSegmentationConverter
        k, j, i = snapshot.array.shape
        text = converter.SerializeImageGeometry(vtkMatrix(snapshot.ijkToRas), [0, i - 1, 0, j - 1, 0, k - 1])
        parameter = converter.GetReferenceImageGeometryParameterName()
        segmentationNode.GetSegmentation().SetConversionParameter(parameter, text)


def placeBeside(segmentationNode: Any, volumeNode: Any) -> None:
    """In the subject hierarchy, under the study or folder of the volume."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item, volumeItem = (hierarchy.GetItemByDataNode(node) for node in (segmentationNode, volumeNode))
    if item and volumeItem:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(volumeItem))


@dataclass(frozen=True, eq=False)
class Target:
    """The voxel grid of a segmentation, seen from a scan.

    Attributes:
        ijkToRas: ``(4, 4)`` in the frame of the segmentation node.
        offset: what to add to an index ``(k, j, i)`` of the scan; None if the grids are not one.
        transform: ``vtkGeneralTransform`` from the frame of the scan to that of the segmentation; None for the same.
        scan: the scan.
    """

    ijkToRas: np.ndarray
    offset: tuple[int, int, int] | None
    transform: Any
    scan: VolumeSnapshot

    def scanOn(self, box: Box) -> np.ndarray:
        """The voxels of the scan in a box of the segmentation's grid, interpolated if that is another one."""
        k, j, i = self.scan.array.shape
        if self.offset is not None:
            return cropped(self.scan.array, shifted(((0, k), (0, j), (0, i)), self.offset), box)
        image = orientedImage(self.scan.array, self.scan.ijkToRas)
        return resampled(image, self.ijkToRas, box, self.transform, linear=True)

    def boxAround(self, box: Box) -> Box:
        """A box on the segmentation's grid that holds a box of the scan's, with some to spare."""
        if self.offset is not None:
            return shifted(box, self.offset)
        axes = [np.linspace(start - 0.5, end - 0.5, SAMPLES) for start, end in box]
        k, j, i = (grid.reshape(-1) for grid in np.meshgrid(*axes, indexing="ij"))
        points = np.stack([i, j, k, np.ones_like(i)], axis=1) @ self.scan.ijkToRas.T
        if self.transform is not None:
            points[:, :3] = [self.transform.TransformPoint(*point[:3]) for point in points]
        indices = (points @ np.linalg.inv(self.ijkToRas).T)[:, 2::-1]
        low = np.floor(indices.min(axis=0)).astype(int) - SPARE_VOXELS
        high = np.ceil(indices.max(axis=0)).astype(int) + SPARE_VOXELS + 1
        first, second, third = ((int(a), int(b)) for a, b in zip(low, high, strict=True))
        return first, second, third


def outputProblem(segmentationNode: Any) -> str:
    """Why a segmentation cannot take a result, as a sentence; empty if it can."""
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0 or segmentation.GetSourceRepresentationName() == LABELMAP:
        return ""
    text = _("The segmentation {name} holds surfaces, not label maps.")
    return text.format(name=segmentationNode.GetName())


def targetOf(segmentationNode: Any, snapshot: VolumeSnapshot) -> Target:
    """The grid on which a segmentation takes a result.

    As in the Segment Editor, the segmentation's own grid counts once it has one. An empty segmentation without one
    becomes that of the scan.

    Raises:
        InputError: the segmentation holds surfaces instead of label maps.
    """
    problem = outputProblem(segmentationNode)
    if problem:
        raise InputError(problem, _("Choose a new segmentation for the result."))
    segmentation = segmentationNode.GetSegmentation()
    empty = segmentation.GetNumberOfSegments() == 0
    if empty:
        segmentation.SetSourceRepresentationName(LABELMAP)
    text = slicer.vtkSlicerSegmentEditorLogic.GetReferenceImageGeometryStringFromSegmentation(segmentation)
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    ofScan = segmentationNode.GetNodeReferenceID(role) == snapshot.nodeId
    if empty and (not text or (snapshot.hardened and ofScan)):
        adopt(segmentationNode, snapshot)
        return Target(snapshot.ijkToRas, (0, 0, 0), None, snapshot)
    return _existingTarget(segmentationNode, snapshot, text)


def _existingTarget(segmentationNode: Any, snapshot: VolumeSnapshot, text: str) -> Target:
    frame = slicer.mrmlScene.GetNodeByID(snapshot.transformNodeId) if snapshot.transformNodeId else None
    parent = segmentationNode.GetParentTransformNode()
    transform = transformBetween(frame, parent) if frame is not parent else None
    matrix = np.eye(4) if transform is None else linearMatrix(transform)
    reference = slicer.vtkOrientedImageData()
    read = text and slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, reference, False)
    own = imageMatrix(reference) if read else snapshot.ijkToRas
    offset = None if matrix is None else alignment(matrix @ snapshot.ijkToRas, own, max(snapshot.array.shape))
    if offset is not None and matrix is not None:
        # The scan's own matrix, moved to the first voxel of the segmentation: the text is rounded.
        own = matrix @ snapshot.ijkToRas
        own[:3, 3] -= own[:3, :3] @ np.array(offset[::-1])
    return Target(own, offset, transform, snapshot)


def segmentsOn(
    segmentationNode: Any, segmentIds: list[str], target: Target, box: Box
) -> Iterator[np.ndarray]:
    """bool ``(K, J, I)`` arrays of ``box``, one for each label map that holds some of the segments."""
    segmentation = segmentationNode.GetSegmentation()
    values: dict[Any, list[int]] = {}
    for segmentId in segmentIds:
        segment = segmentation.GetSegment(segmentId)
        image = segment.GetRepresentation(LABELMAP) if segment is not None else None
        if image is not None:
            values.setdefault(image, []).append(segment.GetLabelValue())
    for image, wanted in values.items():
        if not boxIsEmpty(box):
            yield among(valuesOn(image, target.ijkToRas, box), wanted)


@contextmanager
def modifying(node: Any) -> Iterator[None]:
    """Observers hear of the changes once, when all are done."""
    was = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(was)
