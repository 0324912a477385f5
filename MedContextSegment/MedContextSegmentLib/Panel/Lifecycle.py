"""Observing the scene for a panel: closing, opening, nodes that come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

FOLLOWED = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLMarkupsROINode",
    "vtkMRMLSequenceNode",
    "vtkMRMLSequenceBrowserNode",
    "vtkMRMLSegmentEditorNode",
    "vtkMRMLScriptedModuleNode",
)
"""Classes of what the panel shows and of where it keeps its choices; others may come and go by the hundreds."""


class SceneEvents:
    """Calls back on what happens to the scene.

    Args:
        widget: the module's widget, a VTKObservationMixin.
        onStartClose: called before the scene is closed.
        onEndClose: called after it.
        onNodes: called once, soon after nodes of the classes in :data:`FOLLOWED` came or went, or many nodes were
            changed together.
        onImported: called instead of ``onNodes`` when a scene was loaded, which brought choices of its own.
    """

    def __init__(
        self,
        widget: Any,
        onStartClose: Callable[[], None],
        onEndClose: Callable[[], None],
        onNodes: Callable[[], None],
        onImported: Callable[[], None],
    ) -> None:
        self._onStartClose, self._onEndClose = onStartClose, onEndClose
        self._onNodes, self._onImported = onNodes, onImported
        self._imported = False
        scene = slicer.mrmlScene
        widget.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._startClose)
        widget.addObserver(scene, slicer.vtkMRMLScene.EndCloseEvent, self._endClose)
        for event in (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent):
            widget.addObserver(scene, event, self._nodeChanged)
        widget.addObserver(scene, slicer.vtkMRMLScene.EndBatchProcessEvent, self._nodesChanged)
        widget.addObserver(scene, slicer.vtkMRMLScene.EndImportEvent, self._endImport)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.connect("timeout()", self._tell)

    def stop(self) -> None:
        """Call back no more; the widget removes its observers itself."""
        self._soon.stop()

    def _startClose(self, _caller: Any, _event: Any) -> None:
        self._soon.stop()
        self._imported = False
        self._onStartClose()

    def _endClose(self, _caller: Any, _event: Any) -> None:
        self._onEndClose()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeChanged(self, caller: Any, event: Any, node: Any) -> None:
        if node is None or any(node.IsA(name) for name in FOLLOWED):
            self._nodesChanged(caller, event)

    def _endImport(self, caller: Any, event: Any) -> None:
        self._imported = True
        self._nodesChanged(caller, event)

    def _tell(self) -> None:
        imported, self._imported = self._imported, False
        (self._onImported if imported else self._onNodes)()

    def _nodesChanged(self, _caller: Any, _event: Any) -> None:
        if not slicer.mrmlScene.IsClosing() and not slicer.mrmlScene.IsBatchProcessing():
            self._soon.start()
