"""The way to the slice that the model was least sure about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Scene.OrientedImage import boundsOf

NEAR_VOXELS = 3
"""How far from the predicted structure uncertainty counts."""


@dataclass(frozen=True)
class LeastSure:
    """Where a slice is that the model was least sure about.

    Attributes:
        index: number of the slice along its array axis.
        center: ``(k, j, i)``, middle of the uncertainty in it.
        score: its uncertainty summed, in voxels (1 for each voxel that the model knew nothing about).
    """

    index: int
    center: tuple[float, float, float]
    score: float


def leastSureSlice(
    uncertainty: np.ndarray, labelmap: np.ndarray | None = None, axis: int = 0
) -> LeastSure | None:
    """The slice across ``axis`` whose uncertainty sums highest, near the predicted structure.

    Args:
        uncertainty: percent, ``(K, J, I)``, as in the overlay.
        labelmap: what was predicted, same shape; None (or empty) looks everywhere.
        axis: array axis: 0 for slices of constant k, 1 of j, 2 of i.

    Returns:
        None where nothing is uncertain.
    """
    start, part = (0, 0, 0), uncertainty
    bounds = boundsOf(labelmap) if labelmap is not None else None
    if labelmap is not None and bounds is not None:
        box = tuple(slice(max(0, first - NEAR_VOXELS), end + NEAR_VOXELS) for first, end in bounds)
        start = (box[0].start, box[1].start, box[2].start)
        part = np.where(_near(labelmap[box] != 0), uncertainty[box], 0)
    others = tuple(other for other in range(3) if other != axis)
    sums = part.sum(axis=others, dtype=np.int64)
    best = int(sums.argmax())
    if not sums[best]:
        return None
    plane = part.take(best, axis).astype(np.float64)
    center = [0.0, 0.0, 0.0]
    center[axis] = float(start[axis] + best)
    for number, other in enumerate(others):
        weights = plane.sum(axis=1 - number)
        center[other] = float(start[other] + np.average(np.arange(len(weights)), weights=weights))
    return LeastSure(start[axis] + best, (center[0], center[1], center[2]), float(sums[best]) / 100)


def _near(mask: np.ndarray) -> np.ndarray:
    """The mask grown by :data:`NEAR_VOXELS` along each axis."""
    grown = mask
    for axis in range(3):
        source = np.moveaxis(grown, axis, 0)
        target = source.copy()
        for step in range(1, min(NEAR_VOXELS, len(source) - 1) + 1):
            target[step:] |= source[:-step]
            target[:-step] |= source[step:]
        grown = np.moveaxis(target, 0, axis)
    return grown


def goToLeastSureSlice(
    overlayNode: Any, labelmap: np.ndarray | None = None, sliceNode: Any = None
) -> tuple[float, float, float] | None:
    """Move the slice views to the least sure place.

    The slices compared are those that ``sliceNode`` shows: of the volume's three axes the one closest to the
    view's normal. Works without a window: then it only says where to go.

    Args:
        overlayNode: what :func:`showCertainty` returned.
        labelmap: what was predicted, as for :func:`leastSureSlice`.
        sliceNode: the ``vtkMRMLSliceNode`` whose slices are compared; the Red view's, else axial, when None.

    Returns:
        The place in world RAS mm; None where nothing is uncertain.

    Raises:
        InputError: the overlay was removed.
    """
    if overlayNode is None or overlayNode.GetScene() is None:
        raise InputError(_("There is no certainty map."), _("Run with the certainty map switched on."))
    sliceNode = sliceNode or slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    uncertainty = slicer.util.arrayFromVolume(overlayNode)
    if labelmap is not None and labelmap.shape != uncertainty.shape:
        labelmap = None
    found = leastSureSlice(uncertainty, labelmap, _axisAcross(overlayNode, sliceNode))
    if found is None:
        return None
    place = _toWorld(overlayNode, found.center)
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceNode").JumpSliceByOffsetting(*place)
    return place


def _axisAcross(volumeNode: Any, sliceNode: Any) -> int:
    """The array axis of the volume that runs closest to the normal of the view."""
    normal = np.array([0.0, 0.0, 1.0])
    if sliceNode is not None:
        normal = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())[:3, 2]
    middle = tuple((size - 1) / 2 for size in slicer.util.arrayFromVolume(volumeNode).shape)
    origin = np.array(_toWorld(volumeNode, middle))
    along = []
    for axis in range(3):
        step = [float(value) for value in middle]
        step[axis] += 1
        direction = np.array(_toWorld(volumeNode, (step[0], step[1], step[2]))) - origin
        along.append(abs(direction @ normal) / (np.linalg.norm(direction) or 1.0))
    return int(np.argmax(along))


def _toWorld(volumeNode: Any, kji: tuple[float, ...]) -> tuple[float, float, float]:
    """World RAS of a voxel position, through the parent transform, be it linear or not."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    local = matrix.MultiplyPoint((kji[2], kji[1], kji[0], 1.0))[:3]
    world = [0.0, 0.0, 0.0]
    volumeNode.TransformPointToWorld(local, world)
    return world[0], world[1], world[2]
