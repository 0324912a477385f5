"""``slicer.app.layoutManager()``: three slice views whose logics are real; nothing is drawn."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore

VIEWS = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))


class SliceController(QtCore.QObject):
    """``sliceWidget(name).sliceController()``: the part that moves the slice."""

    def __init__(self, logic: Any, parent: Any) -> None:
        super().__init__(parent)
        self._logic = logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)


class SliceWidget(QtCore.QObject):
    """``layoutManager().sliceWidget(name)``."""

    def __init__(self, name: str, orientation: str, parent: Any) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetSliceLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        node = self._logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        node.SetDimensions(400, 400, 1)
        self._controller = SliceController(self._logic, self)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceController(self) -> Any:
        return self._controller

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToAll()


class LayoutManager(QtCore.QObject):
    """The layout with a main window; there is none (None) without."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._widgets = {name: SliceWidget(name, orientation, self) for name, orientation in VIEWS}

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> Any:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        logics = vtk.vtkCollection()
        for widget in self._widgets.values():
            logics.AddItem(widget.sliceLogic())
        return logics

    @property
    def threeDViewCount(self) -> int:
        return 0

    def threeDWidget(self, _index: int) -> None:
        return None

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """There is no 3D view."""

    def setLayout(self, layout: int) -> None:
        self._layout = layout

    def close(self) -> None:
        """Harness only."""
        for widget in self._widgets.values():
            slicer.app.applicationLogic().GetSliceLogics().RemoveItem(widget.sliceLogic())
            widget.sliceLogic().SetMRMLScene(None)
