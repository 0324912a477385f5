"""Which volumes of the scene may be what a person wants to segment, best guess first."""

from __future__ import annotations

from typing import Any

import slicer

from MedContextSegmentLib.Scene.Certainty import isOverlay


def candidateVolumes() -> list[Any]:
    """Scalar volumes that can be seen, without label maps and certainty overlays; the one shown comes first."""
    volumes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and not node.GetHideFromEditors() and not isOverlay(node)
    ]
    shown = shownVolumeId()
    return sorted(volumes, key=lambda node: node.GetID() != shown)


def shownVolumeId() -> str:
    """Id of the volume in the background of the slice views; "" where none is shown."""
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        if composite.GetBackgroundVolumeID():
            return str(composite.GetBackgroundVolumeID())
    return ""
