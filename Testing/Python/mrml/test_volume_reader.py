"""Scans as the network gets them: voxels without a copy, places as Slicer itself says."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from medcontext.errors import InputError

SHAPE = (6, 7, 8)
TURN = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])
TILT = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
GRIDS = {
    "axis aligned": np.diag([0.7, 0.8, 2.5]),
    "oblique": TILT @ TURN @ np.diag([0.7, 0.8, 2.5]),
    "negative directions": np.diag([-0.7, -0.8, -2.5]),
    "left-handed": np.diag([-0.7, 0.8, 2.5]),
    "permuted axes": np.array([[0, 0, 2.5], [0.7, 0, 0], [0, -0.8, 0]]),
}
LPS = np.array([-1, -1, 1])


@pytest.fixture
def reader() -> Any:
    from MedContextSegmentLib.Scene import VolumeReader

    return VolumeReader


def add_scan(directions: np.ndarray = GRIDS["oblique"], array: np.ndarray | None = None) -> Any:
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) if array is None else array
    node = slicer.util.addVolumeFromArray(array, name="scan")
    matrix = np.eye(4)
    matrix[:3, :3] = directions
    matrix[:3, 3] = (12.5, -30, 4)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def add_transform(linear: np.ndarray, parent: Any = None) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = (5, -6, 7)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def add_warp(shift: Any = lambda p: (0 * p[0], 0 * p[1], 0.5 * p[1])) -> Any:
    """A grid transform that adds ``shift(point)``: by default what a tilted gantry needs."""
    size, origin, spacing = (11, 11, 11), (-80.0, -80, -80), (16.0, 16, 16)
    k, j, i = np.indices(size)
    points = [o + s * index for o, s, index in zip(origin, spacing, (i, j, k), strict=True)]
    shifts = np.stack(np.broadcast_arrays(*shift(points)), axis=-1).astype(float)
    grid = vtk.vtkImageData()
    grid.SetDimensions(size)
    grid.SetOrigin(origin)
    grid.SetSpacing(spacing)
    grid.GetPointData().SetScalars(numpy_to_vtk(shifts.reshape(-1, 3), deep=True))
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetInterpolationModeToCubic()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    node.SetAndObserveTransformToParent(transform)
    return node


def slicer_says(node: Any, ijk: tuple[int, int, int]) -> np.ndarray:
    """World LPS position of a voxel, through Slicer's own chain of nodes."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, world)
    return np.array(world.TransformPoint(matrix.MultiplyPoint((*ijk, 1))[:3])) * LPS


def corners(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [(i, j, k) for k, j, i in itertools.product(*((0, n - 1) for n in shape))]


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("parents", ["none", "rigid", "scale and shear", "nested"])
def test_voxels_lie_where_slicer_says(reader: Any, name: str, parents: str) -> None:
    node = add_scan(GRIDS[name])
    sheared = np.diag([1.5, 1, 0.8]) @ np.array([[1, 0.2, 0], [0, 1, 0.1], [0, 0, 1]])
    if parents == "rigid":
        node.SetAndObserveTransformNodeID(add_transform(TURN).GetID())
    elif parents == "scale and shear":
        node.SetAndObserveTransformNodeID(add_transform(sheared).GetID())
    elif parents == "nested":
        node.SetAndObserveTransformNodeID(add_transform(TILT, parent=add_transform(sheared)).GetID())
    snapshot = reader.readVolume(node)
    for ijk in corners(SHAPE):
        ours = snapshot.affine @ (*ijk, 1)
        np.testing.assert_allclose(ours[:3], slicer_says(node, ijk), atol=1e-9)
    np.testing.assert_array_equal(snapshot.array, slicer.util.arrayFromVolume(node))
    assert snapshot.transformNodeId == (node.GetTransformNodeID() or "")
    assert snapshot.notes == ()


def test_voxels_are_not_copied_and_outlive_the_node(reader: Any, scene: Any) -> None:
    node = add_scan()
    snapshot = reader.readVolume(node)
    expected = slicer.util.arrayFromVolume(node).copy()
    assert np.shares_memory(snapshot.array, slicer.util.arrayFromVolume(node))
    scene.RemoveNode(node)
    del node
    np.testing.assert_array_equal(snapshot.array, expected)
    assert not snapshot.array.flags.writeable


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_every_kind_of_voxel_is_read(reader: Any, dtype: Any) -> None:
    array = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 200).astype(dtype)
    snapshot = reader.readVolume(add_scan(array=array))
    assert snapshot.array.dtype == dtype
    np.testing.assert_array_equal(snapshot.array, array)


