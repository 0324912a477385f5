"""How unsure the model was: a volume over the image with a colour legend, and the way to the least sure slice.

What is shown is the opposite of the worker's certainty, in percent: bright means look here, and 0 % (sure, or
outside what was predicted) is not drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medcontext.errors import InputError

CERTAINTY_REFERENCE = "MedContext.Certainty"
"""Role of the reference from a segmentation node to its certainty overlay."""

OPACITY = 0.4
SHOWN_FROM = 10
"""Percent of uncertainty below which nothing is drawn; the image stays readable where the model was sure."""

NEAR_VOXELS = 3
"""How far from the predicted structure uncertainty counts for the least sure slice."""

COLORS = ("vtkMRMLColorTableNodeFilePlasma.txt", "vtkMRMLColorTableNodeIron")
"""Ids of the colour nodes to use, the first one that the application has; both grow brighter."""

_EARLIER = "MedContext.EarlierForeground"
_PERCENT = ((255 - np.arange(256)) * 100 / 255).round().astype(np.uint8)


def showCertainty(
    result: Any, snapshot: Any, existingNode: Any = None, region: np.ndarray | None = None
) -> Any:
    """Show the uncertainty of a result over the image, in all slice views, with a colour legend.

    Args:
        result: the :class:`Results.SegmentationResult` of a run that asked for certainty.
        snapshot: the :class:`VolumeReader.VolumeSnapshot` that was segmented; the overlay gets its grid and its
            parent transform.
        existingNode: the overlay of an earlier run, updated instead of making another; may have been removed.
        region: bool ``(K, J, I)``, where the result is valid; elsewhere the overlay keeps what it shows.

    Returns:
        The ``vtkMRMLScalarVolumeNode``: uncertainty in percent, uint8.

    Raises:
        InputError: the result holds no certainty.
    """
    if result.certainty is None:
        raise InputError(
            _("This result has no certainty."),
            _("Switch on the certainty map in the settings and run again."),
        )
    known = existingNode is not None and existingNode.GetScene() is not None
    if region is None:
        percent = _percent(result.certainty)
    else:
        before = slicer.util.arrayFromVolume(existingNode) if known else None
        percent = _PERCENT[result.certainty]
        percent[~region] = before[~region] if before is not None and before.shape == region.shape else 0
    node = existingNode if known else _newOverlay(snapshot)
    wasModifying = node.StartModify()
    _setUpDisplay(node)  # before there are voxels: the default window would be found by counting them
    slicer.util.updateVolumeFromArray(node, percent)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(snapshot.ijkToRas))
    node.SetAndObserveTransformNodeID(snapshot.transformNodeId or None)
    node.EndModify(wasModifying)
    showOverlay(node)
    return node


def showOverlay(node: Any) -> None:
    """Bring an overlay and its legend into the views, such as one that was hidden."""
    _setUpDisplay(node)
    _setUpLegend(node, True)
    _toForeground(node)


def hideCertainty(node: Any) -> None:
    """Take the overlay and its legend out of the views; what was in the foreground before comes back."""
    if node is None or node.GetScene() is None:
        return
    earlier = json.loads(node.GetAttribute(_EARLIER) or "{}")
    for composite in _composites():
        if composite.GetForegroundVolumeID() != node.GetID():
            continue
        volumeId, opacity = earlier.get(composite.GetID(), ("", 0.0))
        present = bool(volumeId) and slicer.mrmlScene.GetNodeByID(volumeId) is not None
        composite.SetForegroundVolumeID(volumeId if present else None)
        composite.SetForegroundOpacity(opacity if present else 0.0)
    node.RemoveAttribute(_EARLIER)
    _setUpLegend(node, False)


def isCertaintyShown(node: Any) -> bool:
    """Whether the overlay is in the foreground of a slice view."""
    return node is not None and any(c.GetForegroundVolumeID() == node.GetID() for c in _composites())


def _percent(certainty: np.ndarray) -> np.ndarray:
    """Uncertainty in percent. Zero is "nothing predicted" outside the box of what is not zero, "no idea" inside."""
    percent = np.zeros_like(certainty)
    if certainty.any():
        box = _boxAround(certainty, 0)
        percent[box] = _PERCENT[certainty[box]]
    return percent


def _newOverlay(snapshot: Any) -> Any:
    name = _("{volume} uncertainty").format(volume=snapshot.name)
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name)
    )
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume = slicer.mrmlScene.GetNodeByID(snapshot.nodeId)
    item = hierarchy.GetItemByDataNode(node)
    beside = hierarchy.GetItemByDataNode(volume) if volume is not None else 0
    if item and beside:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))
    return node


def _setUpDisplay(node: Any) -> None:
    if node.GetDisplayNode() is not None:
        return  # a person may have changed it
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    colors = next((color for color in COLORS if slicer.mrmlScene.GetNodeByID(color) is not None), None)
    if colors is not None:
        display.SetAndObserveColorNodeID(colors)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 100)
    display.SetAutoThreshold(False)
    display.SetThreshold(SHOWN_FROM, 100)
    display.SetApplyThreshold(True)
    display.SetInterpolate(False)


def _setUpLegend(node: Any, visible: bool) -> None:
    logic = slicer.modules.colors.logic()
    legend = logic.GetColorLegendDisplayNode(node)
    if legend is None and visible:
        legend = logic.AddDefaultColorLegendDisplayNode(node)
        # The unit is in the title: VTK versions differ in what a percent sign in the format means.
        legend.SetTitleText(_("Uncertainty (%)"))
        legend.SetLabelFormat("%.0f")
    if legend is not None:
        legend.SetVisibility(visible)


def _composites() -> Iterator[Any]:
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        yield slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")


def _toForeground(node: Any) -> None:
    earlier = json.loads(node.GetAttribute(_EARLIER) or "{}")
    for composite in _composites():
        foreground = composite.GetForegroundVolumeID()
        if foreground == node.GetID():
            continue
        earlier[composite.GetID()] = (foreground or "", composite.GetForegroundOpacity())
        composite.SetForegroundVolumeID(node.GetID())
        composite.SetForegroundOpacity(OPACITY)
    node.SetAttribute(_EARLIER, json.dumps(earlier))


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
    if labelmap is not None and labelmap.any():
        box = _boxAround(labelmap, NEAR_VOXELS)
        start = tuple(side.start for side in box)
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


def _boxAround(array: np.ndarray, margin: int) -> tuple[slice, ...]:
    """The box of what is not zero, with a margin in voxels; inside the array."""
    box: list[slice] = []
    for axis in range(3):
        # What is known of the box already need not be looked through again.
        part = array[tuple(box)]
        found = np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)


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
