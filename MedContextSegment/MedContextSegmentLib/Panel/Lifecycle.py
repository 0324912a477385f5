"""Observing the scene for a panel: closing, opening, nodes that come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer


class SceneEvents:
    """Calls back on what happens to the scene.

    Args:
        widget: the module's widget, a VTKObservationMixin.
        onStartClose: called before the scene is closed.
        onEndClose: called after it.
        onNodes: called once, soon after volumes, segmentations or ROIs came, went, or were loaded.
    """

    def __init__(
        self,
        widget: Any,
        onStartClose: Callable[[], None],
        onEndClose: Callable[[], None],
        onNodes: Callable[[], None],
    ) -> None:
        self._onStartClose, self._onEndClose = onStartClose, onEndClose
        scene = slicer.mrmlScene
        widget.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._startClose)
        widget.addObserver(scene, slicer.vtkMRMLScene.EndCloseEvent, self._endClose)
        for event in ("NodeAddedEvent", "NodeRemovedEvent", "EndBatchProcessEvent", "EndImportEvent"):
            widget.addObserver(scene, getattr(slicer.vtkMRMLScene, event), self._nodesChanged)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.connect("timeout()", onNodes)

    def stop(self) -> None:
        """Call back no more; the widget removes its observers itself."""
        self._soon.stop()

    def _startClose(self, _caller: Any, _event: Any) -> None:
        self._soon.stop()
        self._onStartClose()

    def _endClose(self, _caller: Any, _event: Any) -> None:
        self._onEndClose()

    def _nodesChanged(self, _caller: Any, _event: Any) -> None:
        if not slicer.mrmlScene.IsClosing() and not slicer.mrmlScene.IsBatchProcessing():
            self._soon.start()
