"""Where in a scan to work: a box drawn in the views, or a segment, on the grid of the scan."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import (
    boundsOf,
    boxIsEmpty,
    imageArray,
    intersection,
    matrixArray,
    slices,
    transformBetween,
    valuesOn,
)
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP
from MedContextSegmentLib.Scene.VolumeReader import RAS_TO_LPS, VolumeSnapshot

__all__ = ["Box", "boxOfMask", "boxOfRoi", "maskOfRoi", "maskOfRoiSteps", "maskOfSegment"]

TOLERANCE = 1e-6
"""Share of a voxel by which a face of a box may miss that of a voxel through rounding."""


def boxOfRoi(roiNode: Any, snapshot: VolumeSnapshot) -> Box:
    """The voxels that a ROI touches, and those between them along the axes of the scan.

    Args:
        roiNode: ``vtkMRMLMarkupsROINode``; may be turned and below transforms.
        snapshot: the scan.

    Raises:
        InputError: the ROI is missing, has no size or lies beside the scan.
    """
    halfSize, voxelToObject = _roiFrame(roiNode, snapshot)
    corners = np.array([[*(halfSize * signs), 1.0] for signs in itertools.product((-1, 1), repeat=3)])
    kji = (corners @ np.linalg.inv(voxelToObject).T)[:, 2::-1]
    low = np.floor(kji.min(axis=0) + 0.5 + TOLERANCE).astype(int)
    high = np.ceil(kji.max(axis=0) - 0.5 - TOLERANCE).astype(int) + 1
    touched = tuple((int(a), int(max(a + 1, b))) for a, b in zip(low, high, strict=True))
    box = intersection(touched, _whole(snapshot))  # type: ignore[arg-type]
    if boxIsEmpty(box):
        raise _misses(roiNode.GetName(), snapshot)
    return box


def maskOfRoi(roiNode: Any, snapshot: VolumeSnapshot) -> np.ndarray:
    """All of :func:`maskOfRoiSteps` at once."""
    steps = maskOfRoiSteps(roiNode, snapshot)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            mask: np.ndarray = end.value
            return mask


def maskOfRoiSteps(roiNode: Any, snapshot: VolumeSnapshot) -> Generator[float, None, np.ndarray]:
    """The voxels whose centers lie in a ROI, slice by slice.

    Args:
        roiNode: ``vtkMRMLMarkupsROINode``; may be turned and below transforms.
        snapshot: the scan.

    Yields:
        The share that is done.

    Returns:
        bool ``(K, J, I)``.

    Raises:
        InputError: the ROI is missing, has no size or holds no center of a voxel.
    """
    halfSize, matrix = _roiFrame(roiNode, snapshot)
    box, name = boxOfRoi(roiNode, snapshot), roiNode.GetName()
    mask = np.zeros(snapshot.array.shape, bool)
    j, i = (np.arange(*box[axis], dtype=float) for axis in (1, 2))
    for k in range(*box[0]):
        inside = np.ones((j.size, i.size), bool)
        for axis in range(3):
            plane = matrix[axis, 2] * k + matrix[axis, 3] + matrix[axis, 1] * j[:, None] + matrix[axis, 0] * i
            inside &= np.abs(plane) <= halfSize[axis] + TOLERANCE
        mask[k, slice(*box[1]), slice(*box[2])] = inside
        yield (k + 1 - box[0][0]) / (box[0][1] - box[0][0])
    if not mask.any():
        raise _misses(name, snapshot)
    return mask


def maskOfSegment(
    segmentationNode: Any, segmentId: str, snapshot: VolumeSnapshot, marginMm: float = 0.0
) -> np.ndarray:
    """The voxels of a segment on the grid of the scan, wherever the segmentation lies and whatever its own grid is.

    Args:
        segmentationNode: ``vtkMRMLSegmentationNode``.
        segmentId: the segment.
        snapshot: the scan.
        marginMm: how far around the segment to go.

    Returns:
        bool ``(K, J, I)``.

    Raises:
        InputError: there is no such segment, it is empty, or it lies beside the scan.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId) if segmentationNode else None
    if segment is None:
        raise InputError(_("The segment to work in is gone."), _("Select another segment."))
    image = _labelmapOf(segmentationNode, segmentId)
    if not imageArray(image).any():
        raise InputError(
            _("The segment {name} is empty.").format(name=segment.GetName()), _("Select another segment.")
        )
    frame = slicer.mrmlScene.GetNodeByID(snapshot.transformNodeId) if snapshot.transformNodeId else None
    parent = segmentationNode.GetParentTransformNode()
    transform = transformBetween(parent, frame) if parent is not frame else None
    mask = valuesOn(image, snapshot.ijkToRas, _whole(snapshot), transform) != 0
    box = boundsOf(mask)
    if box is None:
        raise _misses(segment.GetName(), snapshot)
    if marginMm > 0:
        _grow(mask, box, marginMm, snapshot)
    return mask


