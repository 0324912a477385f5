"""What the slice views of a scene show when it is opened: all of the scan."""

from __future__ import annotations

from typing import Any

import slicer

from MedContextSegmentLib.Batch.SlicerCore import insideSlicer

NODE = slicer.vtkMRMLSliceNode
VIEWS = (
    ("Red", "R", "Axial", NODE.GetRedColor),
    ("Green", "G", "Coronal", NODE.GetGreenColor),
    ("Yellow", "Y", "Sagittal", NODE.GetYellowColor),
)
"""Names as in the layouts of Slicer, which recognises its views by them."""


class SceneViews:
    """The three slice views of a scene that has no window; they stay when the scene is cleared."""

    def __init__(self) -> None:
        self._logics: list[Any] = []
        if insideSlicer() and slicer.app.layoutManager() is not None:
            return  # the window has them
        for name, label, orientation, color in VIEWS:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLScene(slicer.mrmlScene)
            node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode") or logic.AddSliceNode(name)
            logic.SetSliceNode(node)
            node.SetLayoutLabel(label)
            node.SetLayoutColor(color())
            node.SetOrientation(orientation)
            self._logics.append(logic)

    def show(self, volumeNode: Any) -> None:
        """Let all views show a volume."""
        if not self._logics:
            slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
        for logic in self._logics:
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(volumeNode.GetID())
            logic.FitSliceToAll()
            logic.SnapSliceOffsetToIJK()

    def close(self) -> None:
        """Let go of the scene."""
        for logic in self._logics:
            logic.SetMRMLScene(None)
        self._logics.clear()
