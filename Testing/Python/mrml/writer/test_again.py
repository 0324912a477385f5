"""A second run: the model's own segments are written again in place, everything else stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

OTHER_NAMES = {1: "liver", 3: "vessel"}


@pytest.fixture
def first(tools: Any) -> Any:
    """A scan with a first result: volume, snapshot, segmentation, segment ids."""
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    ids = tools.Writer().write(tools.result(tools.labels()), snapshot, node)
    return volume, snapshot, node, ids


def moved(labels: np.ndarray) -> np.ndarray:
    return np.roll(labels, (1, -2), axis=(0, 1))


def test_same_ids_new_voxels(tools: Any, first: Any) -> None:
    volume, snapshot, node, ids = first
    labels = moved(tools.labels())
    assert tools.Writer().write(tools.result(labels), snapshot, node) == ids
    assert node.GetSegmentation().GetNumberOfSegments() == 3
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_what_the_person_changed_stays(tools: Any, first: Any) -> None:
    _volume, snapshot, node, ids = first
    segment = node.GetSegmentation().GetSegment(ids[0])
    segment.SetName("my liver")
    segment.SetColor(0, 0, 1)
    segment.SetTerminology("mine")
    node.GetDisplayNode().SetSegmentVisibility(ids[1], False)
    node.GetDisplayNode().SetSegmentOpacity3D(ids[2], 0.25)
    tools.Writer().write(tools.result(moved(tools.labels())), snapshot, node)
    segment = node.GetSegmentation().GetSegment(ids[0])
    assert (segment.GetName(), segment.GetColor(), segment.GetTerminology()) == (
        "my liver",
        (0, 0, 1),
        "mine",
    )
    assert not node.GetDisplayNode().GetSegmentVisibility(ids[1])
    assert node.GetDisplayNode().GetSegmentOpacity3D(ids[2]) == 0.25


def test_surfaces_follow_in_place(tools: Any, first: Any) -> None:
    volume, snapshot, node, ids = first
    node.CreateClosedSurfaceRepresentation()
    centers = {i: np.array(node.GetSegmentCenter(i)) for i in ids}
    labels = np.roll(tools.labels(), 3, axis=0)
    tools.Writer().write(tools.result(labels), snapshot, node)
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        surface = node.GetClosedSurfaceInternalRepresentation(segment_id)
        bounds = np.array(surface.GetBounds())[4:]
        found = np.argwhere(labels == value)[:, 0]
        np.testing.assert_allclose(
            bounds, (4 + 2.5 * (found.min() - 0.5), 4 + 2.5 * (found.max() + 0.5)), atol=2
        )
        assert not np.allclose(centers[segment_id], node.GetSegmentCenter(segment_id))
    assert volume is not None


def test_another_model_adds_with_names_of_its_own(tools: Any, first: Any) -> None:
    volume, snapshot, node, ids = first
    labels = np.zeros(tools.SHAPE, np.uint8)
    labels[3:6, 4:7, 5:10] = 1
    labels[7, 7, 7] = 3
    before = tools.state(node, volume)
    added = tools.Writer().write(tools.result(labels, OTHER_NAMES, model="vessels"), snapshot, node)
    after = tools.state(node, volume)
    assert {i: after[i] for i in ids} == before
    assert [after[i][0] for i in added] == ["liver (2)", "vessel"]
    for value, segment_id in zip(OTHER_NAMES, added, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)


def test_other_weights_of_the_same_name_are_another_model(tools: Any, first: Any) -> None:
    _volume, snapshot, node, ids = first
    result = tools.result(tools.labels())
    result.model["sha256"] = "cd34"
    assert not set(tools.Writer().write(result, snapshot, node)) & set(ids)


def test_result_beside_what_was_drawn_by_hand(tools: Any) -> None:
    """Without an editor the hand-drawn segment keeps all its voxels, in a shared label map or not."""
    volume = tools.scan()
    snapshot = tools.read(volume)
    for shared in (False, True):
        node = tools.new(snapshot, "drawn")
        mask = np.zeros(tools.SHAPE, bool)
        mask[4:6, 2:10, 2:12] = True
        hand = tools.draw(node, volume, "by hand", mask)
        tools.draw(node, volume, "more", np.roll(mask, 3, axis=0), shared)
        before = tools.state(node, volume)
        for labels in (tools.labels(), moved(tools.labels())):
            ids = tools.Writer().write(tools.result(labels), snapshot, node)
            for value, segment_id in zip(tools.NAMES, ids, strict=True):
                np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)
        after = tools.state(node, volume)
        assert {i: after[i] for i in before} == before
        assert hand in before


def test_own_segment_that_shares_a_label_map_with_a_drawn_one(tools: Any, first: Any) -> None:
    """Slicer joins layers when it loads or collapses; old voxels must not stay there as ghosts."""
    volume, snapshot, node, ids = first
    mask = np.zeros(tools.SHAPE, bool)
    mask[9, :4, :4] = True
    hand = tools.draw(node, volume, "by hand", mask, shared=True)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    labels = moved(tools.labels())
    tools.Writer().write(tools.result(labels), snapshot, node)
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)
    np.testing.assert_array_equal(tools.voxels(node, hand, volume), mask)
    layer = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, hand)
    assert set(np.unique(layer)) == {0, node.GetSegmentation().GetSegment(hand).GetLabelValue()}


def test_copy_of_a_segment_is_kept_as_the_former_result(tools: Any, first: Any) -> None:
    volume, snapshot, node, ids = first
    copy = slicer.vtkSegment()
    copy.DeepCopy(node.GetSegmentation().GetSegment(ids[0]))
    copy.SetName("liver before")
    node.GetSegmentation().AddSegment(copy, "copy")
    before = tools.voxels(node, "copy", volume)
    tools.Writer().write(tools.result(moved(tools.labels())), snapshot, node)
    np.testing.assert_array_equal(tools.voxels(node, "copy", volume), before)
    np.testing.assert_array_equal(tools.voxels(node, ids[0], volume), moved(tools.labels()) == 1)


def test_removed_segment_comes_back(tools: Any, first: Any) -> None:
    volume, snapshot, node, ids = first
    node.GetSegmentation().RemoveSegment(ids[1])
    again = tools.Writer().write(tools.result(tools.labels()), snapshot, node)
    assert (again[0], again[2]) == (ids[0], ids[2])
    np.testing.assert_array_equal(tools.voxels(node, again[1], volume), tools.labels() == 2)


def test_segment_removed_between_the_steps_is_written_as_a_new_one(tools: Any, first: Any) -> None:
    volume, snapshot, node, ids = first
    writer = tools.Writer()
    steps = writer.steps(tools.result(tools.labels()), snapshot, node)
    next(steps)
    node.GetSegmentation().RemoveSegment(ids[2])
    assert list(steps)[-1] == 1
    np.testing.assert_array_equal(tools.voxels(node, writer.segmentIds[2], volume), tools.labels() == 5)


def test_empty_segmentation_made_by_the_person_becomes_that_of_the_scan(tools: Any) -> None:
    """Nothing set: without the scan's transform and grid the result would lie elsewhere."""
    volume = tools.scan()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1, 2, 1.0, 1])))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    ids = tools.Writer().write(tools.result(tools.labels()), tools.read(volume), node)
    assert node.GetTransformNodeID() == transform.GetID()
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), tools.labels() == value)