def test_extent_that_does_not_start_at_zero(reader: Any) -> None:
    node = add_scan()
    image = vtk.vtkImageData()
    image.SetExtent(2, 9, 3, 9, -1, 4)
    image.GetPointData().SetScalars(numpy_to_vtk(np.arange(8 * 7 * 6, dtype=np.int16), deep=True))
    node.SetAndObserveImageData(image)
    snapshot = reader.readVolume(node)
    np.testing.assert_allclose((snapshot.affine @ (0, 0, 0, 1))[:3], slicer_says(node, (2, 3, -1)), atol=1e-9)


@pytest.mark.parametrize("name", ["axis aligned", "oblique"])
def test_non_linear_transform_is_hardened_as_slicer_does(reader: Any, name: str) -> None:
    array = np.zeros(SHAPE, np.int16)
    array[2:4, 2:5, 2:6] = 100
    node = add_scan(GRIDS[name], array)
    node.SetAndObserveTransformNodeID(add_warp().GetID())
    snapshot = reader.readVolume(node)
    hardened = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, node, "hardened")
    hardened.HardenTransform()
    np.testing.assert_array_equal(snapshot.array, slicer.util.arrayFromVolume(hardened))
    np.testing.assert_allclose(
        (snapshot.affine @ (1, 2, 3, 1))[:3], slicer_says(hardened, (1, 2, 3)), atol=1e-9
    )
    assert snapshot.hardened
    assert snapshot.transformNodeId == ""
    assert len(snapshot.notes) == 1
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array)


def test_bright_voxels_of_a_warped_scan_are_found_in_world_space(reader: Any) -> None:
    array = np.zeros((12, 14, 16), np.int16)
    array[4:8, 5:9, 6:11] = 100
    node = add_scan(np.diag([1.0, 1, 2]), array)
    node.SetAndObserveTransformNodeID(add_warp(lambda p: (0 * p[0], 0 * p[1] + 3, 0.5 * p[0])).GetID())
    snapshot = reader.readVolume(node)
    inside = np.argwhere(array > 50)[:, ::-1]
    expected = np.mean([slicer_says(node, tuple(ijk)) for ijk in inside], axis=0)
    found = np.argwhere(snapshot.array > 50)[:, ::-1]
    positions = np.c_[found, np.ones(len(found))] @ snapshot.affine.T
    np.testing.assert_allclose(positions[:, :3].mean(axis=0), expected, atol=0.6)


def test_bspline_above_a_linear_transform_counts_as_not_linear(reader: Any) -> None:
    bspline = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    coefficients = vtk.vtkImageData()
    coefficients.SetDimensions(9, 9, 9)
    coefficients.SetOrigin(-120, -120, -120)
    coefficients.SetSpacing(30, 30, 30)
    coefficients.GetPointData().SetScalars(numpy_to_vtk(np.full((9**3, 3), 4.0), deep=True))
    transform = slicer.vtkOrientedBSplineTransform()
    transform.SetCoefficientData(coefficients)
    bspline.SetAndObserveTransformToParent(transform)
    node = add_scan(np.diag([1.0, 1, 1]))
    node.SetAndObserveTransformNodeID(add_transform(np.eye(3), parent=bspline).GetID())
    snapshot = reader.readVolume(node)
    assert snapshot.hardened
    np.testing.assert_allclose((snapshot.affine @ (0, 0, 0, 1))[:3], slicer_says(node, (0, 0, 0)), atol=0.51)


def node_ids(scene: Any) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def hierarchy_items(scene: Any) -> int:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    ids = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), ids, True)
    return ids.GetNumberOfIds()


def test_temporary_copy_leaves_no_trace(reader: Any, scene: Any) -> None:
    node = add_scan()
    node.SetAndObserveTransformNodeID(add_warp().GetID())
    nodes, items, shown = node_ids(scene), hierarchy_items(scene), []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(_scene: Any, _event: Any, new: Any) -> None:
        shown.append((new.GetHideFromEditors(), new.GetSaveWithScene(), hierarchy_items(scene)))

    tag = scene.AddObserver(scene.NodeAddedEvent, added)
    reader.readVolume(node)
    scene.RemoveObserver(tag)
    assert shown == [(1, 0, items)], "selectors and the tree would show the copy"
    assert node_ids(scene) == nodes
    assert hierarchy_items(scene) == items
    assert node.GetTransformNodeID() is not None


