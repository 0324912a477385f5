"""qMRMLWidget, and what scripted modules are wrapped in."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene."""

    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene
