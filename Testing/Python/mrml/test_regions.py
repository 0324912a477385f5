"""Boxes and segments as regions of a scan, compared with what Slicer says of each voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from medcontext.errors import InputError

SHAPE = (10, 12, 14)
TURN = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])


@pytest.fixture
def regions() -> Any:
    from MedContextSegmentLib.Scene import Regions

    return Regions


@pytest.fixture
def scan() -> Any:
    return add_scan(np.diag([1.0, 1, 2]))


def read(node: Any) -> Any:
    from MedContextSegmentLib.Scene.VolumeReader import readVolume

    return readVolume(node)


def add_scan(directions: np.ndarray, transform: Any = None) -> Any:
    node = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), name="scan")
    matrix = np.eye(4)
    matrix[:3, :3] = directions
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID() if transform else None)
    return node


def add_transform(linear: np.ndarray, shift: tuple[float, ...] = (5, -6, 7)) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def add_roi(center: Any, size: Any, axes: np.ndarray | None = None, transform: Any = None) -> Any:
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(*center)
    roi.SetSize(*size)
    if axes is not None:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = axes, center
        roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    roi.SetAndObserveTransformNodeID(transform.GetID() if transform else None)
    return roi


def world_ras(node: Any) -> np.ndarray:
    """World RAS of each voxel center, ``(K, J, I, 3)``, from Slicer's nodes."""
    matrix, world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(world)
    vtk.vtkMatrix4x4.Multiply4x4(world, matrix, matrix)
    k, j, i = np.indices(SHAPE)
    points = np.stack([i, j, k, np.ones(SHAPE)], axis=-1)
    return (points @ slicer.util.arrayFromVTKMatrix(matrix).T)[..., :3]


def test_box_with_faces_between_voxels_takes_the_voxels_inside(regions: Any, scan: Any) -> None:
    roi = add_roi((6, 5, 9), (4, 6, 6))  # i 4..8, j 2..8, k 3..6 in voxels
    assert regions.boxOfRoi(roi, read(scan)) == ((3, 7), (2, 9), (4, 9))


def test_box_on_voxel_faces_takes_no_neighbor(regions: Any, scan: Any) -> None:
    roi = add_roi((6.0, 5.5, 9.0), (5.0, 4.0, 8.0))  # i 3.5..8.5, j 3.5..7.5, k 2.5..6.5
    assert regions.boxOfRoi(roi, read(scan)) == ((3, 7), (4, 8), (4, 9))
    assert regions.maskOfRoi(roi, read(scan)).sum() == 4 * 4 * 5


def test_box_is_cut_at_the_edge_of_the_scan(regions: Any, scan: Any) -> None:
    assert regions.boxOfRoi(add_roi((0, 0, 0), (9, 9, 900)), read(scan)) == ((0, 10), (0, 5), (0, 5))


@pytest.mark.parametrize("scan_below", [False, True])
@pytest.mark.parametrize("roi_below", [False, True])
def test_mask_of_a_turned_box_is_what_slicer_finds_inside(
    regions: Any, scan_below: bool, roi_below: bool
) -> None:
    node = add_scan(TURN @ np.diag([1.0, -1.2, 2]), add_transform(TURN) if scan_below else None)
    center = world_ras(node)[5, 6, 7]
    transform = add_transform(TURN.T, (1, 2, 3)) if roi_below else None
    if transform is not None:
        inverse = np.linalg.inv(slicer.util.arrayFromTransformMatrix(transform))
        center = (inverse @ (*center, 1))[:3]
    roi = add_roi(center, (5.3, 7.1, 6.2), TURN.T, transform)
    points = world_ras(node)
    expected = np.array([roi.IsPointInROIWorld(point) for point in points.reshape(-1, 3)]).reshape(SHAPE)
    assert 20 < expected.sum() < expected.size / 2
    snapshot = read(node)
    np.testing.assert_array_equal(regions.maskOfRoi(roi, snapshot), expected)
    (k0, k1), (j0, j1), (i0, i1) = regions.boxOfRoi(roi, snapshot)
    assert expected[k0:k1, j0:j1, i0:i1].sum() == expected.sum()


def test_box_below_a_scaling_is_the_one_that_is_drawn(regions: Any, scan: Any) -> None:
    roi = add_roi((6, 5, 4), (4, 4, 4), transform=add_transform(np.diag([1, 1.5, 2.0]), (0, 0, 0)))
    bounds = [0.0] * 6
    roi.GetRASBounds(bounds)
    np.testing.assert_allclose(bounds, (4, 8, 4.5, 10.5, 4, 12))
    expected = np.zeros(SHAPE, bool)
    expected[2:7, 5:11, 4:9] = True
    np.testing.assert_array_equal(regions.maskOfRoi(roi, read(scan)), expected)
    assert regions.boxOfRoi(roi, read(scan)) == ((2, 7), (5, 11), (4, 9))


def test_box_beside_the_scan_or_without_size_is_refused(regions: Any, scan: Any) -> None:
    snapshot = read(scan)
    fresh = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "new")
    line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "line")
    for roi in (add_roi((500, 0, 0), (4, 4, 4)), fresh, line, None):
        for function in (regions.boxOfRoi, regions.maskOfRoi):
            with pytest.raises(InputError):
                function(roi, snapshot)