def test_temporary_copy_goes_also_when_reading_fails(
    reader: Any, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = add_scan()
    node.SetAndObserveTransformNodeID(add_warp().GetID())
    nodes, items = node_ids(scene), hierarchy_items(scene)

    def fail(*_arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(reader, "Geometry", fail)
    with pytest.raises(MemoryError):
        reader.readVolume(node)
    assert node_ids(scene) == nodes
    assert hierarchy_items(scene) == items


def test_what_cannot_be_segmented_is_said_in_one_sentence(reader: Any) -> None:
    add = slicer.mrmlScene.AddNewNodeByClass
    slice_ = add_scan(array=np.zeros((1, 7, 8), np.int16))
    bad = {
        "no volume": None,
        "label map": slicer.modules.volumes.logic().CreateAndAddLabelVolume(
            slicer.mrmlScene, slice_, "labels"
        ),
        "colors": add("vtkMRMLVectorVolumeNode", "photo"),
        "empty": add("vtkMRMLScalarVolumeNode", "nothing"),
        "model": add("vtkMRMLModelNode", "surface"),
    }
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    bad["colors"].SetAndObserveImageData(image)
    sentences = {name: reader.volumeProblem(node) for name, node in bad.items()}
    sentences["slice"] = reader.volumeProblem(slice_)
    assert len(set(sentences.values())) == len(sentences)
    for name, sentence in sentences.items():
        assert sentence.endswith("."), name
        assert sentence.count(". ") == 0, name
    for node in bad.values():
        with pytest.raises(InputError):
            reader.readVolume(node)
    no_voxels = add_scan()
    no_voxels.SetAndObserveImageData(vtk.vtkImageData())
    assert reader.volumeProblem(no_voxels)


def test_what_can_be_segmented_has_no_problem(reader: Any) -> None:
    assert reader.volumeProblem(add_scan()) == ""
    assert reader.volumeProblem(add_scan(array=np.zeros((1, 7, 8), np.int16)), dims=2) == ""


def test_flat_axes_are_an_input_error(reader: Any) -> None:
    node = add_scan()
    node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 0, 1])).GetID())
    with pytest.raises(InputError):
        reader.readVolume(node)


def test_current_until_voxels_or_places_change(reader: Any, scene: Any) -> None:
    node = add_scan()
    snapshot = reader.readVolume(node)
    node.SetName("renamed")
    assert snapshot.isCurrent()
    slicer.util.arrayFromVolume(node)[0, 0, 0] = 99
    slicer.util.arrayFromVolumeModified(node)
    assert not snapshot.isCurrent()
    snapshot = reader.readVolume(node)
    node.SetSpacing(1, 1, 1)
    assert not snapshot.isCurrent()
    warp = add_warp()
    node.SetAndObserveTransformNodeID(warp.GetID())
    snapshot = reader.readVolume(node)
    assert snapshot.isCurrent()
    warp.GetTransformToParent().GetDisplacementGrid().GetPointData().GetScalars().Fill(1.0)
    warp.GetTransformToParent().GetDisplacementGrid().Modified()
    assert not snapshot.isCurrent()
    snapshot = reader.readVolume(node)
    scene.RemoveNode(node)
    assert not snapshot.isCurrent()


@pytest.mark.parametrize("components", [3, 4])
@pytest.mark.parametrize("warped", [False, True])
def test_a_picture_in_color_is_read_as_red_green_and_blue(reader: Any, components: int, warped: bool) -> None:
    colors = np.stack([np.arange(np.prod(SHAPE)).reshape(SHAPE) % 200 + n for n in range(components)], -1)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "picture")
    slicer.util.updateVolumeFromArray(node, colors.astype(np.uint8))
    if warped:
        node.SetAndObserveTransformNodeID(add_warp(lambda p: (0 * p[0], 0 * p[1], 0 * p[2])).GetID())
    channels = reader.readChannels(node)
    assert [channel.hardened for channel in channels] == [warped] * 3
    for number, channel in enumerate(channels):
        assert not channel.array.flags.writeable
        if not warped:
            np.testing.assert_array_equal(channel.array, colors[..., number])
        else:  # the warp moves nothing, and the copy may be a voxel larger on each side
            assert (channel.array == channels[0].array + number)[channels[0].array > 0].all()
    with pytest.raises(InputError, match="values per voxel"):
        reader.readVolume(node)


def test_a_gray_scan_has_one_channel(reader: Any) -> None:
    node = add_scan()
    (channel,) = reader.readChannels(node)
    np.testing.assert_array_equal(channel.array, slicer.util.arrayFromVolume(node))
