"""What the views showed before something else was brought into them, to show it again."""

from __future__ import annotations

from typing import Any

import slicer

LAYERS = ("Background", "Foreground", "Label")


class ViewsBefore:
    """Remembers what the slice views show, and hides the segmentations, which would lie over any other scan."""

    def __init__(self) -> None:
        self._layers = [
            (node, {name: getattr(node, f"Get{name}VolumeID")() for name in LAYERS})
            for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        ]
        self._hidden: list[Any] = []
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            display = node.GetDisplayNode()
            if display is not None and display.GetVisibility():
                display.SetVisibility(False)
                self._hidden.append(display)

    def restore(self) -> None:
        """Show again what is still there."""
        for node, layers in self._layers:
            if node.GetScene() is None:
                continue
            for name, volumeId in layers.items():
                if not volumeId or slicer.mrmlScene.GetNodeByID(volumeId) is not None:
                    getattr(node, f"Set{name}VolumeID")(volumeId)
        for display in self._hidden:
            if display.GetScene() is not None:
                display.SetVisibility(True)
        self._layers, self._hidden = [], []
