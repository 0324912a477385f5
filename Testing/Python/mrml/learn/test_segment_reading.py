"""Segments as people leave them: overlapping, empty, half outside, on other voxels, below transforms, as surfaces.

What is read is compared with what Slicer says of each voxel, and the scene must be as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.errors import InputError
from MedContextSegmentLib.Scene.SegmentReading import SegmentReading, readingSteps, readSegments
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot, readVolume

SHAPE = (10, 12, 14)


@pytest.fixture
def scan() -> Any:
    return addScan()


def addScan(matrix: np.ndarray | None = None, shape: tuple[int, ...] = SHAPE) -> Any:
    node = slicer.util.addVolumeFromArray(np.zeros(shape, np.int16), name="scan")
    oblique = np.eye(4)
    oblique[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.diag([1.0, 1.0, 2.0])
    oblique[:3, 3] = -7, 3, 11
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(oblique if matrix is None else matrix))
    return node


def addSegmentation(scan: Any | None, name: str = "painted") -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    if scan is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
        node.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    return node


def addSegment(node: Any, name: str, mask: np.ndarray, scan: Any) -> str:
    segmentId = str(node.GetSegmentation().AddEmptySegment("", name))
    if mask.any():
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segmentId, scan)
    return segmentId


def box(*ranges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*side) for side in ranges)] = True
    return mask


def addTransform(matrix: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def addBending(shift: float = 3.0) -> Any:
    """A transform that moves one corner region by some mm and leaves the opposite one."""
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in [(-20, -20, 0), (40, -20, 0), (-20, 40, 0), (40, 40, 40), (0, 0, 40), (10, 10, 20)]:
        source.InsertNextPoint(*point)
        target.InsertNextPoint(point[0] + (shift if point[2] == 20 else 0), point[1], point[2])
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(spline)
    return node


def slicerSays(node: Any, segmentId: str, scan: Any) -> np.ndarray:
    """Voxels of a segment on the grid of a volume, from Slicer's own resampling."""
    return np.asarray(slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, scan)) != 0


def whereShown(node: Any, mask: np.ndarray, scan: Any, centers: np.ndarray) -> np.ndarray:
    """What the views show of a mask on the grid of ``scan`` at each of ``(..., 3)`` places, the nearest voxel."""
    toIndex = np.linalg.inv(slicer.util.arrayFromVTKMatrix(_matrixOf(scan)))
    found = np.zeros(centers.shape[:3], bool)
    for place in np.ndindex(*centers.shape[:3]):
        point = [0.0] * 3
        node.TransformPointFromWorld(centers[place], point)
        kji = np.round((toIndex @ (*point, 1))[:3]).astype(int)[::-1]
        found[place] = (kji >= 0).all() and (kji < mask.shape).all() and mask[tuple(kji)]
    return found


def read(node: Any, *segmentIds: str, scan: Any) -> SegmentReading:
    values = {segmentId: value for value, segmentId in enumerate(segmentIds, start=1)}
    return readSegments(node, values, readVolume(scan))