def boxOfMask(mask: np.ndarray, marginVoxels: tuple[int, int, int] = (0, 0, 0)) -> Box:
    """The smallest box around a mask, widened by a margin as far as the scan goes.

    Args:
        mask: bool ``(K, J, I)``.
        marginVoxels: along ``(K, J, I)``.

    Raises:
        InputError: the mask is empty.
    """
    bounds = boundsOf(mask)
    if bounds is None:
        raise InputError(_("The region is empty."), _("Draw a region that covers a part of the scan."))
    return _widened(bounds, marginVoxels, mask.shape)


def _roiFrame(roiNode: Any, snapshot: VolumeSnapshot) -> tuple[np.ndarray, np.ndarray]:
    """Half the side lengths of a ROI, and the matrix from ``(i, j, k, 1)`` to the axes of its box."""
    if roiNode is None or not roiNode.IsA("vtkMRMLMarkupsROINode"):
        raise InputError(_("The region to work in is not a ROI box."), _("Draw a ROI in the slice views."))
    size = np.array(roiNode.GetSize())
    if roiNode.GetNumberOfControlPoints() == 0 or min(size) <= 0:
        raise InputError(
            _("The ROI {name} has no size yet.").format(name=roiNode.GetName()),
            _("Draw it in the slice views."),
        )
    # What the views show; Slicer keeps it a box where a parent transform shears.
    objectToWorld = matrixArray(roiNode.GetObjectToWorldMatrix())
    return size / 2, np.linalg.inv(objectToWorld) @ RAS_TO_LPS @ snapshot.affine


def _labelmapOf(segmentationNode: Any, segmentId: str) -> Any:
    """``vtkOrientedImageData`` that is not zero where the segment is, made from its surface if it has only that."""
    image = slicer.vtkOrientedImageData()
    if segmentationNode.GetSegmentation().ContainsRepresentation(LABELMAP):
        segmentationNode.GetBinaryLabelmapRepresentation(segmentId, image)
    else:  # never for a label map: of a shared one this gives all segments
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        logic.GetSegmentBinaryLabelmapRepresentation(segmentationNode, segmentId, image, False)
    return image


def _whole(snapshot: VolumeSnapshot) -> Box:
    k, j, i = snapshot.array.shape
    return (0, k), (0, j), (0, i)


def _widened(box: Box, margin: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    wide = ((max(0, a - m), min(n, b + m)) for (a, b), m, n in zip(box, margin, shape, strict=True))
    k, j, i = wide
    return k, j, i


def _grow(mask: np.ndarray, box: Box, marginMm: float, snapshot: VolumeSnapshot) -> None:
    """Add the voxels within ``marginMm`` of the mask, whose bounds are ``box``, to it."""
    spacing = snapshot.geometry.spacing
    k, j, i = (int(np.ceil(marginMm / size)) for size in spacing)
    wide = _widened(box, (k, j, i), mask.shape)
    limit = marginMm**2 * (1 + TOLERANCE)
    squared = np.where(mask[slices(wide)], 0.0, np.inf).astype(np.float32)
    for axis, (size, reach) in enumerate(zip(spacing, (k, j, i), strict=True)):
        # Squared distances add up over the axes, so each axis looks for the nearest voxel by itself.
        before = np.moveaxis(squared.copy(), axis, 0)
        after = np.moveaxis(squared, axis, 0)
        for step in range(1, min(reach, len(before) - 1) + 1):
            np.minimum(after[step:], before[:-step] + (step * size) ** 2, out=after[step:])
            np.minimum(after[:-step], before[step:] + (step * size) ** 2, out=after[:-step])
    mask[slices(wide)] |= squared <= limit


def _misses(name: str, snapshot: VolumeSnapshot) -> InputError:
    return InputError(
        _("{region} covers no voxel of {scan}.").format(region=name, scan=snapshot.name),
        _("Move it onto the scan."),
    )