@pytest.mark.parametrize("filled", [False, True])
def test_segmentation_below_another_transform_keeps_it(tools: Any, filled: bool) -> None:
    """World positions count: the voxels are written where the scan's are, in the segmentation's own frame."""
    volume = tools.scan(np.diag([1.0, 1, 2]))
    node = tools.new(tools.read(volume), "result")
    if filled:
        tools.draw(node, volume, "by hand", tools.labels() == 2)
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (2, -3, 4)
    shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(shift.GetID())
    labels = tools.labels()
    writer = tools.Writer()
    ids = writer.write(tools.result(labels), tools.read(volume), node)
    assert node.GetTransformNodeID() == shift.GetID()
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)
    assert writer.notes == ()


@pytest.mark.parametrize("turned", [False, True])
def test_segmentation_with_another_grid_keeps_it(tools: Any, turned: bool) -> None:
    """The result is resampled to the segmentation's own grid, as in the Segment Editor; a note says so."""
    fine = tools.scan(np.diag([1.0, 1, 1]), (20, 24, 28))
    volume = tools.scan(np.diag([2.0, 2, 2]) @ (tools.TURN if turned else np.eye(3)))
    offset = (0.2, 0.1, 0.3) if turned else np.full(3, 0.5)  # no voxel lies halfway between two
    matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume))
    matrix[:3, 3] += offset
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node = tools.new(tools.read(fine), "result")
    tools.draw(node, fine, "by hand", np.pad(np.ones((2, 2, 2), bool), ((0, 18), (0, 22), (0, 26))))
    labels, writer = tools.labels(), tools.Writer()
    ids = writer.write(tools.result(labels), tools.read(volume), node)
    to_coarse = np.linalg.inv(matrix) @ slicer.util.arrayFromVTKMatrix(ijk_to_ras(fine))
    k, j, i = np.indices((20, 24, 28))
    index = np.rint(np.stack([i, j, k, np.ones_like(i)], -1) @ to_coarse.T)[..., 2::-1].astype(int)
    valid = ((index >= 0) & (index < labels.shape)).all(axis=-1)
    expected = np.where(valid, labels[tuple(np.moveaxis(np.where(valid[..., None], index, 0), -1, 0))], 0)
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        found = tools.voxels(node, segment_id, fine)
        different = (found != (expected == value)).sum()
        assert different == 0
    assert len(writer.notes) == 1
    image = node.GetBinaryLabelmapInternalRepresentation(ids[0])
    assert image.GetSpacing() == pytest.approx((1, 1, 1))