def shown(node: Any) -> dict[str, Any]:
    """Everything of a segmentation that reading it must leave alone."""
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    representations = {}
    for segmentId in ids:
        names: list[str] = []
        segmentation.GetSegment(segmentId).GetContainedRepresentationNames(names)
        representations[segmentId] = {
            name: segmentation.GetSegment(segmentId).GetRepresentation(name).GetMTime() for name in names
        }
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    return {
        "representations": representations,
        "source": segmentation.GetSourceRepresentationName(),
        "grid": segmentation.GetConversionParameter(parameter),
        "transform": node.GetTransformNodeID(),
        "modified": segmentation.GetMTime(),
    }


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each reading the segmentation is as it was and no node has come or gone."""
    import MedContextSegmentLib.Scene.SegmentReading as module

    real = module.layersOf

    def watching(node: Any, ids: Any, snapshot: VolumeSnapshot) -> Iterator[Any]:
        before, nodes = shown(node), slicer.mrmlScene.GetNumberOfNodes()
        watched.append((node, before, nodes))
        yield from real(node, ids, snapshot)

    watched: list[tuple[Any, dict[str, Any], int]] = []
    monkeypatch.setattr(module, "layersOf", watching)
    yield
    for node, before, nodes in watched:
        if node.GetScene() is not None:
            assert shown(node) == before
            assert slicer.mrmlScene.GetNumberOfNodes() == nodes


def test_segments_of_one_label_map_keep_their_voxels_and_get_the_values_asked_for(scan: Any) -> None:
    node = addSegmentation(scan)
    first, second = box((1, 4), (2, 9), (3, 9)), box((5, 9), (2, 9), (3, 9))
    ids = [addSegment(node, "first", first, scan), addSegment(node, "second", second, scan)]
    addSegment(node, "not chosen", box((4, 5), (2, 9), (3, 9)), scan)
    reading = readSegments(node, {ids[0]: 7, ids[1]: 3}, readVolume(scan))
    np.testing.assert_array_equal(reading.labelmap, first * 7 + second * 3)
    assert reading.labelmap.dtype == np.uint8
    assert [(found.name, found.voxels) for found in reading.segments] == [
        ("first", int(first.sum())),
        ("second", int(second.sum())),
    ]
    assert reading.notes == ()


def test_many_segments_in_one_label_map(scan: Any) -> None:
    node = addSegmentation(scan)
    masks = [box((1, 9), (2, 9), (n, n + 1)) for n in range(12)]
    ids = [addSegment(node, f"part {n}", mask, scan) for n, mask in enumerate(masks)]
    reading = read(node, *ids, scan=scan)
    np.testing.assert_array_equal(reading.labelmap, sum(mask * (n + 1) for n, mask in enumerate(masks)))


def test_where_segments_overlap_the_smaller_one_wins_and_the_voxels_are_counted(scan: Any) -> None:
    node = addSegmentation(scan)
    organ, lesion = box((1, 9), (1, 10), (1, 12)), box((4, 6), (4, 6), (4, 6))
    # The lesion comes first in the list: the order must not matter.
    ids = [addSegment(node, "lesion", lesion, scan), addSegment(node, "organ", organ, scan)]
    reading = read(node, *ids, scan=scan)
    np.testing.assert_array_equal(reading.labelmap, np.where(lesion, 1, organ * 2))
    assert reading.overlaps == {(1, 2): 8}
    assert len(reading.notes) == 1
    assert "'lesion' and 'organ' overlap: 8 voxels go to 'lesion'" in reading.notes[0]


def test_of_two_equally_large_segments_the_one_further_down_wins(scan: Any) -> None:
    node = addSegmentation(scan)
    upper, lower = box((1, 4), (2, 9), (3, 9)), box((3, 6), (2, 9), (3, 9))
    ids = [addSegment(node, "upper", upper, scan), addSegment(node, "lower", lower, scan)]
    # Asked for in the other order: the list of segments counts.
    reading = readSegments(node, {ids[1]: 1, ids[0]: 2}, readVolume(scan))
    np.testing.assert_array_equal(reading.labelmap, np.where(lower, 1, upper * 2))
    assert [found.name for found in reading.segments] == ["upper", "lower"]


def test_three_that_overlap(scan: Any) -> None:
    node = addSegmentation(scan)
    masks = [box((1, 9), (1, 10), (1, 12)), box((2, 8), (2, 8), (2, 8)), box((3, 5), (3, 5), (3, 5))]
    ids = [addSegment(node, name, mask, scan) for name, mask in zip("abc", masks, strict=True)]
    reading = read(node, *ids, scan=scan)
    expected = np.zeros(SHAPE, np.uint8)
    for value, mask in enumerate(masks, start=1):
        expected[mask] = value
    np.testing.assert_array_equal(reading.labelmap, expected)
    assert {winner for winner, _loser in reading.overlaps} == {2, 3}


def test_segments_merged_into_one_value_do_not_overlap(scan: Any) -> None:
    node = addSegmentation(scan)
    upper, lower = box((1, 5), (2, 9), (3, 9)), box((3, 6), (2, 9), (3, 9))
    ids = [addSegment(node, "upper", upper, scan), addSegment(node, "lower", lower, scan)]
    reading = readSegments(node, {ids[0]: 4, ids[1]: 4}, readVolume(scan))
    np.testing.assert_array_equal(reading.labelmap, (upper | lower) * 4)
    assert reading.notes == ()


def test_an_empty_segment_is_named_and_the_others_are_read(scan: Any) -> None:
    node = addSegmentation(scan)
    mask = box((1, 4), (2, 9), (3, 9))
    ids = [addSegment(node, "nothing", mask & False, scan), addSegment(node, "something", mask, scan)]
    reading = read(node, *ids, scan=scan)
    np.testing.assert_array_equal(reading.labelmap, mask * 2)
    assert [found.isEmpty for found in reading.segments] == [True, False]
    assert reading.notes == ("The segment 'nothing' is empty.",)


def test_a_segment_whose_voxels_were_all_erased_is_empty(scan: Any) -> None:
    node = addSegmentation(scan)
    mask = box((1, 4), (2, 9), (3, 9))
    segmentId = addSegment(node, "erased", mask, scan)
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros(SHAPE, np.uint8), node, segmentId, scan)
    reading = read(node, segmentId, scan=scan)
    assert reading.segments[0].isEmpty
    assert reading.painted.k == ()
    assert reading.notes == ("The segment 'erased' is empty.",)


def test_what_lies_outside_of_the_scan_is_left_out_and_told(scan: Any) -> None:
    larger = addScan(shape=(20, 12, 14))  # the same voxels, and ten slices more
    node = addSegmentation(larger)
    half, beyond = np.zeros((20, 12, 14), bool), np.zeros((20, 12, 14), bool)
    half[8:12, 2:9, 3:9], beyond[15:18, 2:9, 3:9] = True, True
    ids = [addSegment(node, "half", half, larger), addSegment(node, "beyond", beyond, larger)]
    reading = read(node, *ids, scan=scan)
    np.testing.assert_array_equal(reading.labelmap, half[:10])
    assert [round(found.outside, 3) for found in reading.segments] == [0.5, 1.0]
    assert [found.isEmpty for found in reading.segments] == [False, False]
    assert reading.notes == (
        "50 % of the segment 'half' lie outside of scan and are left out.",
        "The segment 'beyond' lies outside of scan.",
    )


def test_a_label_map_that_begins_before_the_scan(scan: Any) -> None:
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(scan))
    matrix[:3, 3] -= matrix[:3, 2] * 3
    earlier = addScan(matrix)
    node = addSegmentation(earlier)
    mask = box((1, 6), (2, 9), (3, 9))  # on the scan: k -2 to 2
    reading = read(node, addSegment(node, "early", mask, earlier), scan=scan)
    np.testing.assert_array_equal(reading.labelmap, box((0, 3), (2, 9), (3, 9)))
    assert "40 % of the segment 'early'" in reading.notes[0]


def _matrixOf(scan: Any) -> Any:
    matrix = vtk.vtkMatrix4x4()
    scan.GetIJKToRASMatrix(matrix)
    return matrix


@pytest.mark.parametrize("finer", [2, 0.5])
def test_other_voxels_are_resampled_to_the_nearest(scan: Any, finer: float) -> None:
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(scan))
    matrix[:3, :3] /= finer
    other = addScan(matrix, tuple(int(size * finer) for size in SHAPE))
    node = addSegmentation(other)
    mask = np.zeros(tuple(int(size * finer) for size in SHAPE), bool)
    mask[tuple(slice(int(2 * finer), int(8 * finer)) for _axis in range(3))] = True
    segmentId = addSegment(node, "part", mask, other)
    reading = read(node, segmentId, scan=scan)
    expected = slicerSays(node, segmentId, scan)
    assert expected.sum() > 100
    np.testing.assert_array_equal(reading.labelmap != 0, expected)
    assert reading.notes == ("The segmentation 'painted' has other voxels than scan: it was resampled.",)


def test_a_turned_grid_half_outside(scan: Any) -> None:
    matrix = np.diag([1.5, 1.5, 1.5, 1.0])
    matrix[:3, 3] = -9, 3, 3
    other = addScan(matrix, (16, 16, 16))
    node = addSegmentation(other)
    mask = np.zeros((16, 16, 16), bool)
    mask[3:13, 4:12, 4:12] = True
    segmentId = addSegment(node, "part", mask, other)
    reading = read(node, segmentId, scan=scan)
    np.testing.assert_array_equal(reading.labelmap != 0, slicerSays(node, segmentId, scan))
    inside = reading.labelmap.sum() * 2 / (mask.sum() * 1.5**3)
    assert 0.2 < reading.segments[0].outside < 0.9
    assert reading.segments[0].outside == pytest.approx(1 - inside, abs=0.03)
    assert "lie outside of scan" in reading.notes[0]


def test_what_is_too_thin_for_the_scan_is_told(scan: Any) -> None:
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(scan))
    matrix[:3, :3] = matrix[:3, :3] / 8
    finer = addScan(matrix, (32, 32, 32))
    node = addSegmentation(finer)
    mask = np.zeros((32, 32, 32), bool)
    mask[11:13, 10:14, 10:14] = True  # between two voxels of the scan
    reading = read(node, addSegment(node, "thin", mask, finer), scan=scan)
    assert not reading.labelmap.any()
    assert "'thin' is too thin for the voxels of scan" in reading.notes[0]


@pytest.mark.parametrize("scanBelow", [False, True])
@pytest.mark.parametrize("segmentationBelow", [False, True])
def test_linear_transforms_of_either_are_followed(
    scan: Any, scanBelow: bool, segmentationBelow: bool
) -> None:
    moved = np.eye(4)
    moved[:3, :3] = np.array([[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]])
    moved[:3, 3] = 1.5, -2, 1
    transform = addTransform(moved)
    node = addSegmentation(scan)
    segmentId = addSegment(node, "part", box((2, 8), (3, 9), (3, 11)), scan)
    scan.SetAndObserveTransformNodeID(transform.GetID() if scanBelow else None)
    node.SetAndObserveTransformNodeID(transform.GetID() if segmentationBelow else None)
    reading = read(node, segmentId, scan=scan)
    expected = slicerSays(node, segmentId, scan)
    np.testing.assert_array_equal(reading.labelmap != 0, expected)
    assert (reading.labelmap != 0).sum() > 60
    assert any("resampled" in note for note in reading.notes) == (scanBelow != segmentationBelow)


def test_a_shift_by_whole_voxels_needs_no_resampling(scan: Any) -> None:
    shift = np.eye(4)
    shift[:3, 3] = slicer.util.arrayFromVTKMatrix(_matrixOf(scan))[:3, 2] * 2
    node = addSegmentation(scan)
    segmentId = addSegment(node, "part", box((2, 6), (3, 9), (3, 11)), scan)
    node.SetAndObserveTransformNodeID(addTransform(shift).GetID())
    reading = read(node, segmentId, scan=scan)
    np.testing.assert_array_equal(reading.labelmap, box((4, 8), (3, 9), (3, 11)))
    assert reading.notes == ()


def test_a_segmentation_below_a_bending_transform(scan: Any) -> None:
    node = addSegmentation(scan)
    mask = box((2, 8), (3, 9), (3, 11))
    segmentId = addSegment(node, "part", mask, scan)
    node.SetAndObserveTransformNodeID(addBending().GetID())
    reading = read(node, segmentId, scan=scan)
    expected = whereShown(node, mask, scan, centersOf(scan))
    assert (expected != mask).sum() > 20
    assert ((reading.labelmap != 0) != expected).sum() <= 2  # a center may lie half-way
    assert any("below a transform that bends" in note for note in reading.notes)


def test_a_scan_below_a_bending_transform_is_read_where_the_views_show_it(scan: Any) -> None:
    node = addSegmentation(scan)
    mask = box((2, 8), (3, 9), (3, 11))
    segmentId = addSegment(node, "part", mask, scan)
    transform = addBending()
    scan.SetAndObserveTransformNodeID(transform.GetID())
    node.SetAndObserveTransformNodeID(transform.GetID())
    reading = readSegments(node, {segmentId: 1}, readVolume(scan))
    expected = whereShown(node, mask, scan, centersOf(scan))
    assert expected.sum() > 200
    assert ((reading.labelmap != 0) != expected).sum() <= 2


def addSurface(node: Any, name: str, center: tuple[float, ...], radius: float) -> str:
    source = vtk.vtkSphereSource()
    source.SetCenter(*center)
    source.SetRadius(radius)
    source.SetThetaResolution(40)
    source.SetPhiResolution(40)
    source.Update()
    return str(node.AddSegmentFromClosedSurfaceRepresentation(source.GetOutput(), name, [1.0, 0.0, 0.0]))


def surfaces(scan: Any) -> Any:
    node = addSegmentation(None, "drawn")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    if scan is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    return node


def centersOf(scan: Any) -> np.ndarray:
    """World RAS of the centers of all voxels, ``(K, J, I, 3)``."""
    snapshot = readVolume(scan)
    k, j, i = np.indices(snapshot.array.shape)
    points = np.stack([i, j, k, np.ones(k.shape)], axis=-1) @ snapshot.affine.T
    return points[..., :3] * [-1, -1, 1]


@pytest.mark.parametrize("withGrid", [True, False])
def test_surfaces_are_filled_on_the_voxels_of_the_scan(scan: Any, withGrid: bool) -> None:
    node = surfaces(scan if withGrid else None)
    centers = centersOf(scan)
    middle = centers[5, 6, 7]
    ids = [addSurface(node, "ball", middle, 4.0), addSurface(node, "beside", middle + 500, 4.0)]
    reading = read(node, *ids, scan=scan)
    distance = np.linalg.norm(centers - middle, axis=-1)
    assert (reading.labelmap[distance < 3.9] == 1).all()
    assert (reading.labelmap[distance > 4.1] == 0).all()
    assert "The segment 'beside' lies outside of scan." in reading.notes
    assert any("Kept as surfaces" in note and "ball" in note for note in reading.notes)
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


@pytest.mark.parametrize("bending", [False, True])
def test_surfaces_below_a_transform(scan: Any, bending: bool) -> None:
    node = surfaces(scan)
    middle = centersOf(scan)[5, 6, 7]
    shift = np.eye(4)
    shift[:3, 3] = 2, -1, 3
    segmentId = addSurface(node, "ball", middle, 4.0)
    node.SetAndObserveTransformNodeID((addBending(3.0) if bending else addTransform(shift)).GetID())
    reading = read(node, segmentId, scan=scan)
    moved = [0.0] * 3
    node.TransformPointToWorld(middle, moved)
    distance = np.linalg.norm(centersOf(scan) - moved, axis=-1)
    assert (reading.labelmap[distance < (2 if bending else 3.9)] == 1).all()
    assert (reading.labelmap[distance > (7 if bending else 4.1)] == 0).all()


def test_a_surface_half_outside_and_an_empty_one(scan: Any) -> None:
    node = surfaces(scan)
    edge = centersOf(scan)[0, 6, 7] - (0, 0, 1)  # on the face of the scan
    ids = [addSurface(node, "half", edge, 4.0)]
    ids.append(str(node.AddSegmentFromClosedSurfaceRepresentation(vtk.vtkPolyData(), "none", [1.0, 0, 0])))
    reading = read(node, *ids, scan=scan)
    assert reading.segments[0].outside == pytest.approx(0.5, abs=0.1)
    assert [found.isEmpty for found in reading.segments] == [False, True]
    assert "The segment 'none' is empty." in reading.notes


def test_painted_slices_of_each_axis(scan: Any) -> None:
    node = addSegmentation(scan)
    mask = np.zeros(SHAPE, bool)
    mask[[1, 4, 8], 3:9, 2:11] = True
    reading = read(node, addSegment(node, "part", mask, scan), scan=scan)
    assert reading.painted.k == (1, 4, 8)
    assert reading.painted.j == tuple(range(3, 9))
    assert reading.painted.i == tuple(range(2, 11))
    assert reading.painted.guessedAxis == "k"


def test_what_goes_away_while_it_is_read_is_one_sentence(scan: Any) -> None:
    node = addSegmentation(scan)
    segmentId = addSegment(node, "part", box((2, 8), (3, 9), (3, 11)), scan)
    snapshot = readVolume(scan)
    with pytest.raises(InputError, match="A chosen segment is gone"):
        readSegments(node, {"other": 1}, snapshot)
    steps = readingSteps(node, {segmentId: 1}, snapshot)
    next(steps)
    addSegment(node, "more", box((0, 10), (0, 12), (0, 14)), scan)
    with pytest.raises(InputError, match="changed while it was read"):
        list(steps)
    slicer.mrmlScene.RemoveNode(node)
    with pytest.raises(InputError, match="was deleted"):
        readSegments(node, {segmentId: 1}, snapshot)
