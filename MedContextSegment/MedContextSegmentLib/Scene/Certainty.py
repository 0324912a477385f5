"""How unsure the model was: a volume over the image with a colour legend.

What is shown is the opposite of the worker's certainty, in percent: bright means look here, and 0 % (sure, or
outside what was predicted) is not drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Scene.OrientedImage import boundsOf, slices

CERTAINTY_REFERENCE = "MedContext.Certainty"
"""Role of the reference from a segmentation node to its certainty overlay."""

OPACITY = 0.4
SHOWN_FROM = 10
"""Percent of uncertainty below which nothing is drawn; the image stays readable where the model was sure."""

COLORS = ("vtkMRMLColorTableNodeFilePlasma.txt", "vtkMRMLColorTableNodeIron")
"""Ids of the colour nodes to use, the first one that the application has; both grow brighter."""

_OVERLAY = "MedContext.Overlay"
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
        InputError: the result holds no certainty. Whatever is raised, no half of an overlay is left.
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
    try:
        _fill(node, percent, snapshot)
        showOverlay(node)
    except Exception:
        slicer.mrmlScene.RemoveNode(node)
        raise
    return node


def _fill(node: Any, percent: np.ndarray, snapshot: Any) -> None:
    wasModifying = node.StartModify()
    try:
        _setUpDisplay(node)  # before there are voxels: the default window would be found by counting them
        slicer.util.updateVolumeFromArray(node, percent)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(snapshot.ijkToRas))
        node.SetAndObserveTransformNodeID(snapshot.transformNodeId or None)
    finally:
        node.EndModify(wasModifying)


def forgetCertainty(segmentationNode: Any, region: np.ndarray | None = None) -> None:
    """After a run without certainty: what an earlier overlay says is of a result that is no more.

    Args:
        segmentationNode: the overlay that it refers to is taken out of the views and no longer its own; the volume
            stays in the scene.
        region: bool ``(K, J, I)``: only there the result is another one, and only there the overlay becomes empty.
    """
    node = segmentationNode.GetNodeReference(CERTAINTY_REFERENCE)
    if node is None:
        return
    percent = slicer.util.arrayFromVolume(node) if region is not None else None
    if percent is not None and region is not None and percent.shape == region.shape:
        percent[region] = 0
        slicer.util.arrayFromVolumeModified(node)
        return
    hideCertainty(node)
    segmentationNode.RemoveNodeReferenceIDs(CERTAINTY_REFERENCE)


def isOverlay(node: Any) -> bool:
    """Whether a volume is an overlay of this module, be it in use or not."""
    return node.GetAttribute(_OVERLAY) is not None


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
    bounds = boundsOf(certainty)
    if bounds is not None:
        box = slices(bounds)
        percent[box] = _PERCENT[certainty[box]]
    return percent


def _newOverlay(snapshot: Any) -> Any:
    name = _("{volume} uncertainty").format(volume=snapshot.name)
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(name)
    )
    node.SetAttribute(_OVERLAY, "certainty")
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
