"""Filling what a mask encloses; Slicer brings VTK, but not for certain a library of morphology."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy


def filled(mask: np.ndarray) -> np.ndarray:
    """The mask and all that cannot be reached from outside through sides of voxels.

    Args:
        mask: bool ``(K, J, I)``; where an axis has one voxel, what is enclosed within that slice counts.

    Returns:
        A new bool array.
    """
    padding = [(0, 0) if size == 1 else (1, 1) for size in mask.shape]
    padded = np.pad(mask, padding).astype(np.uint8)
    k, j, i = padded.shape
    image = vtk.vtkImageData()
    image.SetDimensions(i, j, k)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.reshape(-1), deep=True))
    corner = vtk.vtkPoints()
    corner.InsertNextPoint(0, 0, 0)
    flood = vtk.vtkImageThresholdConnectivity()
    flood.SetInputData(image)
    flood.SetSeedPoints(corner)
    flood.ThresholdBetween(0, 0)
    flood.ReplaceInOn()
    flood.SetInValue(2)
    flood.ReplaceOutOff()
    flood.Update()
    flooded = vtk_to_numpy(flood.GetOutput().GetPointData().GetScalars()).reshape(padded.shape) == 2
    inner = tuple(slice(low, size - high) for (low, high), size in zip(padding, padded.shape, strict=True))
    return np.ascontiguousarray(~flooded[inner])
