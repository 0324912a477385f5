"""Results in new segmentations: what is where, what it is called, and that it costs one label map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from medcontext.errors import InputError


def write(tools: Any, volume: Any, labelmap: np.ndarray, names: dict[int, str] | None = None) -> Any:
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    writer = tools.Writer()
    writer.write(tools.result(labelmap, names), snapshot, node)
    return node, writer


def test_labels_with_gaps_become_the_right_segments(tools: Any) -> None:
    volume, labels = tools.scan(), tools.labels()
    node, writer = write(tools, volume, labels)
    assert len(writer.segmentIds) == 3
    for value, segment_id in zip(tools.NAMES, writer.segmentIds, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)
        assert node.GetSegmentation().GetSegment(segment_id).GetName() == tools.NAMES[value]
    assert writer.notes == ()
    assert writer.protectedVoxels == 0


def test_segments_share_one_label_map_no_larger_than_needed(tools: Any) -> None:
    node, writer = write(tools, tools.scan(), tools.labels())
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    image = node.GetBinaryLabelmapInternalRepresentation(writer.segmentIds[0])
    assert image.GetExtent() == (4, 12, 3, 10, 2, 8)
    assert image.GetScalarType() == vtk.VTK_UNSIGNED_CHAR


@pytest.mark.parametrize(
    "directions",
    [
        np.diag([-0.7, -0.8, 2.5]),
        np.diag([0.7, 0.8, -2.5]),
        np.array([[0, 0, 2.5], [0.7, 0, 0], [0, -0.8, 0]]),
        np.array([[0.5, 0.2, 0], [-0.3, 0.7, 0.4], [0.1, 0, 2.0]]),
    ],
    ids=["LPS", "negative K", "permuted", "sheared axes"],
)
@pytest.mark.parametrize("below", ["none", "rigid", "scaled and sheared", "nested"])
def test_every_voxel_lies_where_the_scan_has_it(tools: Any, directions: np.ndarray, below: str) -> None:
    """World positions of segment voxels, through Slicer's nodes, are those of the scan's voxels."""
    volume, labels = tools.scan(directions), tools.labels()
    linear = {"rigid": tools.TURN, "nested": tools.TURN}.get(
        below, np.array([[1.5, 0.3, 0], [0, 1, 0], [0, 0, 0.8]])
    )
    if below != "none":
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = linear, (3, 4, 5)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        if below == "nested":
            outer = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            outer.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1, 2, 1.0, 1])))
            transform.SetAndObserveTransformNodeID(outer.GetID())
    node, writer = write(tools, volume, labels)
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    for value, segment_id in zip(tools.NAMES, writer.segmentIds, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)
    matrix, image = vtk.vtkMatrix4x4(), node.GetBinaryLabelmapInternalRepresentation(writer.segmentIds[0])
    image.GetImageToWorldMatrix(matrix)
    expected = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(expected)
    ours, theirs = (slicer.util.arrayFromVTKMatrix(m) for m in (matrix, expected))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_warped_scan_is_segmented_in_world_space(tools: Any) -> None:
    """The segmentation hangs below no transform and lies on the hardened copy's grid, voxel for voxel."""
    volume = tools.scan(np.diag([1.0, 1, 2]))
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for i, j, k in np.ndindex(2, 2, 2):
        point = np.array([12.5 + 13 * i, -30 + 11 * j, 4 + 18 * k])
        source.InsertNextPoint(point)
        target.InsertNextPoint(point + np.array([0, 2 * k, 6 * i * j]))
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    warp.SetAndObserveTransformToParent(spline)
    volume.SetAndObserveTransformNodeID(warp.GetID())
    snapshot = tools.read(volume)
    labels = np.zeros(snapshot.array.shape, np.uint8)
    labels[1:4, 2:6, 3:9] = 1
    node = tools.new(snapshot, "result")
    (segment_id,) = tools.Writer().write(tools.result(labels, {1: "liver"}), snapshot, node)
    assert node.GetTransformNodeID() is None
    hardened = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "hardened")
    hardened.HardenTransform()
    assert hardened.GetImageData().GetDimensions() == labels.shape[::-1]
    np.testing.assert_array_equal(tools.voxels(node, segment_id, hardened), labels == 1)
    volume.Modified()
    geometry = slicer.vtkOrientedImageData()
    text = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False)
    assert geometry.GetDimensions() == labels.shape[::-1]
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume


def test_names_colors_and_codes(tools: Any) -> None:
    node, writer = write(tools, tools.scan(), tools.labels())
    for value, segment_id in zip(tools.NAMES, writer.segmentIds, strict=True):
        segment = node.GetSegmentation().GetSegment(segment_id)
        assert segment.GetColor() == pytest.approx((200 / 255, 10 * value / 255, 30 / 255))
        assert not segment.GetNameAutoGenerated()
        assert not segment.GetColorAutoGenerated()
    logic, entry = slicer.modules.terminologies.logic(), slicer.vtkSlicerTerminologyEntry()
    kidney = node.GetSegmentation().GetSegment(writer.segmentIds[2])
    assert logic.DeserializeTerminologyEntry(kidney.GetTerminology(), entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Kidney"
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Left"
    liver = node.GetSegmentation().GetSegment(writer.segmentIds[0])
    assert liver.GetTerminology() == slicer.vtkSegment().GetTerminology(), (
        "uncoded labels are Tissue, as in Slicer"
    )


def test_codes_survive_what_separates_them() -> None:
    from MedContextSegmentLib.Scene.Terminology import segmentTerminology, setTerminology

    segment = slicer.vtkSegment()
    codes = {
        "category": {"scheme": "SCT", "value": "1", "meaning": "a~b^c|d"},
        "type": {"scheme": "SCT", "value": "2", "meaning": "Grüße"},
        "region": {"scheme": "SCT", "value": "3", "meaning": "place"},
    }
    setTerminology(segment, codes)
    codes["category"]["meaning"] = "a-b-c-d"
    assert segmentTerminology(segment) == codes


def test_labels_without_a_voxel_are_listed_empty_and_named_in_a_note(tools: Any) -> None:
    volume, labels = tools.scan(), tools.labels()
    labels[labels == 2] = 0
    node, writer = write(tools, volume, labels)
    assert len(writer.segmentIds) == 3
    assert not tools.voxels(node, writer.segmentIds[1], volume).any()
    np.testing.assert_array_equal(tools.voxels(node, writer.segmentIds[2], volume), labels == 5)
    assert writer.notes == ("Not found: spleen.",)


def test_empty_result_leaves_empty_segments_that_can_be_painted(tools: Any) -> None:
    volume = tools.scan()
    node, writer = write(tools, volume, np.zeros(tools.SHAPE, np.uint8))
    assert len(writer.segmentIds) == 3
    mask = tools.labels() == 1
    first, second = writer.segmentIds[:2]
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, first, volume)
    np.testing.assert_array_equal(tools.voxels(node, first, volume), mask)
    assert not tools.voxels(node, second, volume).any()


def test_values_without_a_label_do_not_haunt_later_segments(tools: Any) -> None:
    """Slicer gives a new segment the next free value of the shared label map."""
    volume, labels = tools.scan(), tools.labels()
    labels[5, 8, 5:8] = 6
    node, _writer = write(tools, volume, labels)
    later = [node.GetSegmentation().AddEmptySegment("", name) for name in ("a", "b", "c")]
    assert not any(tools.voxels(node, segment_id, volume).any() for segment_id in later)


def test_place_in_the_hierarchy_and_unique_names(tools: Any, scene: Any) -> None:
    volume = tools.scan()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    snapshot = tools.read(volume)
    first, second = tools.new(snapshot, "result"), tools.new(snapshot, "result")
    for node in (first, second):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
        assert node.GetDisplayNode() is not None
    assert first.GetName() == "result"
    assert second.GetName() != "result"


def test_nothing_else_is_left_in_the_scene(tools: Any, scene: Any) -> None:
    volume = tools.scan()
    before = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    node, _writer = write(tools, volume, tools.labels())
    after = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    assert after - before == {node.GetID(), node.GetDisplayNodeID()}


