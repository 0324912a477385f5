"""Slice and 3D views without a screen: Slicer's own displayable managers in an off-screen render window.

The pictures show what Slicer's views show (volumes, segments, colour legends, surfaces). The frames of the
application around them are not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


class _View:
    """A render window with a displayable manager group for one view node."""

    def __init__(self, viewNode: Any, factory: Any, managers: tuple[str, ...], size: tuple[int, int]) -> None:
        self.viewNode = viewNode
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        for name in managers:
            if hasattr(slicer, name) and not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._group = factory.InstantiateDisplayableManagers(self.renderer)
        self._group.SetMRMLDisplayableNode(viewNode)

    def grab(self, path: Path | None = None) -> np.ndarray:
        """Render and return the picture as ``(height, width, 3)`` uint8; written as PNG where a path is given."""
        self.window.Render()
        capture = vtk.vtkWindowToImageFilter()
        capture.SetInput(self.window)
        capture.ReadFrontBufferOff()
        capture.Update()
        image = capture.GetOutput()
        if path is not None:
            writer = vtk.vtkPNGWriter()
            writer.SetFileName(str(path))
            writer.SetInputData(image)
            writer.Write()
        width, height, _depth = image.GetDimensions()
        flat: np.ndarray = vtk_to_numpy(image.GetPointData().GetScalars())
        return flat.reshape(height, width, 3)[::-1].copy()


class SliceView(_View):
    """One slice view.

    Args:
        name: layout name, such as ``Red``; an existing slice node of that name is used.
        orientation: ``Axial``, ``Sagittal`` or ``Coronal``.
        size: width and height in pixels.
    """

    def __init__(self, name: str, orientation: str, size: tuple[int, int] = (400, 400)) -> None:
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.logic.SetMRMLScene(slicer.mrmlScene)
        node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode") or self.logic.AddSliceNode(name)
        self.logic.SetSliceNode(node)
        node.SetOrientation(orientation)
        # Colour legends ask the application what a view shows.
        slicer.app.applicationLogic().GetSliceLogics().AddItem(self.logic)
        super().__init__(
            node,
            slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(),
            SLICE_MANAGERS,
            size,
        )
        self._show_image(size)
        self.logic.ResizeSliceNode(*size)

    def _show_image(self, size: tuple[int, int]) -> None:
        """Draw the blended volumes in a layer of their own below the segments, pixel for pixel."""
        self._colors = vtk.vtkImageExtractComponents()
        self._colors.SetComponents(0, 1, 2)
        actor = vtk.vtkImageActor()
        actor.GetMapper().SetInputConnection(self._colors.GetOutputPort())
        actor.InterpolateOff()
        below = vtk.vtkRenderer()
        below.AddViewProp(actor)
        camera = below.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetParallelScale(size[1] / 2)
        center = ((size[0] - 1) / 2, (size[1] - 1) / 2)
        camera.SetFocalPoint(*center, 0)
        camera.SetPosition(*center, 1)
        self.window.SetNumberOfLayers(2)
        below.SetLayer(0)
        self.renderer.SetLayer(1)
        self.window.AddRenderer(below)

    def show(self, background: Any, foreground: Any = None, opacity: float = 0.0) -> None:
        """Show volumes and fit the slice to the first."""
        composite = self.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
        composite.SetForegroundOpacity(opacity)
        self.logic.FitSliceToBackground()

    def grab(self, path: Path | None = None) -> np.ndarray:
        """As :meth:`_View.grab`; volumes that were put into the view meanwhile are shown."""
        # The logic has no image, and no port, before the first volume is shown.
        self._colors.SetInputConnection(self.logic.GetImageDataConnection())
        return super().grab(path)


class ThreeDView(_View):
    """A 3D view; :meth:`look` turns it to everything that is shown."""

    def __init__(self, size: tuple[int, int] = (400, 400)) -> None:
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode")
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLViewNode", "View1")
        super().__init__(
            node, slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), THREE_D_MANAGERS, size
        )

    def look(self, azimuth: float = 30.0, elevation: float = 20.0) -> None:
        """Look at everything from the front, turned by degrees to the side and up."""
        camera = self.renderer.GetActiveCamera()
        self.renderer.ResetCamera()
        focus, distance = camera.GetFocalPoint(), camera.GetDistance()
        camera.SetPosition(focus[0], focus[1] + distance, focus[2])
        camera.SetViewUp(0, 0, 1)
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        self.renderer.ResetCamera()
