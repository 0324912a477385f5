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
        self._group.GetLightBoxRendererManagerProxy()
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