def test_memory_is_given_back(tools: Any, scene: Any) -> None:
    node, writer = write(tools, tools.scan(), tools.labels())
    image = node.GetBinaryLabelmapInternalRepresentation(writer.segmentIds[0])
    gone: list[str] = []
    image.AddObserver("DeleteEvent", lambda *_arguments: gone.append("image"))
    del image
    scene.RemoveNode(node)
    del node
    assert gone == ["image"]


def test_volume_deleted_before_the_segmentation_is_made(tools: Any, scene: Any) -> None:
    volume = tools.scan()
    snapshot = tools.read(volume)
    scene.RemoveNode(volume)
    with pytest.raises(InputError):
        tools.new(snapshot, "result")


def test_segmentation_deleted_between_the_steps(tools: Any, scene: Any) -> None:
    snapshot = tools.read(tools.scan())
    node = tools.new(snapshot, "result")
    steps = tools.Writer().steps(tools.result(tools.labels()), snapshot, node)
    while node.GetSegmentation().GetNumberOfSegments() < 2:
        next(steps)
    scene.RemoveNode(node)
    with pytest.raises(InputError, match="deleted"):
        next(steps)
    with pytest.raises(InputError, match="deleted"):
        tools.Writer().write(tools.result(tools.labels()), snapshot, node)


def test_result_of_another_scan_is_refused(tools: Any) -> None:
    snapshot = tools.read(tools.scan())
    node = tools.new(snapshot, "result")
    with pytest.raises(InputError):
        tools.Writer().write(tools.result(tools.labels()[1:]), snapshot, node)
    assert node.GetSegmentation().GetNumberOfSegments() == 0


@pytest.mark.parametrize("protected", [False, True], ids=["new", "protected"])
@pytest.mark.parametrize("exact", [True, False], ids=["all labels", "a value without a label"])
def test_no_step_touches_more_than_a_part_of_a_large_result(
    tools: Any, monkeypatch: pytest.MonkeyPatch, protected: bool, exact: bool
) -> None:
    """Counted in voxels that are looked up or copied between two turns of the event loop."""
    from MedContextSegmentLib.Scene import OrientedImage, SegmentWriting

    labels = np.zeros((40, 30, 30), np.uint8)
    labels[::2], labels[1::2] = 1, 2
    labels[20, 3, 4] = 0 if exact else 9
    volume = tools.scan(shape=labels.shape)
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    if protected:
        mask = np.zeros(labels.shape, np.uint8)
        mask[7:30, 5:9, 5:9] = 1
        segment_id = tools.draw(node, volume, "mine", mask)
        segment = node.GetSegmentation().GetSegment(segment_id)
        slicer_logic = slicer.vtkSlicerSegmentationsModuleLogic
        slicer_logic.SetSegmentStatus(segment, slicer_logic.Completed)
        editor = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editor.SetAndObserveSegmentationNode(node)
        editor.SetOverwriteMode(editor.OverwriteAllSegments)
    monkeypatch.setattr(OrientedImage, "STEP_VOXELS", 2000)
    touched = [0]
    for name in ("among", "cropped", "valuesOn"):
        inner = getattr(SegmentWriting, name)

        def counted(*arguments: Any, inner: Any = inner) -> Any:
            result = inner(*arguments)
            touched[-1] += result.size
            return result

        monkeypatch.setattr(SegmentWriting, name, counted)
    writer = tools.Writer(editor if protected else None)
    for _round in range(2):
        for _share in writer.steps(tools.result(labels, {1: "liver", 2: "spleen"}), snapshot, node):
            touched.append(0)
    assert max(touched) <= 2 * 2000
    assert protected or exact or max(touched) > 0
    free = mask == 0 if protected else np.ones(labels.shape, bool)
    for value, segment_id in enumerate(writer.segmentIds, start=1):
        found = tools.voxels(node, segment_id, volume)
        np.testing.assert_array_equal(found, (labels == value) & free)


def test_each_step_leaves_a_valid_segmentation_and_the_shares_grow(tools: Any) -> None:
    volume, labels = tools.scan(), tools.labels()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    shares = []
    for share in tools.Writer().steps(tools.result(labels), snapshot, node):
        shares.append(share)
        segmentation = node.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            found = tools.voxels(node, segmentation.GetNthSegmentID(index), volume)
            np.testing.assert_array_equal(found, labels == list(tools.NAMES)[index])
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