def test_box_thinner_than_a_voxel(regions: Any, scan: Any) -> None:
    snapshot = read(scan)
    assert regions.boxOfRoi(add_roi((6, 5, 8), (4, 4, 0.1)), snapshot)[0] == (4, 5)
    assert regions.maskOfRoi(add_roi((6, 5, 8), (4, 4, 0.1)), snapshot).sum() == 25
    assert regions.boxOfRoi(add_roi((6, 5, 9), (4, 4, 0.1)), snapshot)[0] == (4, 6)
    with pytest.raises(InputError):
        regions.maskOfRoi(add_roi((6, 5, 9), (4, 4, 0.1)), snapshot)


def add_segment(node: Any, mask: np.ndarray, transform: Any = None) -> tuple[Any, str]:
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
    segmentation.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    # A second segment in the same label map, which must not be taken for the first.
    segmentation.GetSegmentation().AddEmptySegment("other", "other")
    segmentation.GetSegmentation().AddEmptySegment("part", "part")
    beside = (np.roll(mask, 4, 0) & ~mask).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(beside, segmentation, "other", node)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, "part", node)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps()
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    if transform is not None:
        segmentation.SetAndObserveTransformNodeID(transform.GetID())
    return segmentation, "part"


def some_mask() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3:7, 4:9] = True
    mask[3, 7, 5] = True
    return mask


@pytest.mark.parametrize("below", [False, True])
def test_segment_drawn_on_the_scan_comes_back_exactly(regions: Any, below: bool) -> None:
    node = add_scan(TURN @ np.diag([1.0, -1.2, 2]), add_transform(TURN) if below else None)
    mask = some_mask()
    np.testing.assert_array_equal(regions.maskOfSegment(*add_segment(node, mask), read(node)), mask)


def test_segment_of_another_scan_lands_at_the_same_place_in_the_world(regions: Any) -> None:
    """The other grid is the same one counted otherwise: what is hit is known exactly."""
    node = add_scan(np.diag([1.0, 1, 2]))
    mask = some_mask()
    flipped = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))
    matrix = np.diag([-1.0, 1, -2, 1])
    matrix[:3, 3] = (SHAPE[2] - 1, 0, 2 * (SHAPE[0] - 1))
    flipped.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    segmentation, part = add_segment(flipped, mask[::-1, :, ::-1])
    np.testing.assert_array_equal(regions.maskOfSegment(segmentation, part, read(node)), mask)


def test_segment_below_another_transform_is_moved_to_the_scan(regions: Any, scan: Any) -> None:
    mask = some_mask()
    segmentation, part = add_segment(scan, mask, add_transform(np.eye(3), (2, -1, 4)))
    expected = np.zeros(SHAPE, bool)
    expected[2:, :-1, 2:] = mask[:-2, 1:, :-2]
    np.testing.assert_array_equal(regions.maskOfSegment(segmentation, part, read(scan)), expected)


def test_segment_kept_as_a_surface_is_filled(regions: Any, scan: Any) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1:9, 2:10, 2:12] = True
    segmentation, part = add_segment(scan, mask)
    segmentation.GetSegmentation().SetConversionParameter("Smoothing factor", "0.0")
    segmentation.CreateClosedSurfaceRepresentation()
    segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    segmentation.GetSegmentation().RemoveRepresentation("Binary labelmap")
    found = regions.maskOfSegment(segmentation, part, read(scan))
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0, 3.3])
def test_margin_is_in_millimeters_on_every_axis(regions: Any, margin: float) -> None:
    node = add_scan(TURN @ np.diag([1.0, -1.2, 2]))
    mask = some_mask()
    points = np.stack(np.indices(SHAPE), axis=-1) * (2, 1.2, 1)
    distances = np.linalg.norm(points[:, :, :, None] - points[mask], axis=-1).min(axis=-1)
    found = regions.maskOfSegment(*add_segment(node, mask), read(node), margin)
    np.testing.assert_array_equal(found, distances <= margin + 1e-9)


def test_segment_that_is_gone_empty_or_elsewhere_is_refused(regions: Any, scan: Any) -> None:
    segmentation, _part = add_segment(scan, some_mask())
    segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    far, part = add_segment(scan, some_mask(), add_transform(np.eye(3), (900, 0, 0)))
    messages = []
    for node, name in ((None, "part"), (segmentation, "gone"), (segmentation, "empty"), (far, part)):
        with pytest.raises(InputError) as error:
            regions.maskOfSegment(node, name, read(scan))
        messages.append(error.value.message)
    assert len(set(messages)) == 3


def test_box_of_a_mask(regions: Any) -> None:
    mask = some_mask()
    assert regions.boxOfMask(mask) == ((2, 5), (3, 8), (4, 9))
    assert regions.boxOfMask(mask, (3, 1, 9)) == ((0, 8), (2, 9), (0, 14))
    with pytest.raises(InputError):
        regions.boxOfMask(np.zeros(SHAPE, bool))
