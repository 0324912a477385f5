"""A new ROI is put where a person will want it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def isEmptyRoi(roiNode: Any) -> bool:
    """Whether the ROI was just created and has neither place nor size."""
    return roiNode.GetNumberOfControlPoints() == 0


def fitRoi(roiNode: Any, volumeNode: Any) -> None:
    """Put the ROI around a volume."""
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    _place(roiNode, bounds)


def placeRoi(roiNode: Any, volumeNode: Any, center: Sequence[float], voxels: int) -> None:
    """Put a cube into a volume.

    Args:
        roiNode: the ROI.
        volumeNode: no side sticks out of it.
        center: where to put it, mm RAS, as near as the volume allows.
        voxels: length of a side in voxels of the smallest spacing, so that no side has more.
    """
    bounds, limits = [0.0] * 6, [0.0] * 6
    volumeNode.GetRASBounds(limits)
    side = voxels * min(volumeNode.GetSpacing())
    for axis in range(3):
        low, high = limits[2 * axis : 2 * axis + 2]
        half = min(side, high - low) / 2
        middle = min(max(center[axis], low + half), high - half)
        bounds[2 * axis : 2 * axis + 2] = [middle - half, middle + half]
    _place(roiNode, bounds)


def fitRoiToSegment(roiNode: Any, segmentationNode: Any, segmentId: str, marginMm: float) -> bool:
    """Put the ROI around a segment with a margin in mm; False where the segment is empty."""
    bounds = [0.0, -1.0] * 3
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is not None:
        segment.GetBounds(bounds)
    if any(low > high for low, high in zip(bounds[::2], bounds[1::2], strict=True)):
        return False
    world = [0.0] * 6
    corners = [
        _toWorld(segmentationNode, x, y, z) for x in bounds[:2] for y in bounds[2:4] for z in bounds[4:]
    ]
    for axis in range(3):
        values = [corner[axis] for corner in corners]
        world[2 * axis], world[2 * axis + 1] = min(values) - marginMm, max(values) + marginMm
    _place(roiNode, world)
    return True


def _toWorld(segmentationNode: Any, x: float, y: float, z: float) -> Sequence[float]:
    """World position of a point given in the segmentation's own frame, mm RAS."""
    world = [0.0, 0.0, 0.0]
    segmentationNode.TransformPointToWorld([x, y, z], world)
    return world


def _place(roiNode: Any, bounds: Sequence[float]) -> None:
    roiNode.SetCenterWorld(*((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)))
    roiNode.SetSizeWorld(*(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True)))
