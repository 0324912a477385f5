"""Scans, views and regions small enough to compare each voxel.

Slicer is imported where it is used: without it the tests are skipped, and this file must load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SHAPE = (10, 12, 14)
TURN = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])


@pytest.fixture
def scan() -> Callable[..., Any]:
    """``scan(directions, array)``: a volume, oblique unless told otherwise."""
    import slicer

    def add(directions: np.ndarray | None = None, array: np.ndarray | None = None) -> Any:
        values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) if array is None else array
        node = slicer.util.addVolumeFromArray(values, name="scan")
        matrix = np.eye(4)
        matrix[:3, :3] = TURN @ np.diag([0.7, -0.8, 2.5]) if directions is None else directions
        matrix[:3, 3] = (12.5, -30, 4)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
        return node

    return add


@pytest.fixture
def moved() -> Callable[[Any], Any]:
    """``moved(volume)`` puts a volume below a linear transform, and gives it."""
    import slicer

    def move(volume: Any) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = TURN.T, (5, -6, 7)
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(node.GetID())
        return volume

    return move


@pytest.fixture
def world() -> Callable[..., list[float]]:
    """``world(volume, k, j, i)``: where the center of a voxel lies, mm RAS, parent transforms applied."""

    def place(volume: Any, k: float, j: float, i: float) -> list[float]:
        import slicer
        import vtk

        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        ras, point = matrix.MultiplyPoint((i, j, k, 1))[:3], [0.0, 0.0, 0.0]
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, transform)
        transform.TransformPoint(ras, point)
        return point

    return place


@pytest.fixture
def propose() -> Callable[..., Any]:
    """``propose(volume, axis, index)``: three regions of a slice, or of a box, that are shown in the scene.

    Region 1 is around region 2, which has a hole of region 3.
    """
    from MedContextSegmentLib.Explore.Planes import Plane
    from MedContextSegmentLib.Explore.ProposedRegions import Proposal, ProposedRegions, RegionFacts
    from MedContextSegmentLib.Scene.OrientedImage import boxShape
    from MedContextSegmentLib.Scene.VolumeReader import readChannels

    def make(volume: Any, axis: int = 0, index: int = 4, box: Any = None) -> Any:
        channels = readChannels(volume)
        box = box or Plane(axis, index).box(channels[0].array.shape)
        regions = np.ones(boxShape(box), np.uint8)
        for value, margin in ((2, 2), (3, 4)):
            inner = tuple(
                slice(None) if size == 1 else slice(margin, margin + 7 - 2 * (value - 2) * 2)
                for size in regions.shape
            )
            regions[inner] = value
        facts = {value: RegionFacts("12 mm²", 0.25, (12.5,)) for value in (1, 2, 3)}
        return ProposedRegions(Proposal(regions, box, channels[0], facts, "s3net", 1.5))

    return make