def ijk_to_ras(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_segmentation_of_surfaces_is_refused(tools: Any, first: Any) -> None:
    from medcontext.errors import InputError

    _volume, snapshot, node, _ids = first
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError):
        tools.Writer().write(tools.result(tools.labels()), snapshot, node)


def test_segmentation_below_the_warp_of_a_warped_scan(tools: Any) -> None:
    """The scan is read in world space, the segmentation stays below the transform: both show the same place."""
    volume = tools.scan(np.diag([1.0, 1, 1]))
    node = tools.new(tools.read(volume), "result")
    tools.draw(node, volume, "by hand", tools.labels() == 2)
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    warp.SetAndObserveTransformToParent(bend())
    volume.SetAndObserveTransformNodeID(warp.GetID())
    node.SetAndObserveTransformNodeID(warp.GetID())
    snapshot = tools.read(volume)
    labels = np.zeros(snapshot.array.shape, np.uint8)
    labels[2:7, 3:8, 3:10] = 1
    writer = tools.Writer()
    (segment_id,) = writer.write(tools.result(labels, {1: "liver"}), snapshot, node)
    assert node.GetTransformNodeID() == warp.GetID()
    hardened = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "hardened")
    hardened.HardenTransform()
    found = tools.voxels(node, segment_id, hardened)  # Slicer brings it to the world
    assert 2 * (found & (labels == 1)).sum() / (found.sum() + (labels == 1).sum()) > 0.9
    assert len(writer.notes) == 1


def bend() -> Any:
    import vtk

    spline, source, target = vtk.vtkThinPlateSplineTransform(), vtk.vtkPoints(), vtk.vtkPoints()
    for i, j, k in np.ndindex(3, 3, 3):
        point = np.array([12.5 + 7 * i, -30 + 6 * j, 4 + 5 * k])
        source.InsertNextPoint(point)
        target.InsertNextPoint(point + np.array([3, -2, 0.5 * i * j]))
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    return spline
