"""How large segments are."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf
from MedContextSegmentLib.Scene.OrientedImage import imageArray, imageMatrix, matrixArray
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP

VOLUME = "LabelmapSegmentStatisticsPlugin.volume_cm3"
SLICE_VOXELS = 1 << 22  # counted at a time: numpy makes eight bytes of each


def segmentVolumes(segmentationNode: Any) -> dict[str, float]:
    """Volume in mL of each segment, by id, in world space: what Slicer's module Segment Statistics says.

    Its logic is used where it is present. It looks at each segment by itself; :func:`countedVolumes` reads each
    label map once and agrees with it below linear transforms.
    """
    try:
        import SegmentStatistics
    except ImportError:
        return countedVolumes(segmentationNode)
    logic = SegmentStatistics.SegmentStatisticsLogic()
    parameters = logic.getParameterNode()
    try:
        parameters.SetParameter("Segmentation", segmentationNode.GetID())
        parameters.SetParameter("visibleSegmentsOnly", "False")
        for plugin in logic.plugins:
            for key in plugin.keys:
                name = plugin.toLongKey(key)
                parameters.SetParameter(f"{name}.enabled", str(name == VOLUME))
            name = type(plugin).__name__
            parameters.SetParameter(f"{name}.enabled", str(VOLUME.startswith(f"{name}.")))
        logic.computeStatistics()
        found = logic.getStatistics()
        return {i: float(found.get((i, VOLUME), 0.0)) for i in segmentIdsOf(segmentationNode)}
    finally:
        slicer.mrmlScene.RemoveNode(parameters)


def countedVolumes(segmentationNode: Any) -> dict[str, float]:
    """Volume in mL of each segment, by id: its voxels, as large as linear parent transforms make them.

    A parent transform that is not linear is left out.
    """
    toWorld = vtk.vtkMatrix4x4()
    transform = segmentationNode.GetParentTransformNode()
    if transform is not None and transform.IsTransformToWorldLinear():
        transform.GetMatrixTransformToWorld(toWorld)
    scale = abs(np.linalg.det(matrixArray(toWorld)[:3, :3])) / 1000
    segmentation = segmentationNode.GetSegmentation()
    counts: dict[Any, dict[int, int]] = {}
    volumes = {}
    for segmentId in segmentIdsOf(segmentationNode):
        segment = segmentation.GetSegment(segmentId)
        image = segment.GetRepresentation(LABELMAP)
        if image is None:
            volumes[segmentId] = 0.0
            continue
        if image not in counts:
            counts[image] = _valueCounts(imageArray(image))
        voxel = abs(np.linalg.det(imageMatrix(image)[:3, :3])) * scale
        volumes[segmentId] = float(counts[image].get(segment.GetLabelValue(), 0) * voxel)
    return volumes


def _valueCounts(array: np.ndarray) -> dict[int, int]:
    flat = array.reshape(-1)
    total = np.zeros(0, np.int64)
    for start in range(0, flat.size, SLICE_VOXELS):
        part = np.bincount(flat[start : start + SLICE_VOXELS], minlength=total.size)
        part[: total.size] += total
        total = part
    return {int(value): int(total[value]) for value in np.flatnonzero(total)}
