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


class SliceView(QtCore.QObject):
    """``sliceWidget(name).sliceView()``: where the pointer moves and clicks; its events are invoked by the tests.

    Like Slicer's interactor style it tells the crosshair node where the pointer is.
    """

    def __init__(self, logic: Any, parent: Any) -> None:
        super().__init__(parent)
        self._logic = logic
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.AddObserver(vtk.vtkCommand.MouseMoveEvent, self._moved)
        self._interactor.AddObserver(vtk.vtkCommand.LeaveEvent, self._left)

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def interactor(self) -> Any:
        return self._interactor

    def point(self, ras: Any, shift: bool = False) -> None:
        """Harness only: move the pointer over a place in the world, with a key held down or without."""
        toXy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), toXy)
        x, y = toXy.MultiplyPoint((*ras, 1.0))[:2]
        self._interactor.SetEventInformation(round(x), round(y), 0, int(shift))
        self._interactor.InvokeEvent(vtk.vtkCommand.MouseMoveEvent)

    def click(self, ras: Any, shift: bool = False) -> None:
        """Harness only: move the pointer there and click."""
        self.point(ras, shift)
        self._interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
        self._interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)

    def leave(self) -> None:
        """Harness only: move the pointer out of the view."""
        self._interactor.InvokeEvent(vtk.vtkCommand.LeaveEvent)

    def _moved(self, _caller: Any, _event: str) -> None:
        x, y = self._interactor.GetEventPosition()
        self._crosshair().SetCursorPositionXYZ((float(x), float(y), 0.0), self.mrmlSliceNode())

    def _left(self, _caller: Any, _event: str) -> None:
        self._crosshair().SetCursorPositionInvalid()

    @staticmethod
    def _crosshair() -> Any:
        return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


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
        node.SetMappedInLayout(True)
        self._controller = SliceController(self._logic, self)
        self._view = SliceView(self._logic, self)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceController(self) -> Any:
        return self._controller

    def sliceView(self) -> Any:
        return self._view

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
