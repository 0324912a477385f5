"""What a batch writes lies in 3D Slicer where the scan lies. Real MRML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet

pytest.importorskip("trimesh")
pytest.importorskip("skimage")

CENTRE = np.array([12.0, -30.0, 45.0])  # LPS


@pytest.mark.parametrize("ending", ["stl", "obj"])
def test_a_surface_lies_where_its_voxels_lie(ending: str, tmp_path: Path) -> None:
    from medcontext.batch.surfaces import label_surfaces, write_surface

    array = np.zeros((1, 9, 9, 9), np.uint8)
    array[0, 2:7, 2:7, 2:7] = 1
    affine = np.diag([-1.0, 1, 2, 1])
    affine[:3, 3] = CENTRE - affine[:3, :3] @ [4, 4, 4]
    labelmap = Volume(array, Geometry((9, 9, 9), affine))
    ((_, surface),) = label_surfaces(labelmap, LabelSet.from_names({1: "block"}))
    path = tmp_path / f"block.{ending}"
    write_surface(path, surface)

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelStorageNode")
    storage.SetFileName(str(path))
    # The file itself says which coordinates it has, whatever a scene of old took for granted.
    storage.SetCoordinateSystem(slicer.vtkMRMLStorageNode.CoordinateSystemRAS)
    assert storage.ReadData(node)
    bounds = np.array(node.GetPolyData().GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(bounds.mean(axis=1), CENTRE * [-1, -1, 1], atol=0.05)
