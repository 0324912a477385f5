"""What a result must not change: the editable area, what the overwrite mode keeps, completed segments, the region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

NODE = slicer.vtkMRMLSegmentationNode
EDITOR = slicer.vtkMRMLSegmentEditorNode
LOGIC = slicer.vtkSlicerSegmentationsModuleLogic
MODES = {
    "all": EDITOR.OverwriteAllSegments,
    "visible": EDITOR.OverwriteVisibleSegments,
    "none": EDITOR.OverwriteNone,
}


@pytest.mark.parametrize("mode", MODES)
def test_overwrite_modes(case: Any, editor: Any, mode: str) -> None:
    writer = case.write(editor(case.node, case.volume, OverwriteMode=MODES[mode]))
    case.check(writer, np.ones(case.labels.shape, bool))
    new = case.labels > 0
    np.testing.assert_array_equal(
        case.mask(case.shown_id), case.shown & ~new if mode != "none" else case.shown
    )
    np.testing.assert_array_equal(
        case.mask(case.hidden_id), case.hidden & ~new if mode == "all" else case.hidden
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("again", [False, True])
def test_completed_segments_never_change(case: Any, editor: Any, mode: str, again: bool) -> None:
    """Where the mode would take their voxels, the result is left out; a second run is no different."""
    for segment_id in (case.shown_id, case.hidden_id):
        LOGIC.SetSegmentStatus(case.node.GetSegmentation().GetSegment(segment_id), LOGIC.Completed)
    editor_node = editor(case.node, case.volume, OverwriteMode=MODES[mode])
    if again:
        case.write(editor_node, labels=np.roll(case.labels, 1, axis=1))
    writer = case.write(editor_node)
    np.testing.assert_array_equal(case.mask(case.shown_id), case.shown)
    np.testing.assert_array_equal(case.mask(case.hidden_id), case.hidden)
    kept = {"all": case.shown | case.hidden, "visible": case.shown, "none": np.zeros_like(case.shown)}[mode]
    case.check(writer, ~kept)


AREAS = {
    "inside all": (NODE.EditAllowedInsideAllSegments, lambda c: c.shown | c.hidden),
    "inside visible": (NODE.EditAllowedInsideVisibleSegments, lambda c: c.shown),
    "outside all": (NODE.EditAllowedOutsideAllSegments, lambda c: ~(c.shown | c.hidden)),
    "outside visible": (NODE.EditAllowedOutsideVisibleSegments, lambda c: ~c.shown),
    "inside one": (NODE.EditAllowedInsideSingleSegment, lambda c: c.hidden),
}


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("mode", MODES)
def test_editable_areas(case: Any, editor: Any, area: str, mode: str) -> None:
    mask_mode, editable = AREAS[area]
    editor_node = editor(case.node, case.volume, MaskMode=mask_mode, OverwriteMode=MODES[mode])
    editor_node.SetMaskSegmentID(case.hidden_id)
    writer = case.write(editor_node)
    case.check(writer, editable(case))
    new = (case.labels > 0) & editable(case)
    np.testing.assert_array_equal(
        case.mask(case.shown_id), case.shown & ~new if mode != "none" else case.shown
    )


@pytest.mark.parametrize("area", AREAS)
def test_second_run_within_an_editable_area_keeps_what_is_outside(case: Any, editor: Any, area: str) -> None:
    """As a stroke would: inside the area the new result, outside it what the first run left."""
    first = case.write()
    old = {value: case.mask(i) for value, i in zip(case.tools.NAMES, first.segmentIds, strict=True)}
    mask_mode, editable = AREAS[area]
    for segment_id in first.segmentIds:
        case.node.GetDisplayNode().SetSegmentVisibility(segment_id, False)
    editor_node = editor(case.node, case.volume, MaskMode=mask_mode, OverwriteMode=EDITOR.OverwriteNone)
    editor_node.SetMaskSegmentID(case.hidden_id)
    labels = np.roll(case.labels, (1, 1), axis=(0, 2))
    second = case.write(editor_node, labels)
    assert second.segmentIds == first.segmentIds
    where = editable(case)
    if area == "inside all":  # the old result is a segment as well
        where = where | (case.labels > 0)
    for value, segment_id in zip(case.tools.NAMES, second.segmentIds, strict=True):
        expected = np.where(where, labels == value, old[value])
        np.testing.assert_array_equal(case.mask(segment_id), expected)


@pytest.mark.parametrize("own_volume", [True, False])
def test_intensity_range(case: Any, editor: Any, own_volume: bool) -> None:
    """Voxel values are 0, 1, 2, ... along I; the other volume has the same scan shifted by two voxels."""
    source, low, high = case.volume, 5.0, 7.0
    if not own_volume:
        source = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, case.volume, "other")
        slicer.util.arrayFromVolume(source)[:] += 2
        slicer.util.arrayFromVolumeModified(source)
        low, high = 7.0, 9.0
    editor_node = editor(
        case.node, source, SourceVolumeIntensityMask=True, OverwriteMode=EDITOR.OverwriteNone
    )
    editor_node.SetSourceVolumeIntensityMaskRange(low, high)
    writer = case.write(editor_node)
    i = np.broadcast_to(np.arange(case.labels.shape[2]), case.labels.shape)
    case.check(writer, (i >= 5) & (i <= 7))


def test_intensity_range_applies_to_an_empty_segmentation_too(tools: Any, editor: Any) -> None:
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    editor_node = editor(node, volume, SourceVolumeIntensityMask=True)
    editor_node.SetSourceVolumeIntensityMaskRange(0, 5)
    writer = tools.Writer(editor_node)
    ids = writer.write(tools.result(tools.labels()), snapshot, node)
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        expected = tools.labels() == value
        expected[:, :, 6:] = False
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), expected)


def test_editor_of_another_segmentation_has_no_say(case: Any, editor: Any) -> None:
    other = case.tools.new(case.snapshot, "other")
    editor_node = editor(other, case.volume, MaskMode=NODE.EditAllowedInsideAllSegments)
    case.check(case.write(editor_node), np.ones(case.labels.shape, bool))
    np.testing.assert_array_equal(case.mask(case.shown_id), case.shown)


def test_completed_result_is_left_as_it_is_and_said_so(case: Any) -> None:
    first = case.write()
    segmentation = case.node.GetSegmentation()
    LOGIC.SetSegmentStatus(segmentation.GetSegment(first.segmentIds[1]), LOGIC.Completed)
    labels = np.roll(case.labels, 1, axis=0)
    writer = case.write(labels=labels)
    spleen = case.labels == 2
    assert writer.segmentIds == (first.segmentIds[0], first.segmentIds[2])
    np.testing.assert_array_equal(case.mask(first.segmentIds[1]), spleen)
    np.testing.assert_array_equal(case.mask(first.segmentIds[0]), (labels == 1) & ~spleen)
    np.testing.assert_array_equal(case.mask(first.segmentIds[2]), (labels == 5) & ~spleen)
    assert any("spleen" in note and "completed" in note for note in writer.notes)
    assert segmentation.GetNumberOfSegments() == 5


def test_segmentation_deleted_between_the_slow_steps(case: Any, editor: Any, scene: Any) -> None:
    from medcontext.errors import InputError

    writer = case.tools.Writer(editor(case.node, case.volume))
    steps = writer.steps(case.tools.result(case.labels), case.snapshot, case.node)
    while next(steps) < 0.6:
        pass
    scene.RemoveNode(case.node)
    with pytest.raises(InputError, match="deleted"):
        next(steps)


def test_segment_removed_between_the_slow_steps(case: Any, editor: Any) -> None:
    """The one that was removed comes back with the result; the others are as they should be."""
    first = case.write()
    writer = case.tools.Writer(editor(case.node, case.volume))
    labels = np.roll(case.labels, 1, axis=1)
    steps = writer.steps(case.tools.result(labels), case.snapshot, case.node)
    while next(steps) < 0.3:
        pass
    case.node.GetSegmentation().RemoveSegment(first.segmentIds[2])
    assert list(steps)[-1] == 1
    for value, segment_id in zip(case.tools.NAMES, writer.segmentIds, strict=True):
        np.testing.assert_array_equal(case.mask(segment_id), labels == value)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_written_again_stays_in_one_label_map(tools: Any, editor: Any, mode: str) -> None:
    """Slicer's eraser would give each segment a label map of its own where nothing may be overwritten."""
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    stripes = np.zeros(tools.SHAPE, np.uint8)
    stripes[2:8, 2:10, 1:13] = np.array([1, 2, 5, 2])[np.arange(12) % 4]
    tools.Writer().write(tools.result(stripes), snapshot, node)
    labels, region = np.roll(stripes, 1, axis=2), np.ones(tools.SHAPE, bool)
    tools.Writer(editor(node, volume, OverwriteMode=MODES[mode])).write(
        tools.result(labels), snapshot, node, region=region
    )
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_surfaces_of_all_changed_segments_follow(case: Any, editor: Any) -> None:
    case.node.CreateClosedSurfaceRepresentation()
    case.write(editor(case.node, case.volume))
    for segment_id in (*case.write(editor(case.node, case.volume)).segmentIds, case.shown_id):
        surface = case.node.GetClosedSurfaceInternalRepresentation(segment_id)
        where = np.argwhere(case.mask(segment_id))[:, 0]
        bounds = np.array(surface.GetBounds())[4:]
        np.testing.assert_allclose(
            bounds, (4 + 2.5 * (where.min() - 0.5), 4 + 2.5 * (where.max() + 0.5)), atol=2
        )


def test_no_node_is_left_behind(case: Any, editor: Any, scene: Any) -> None:
    editor_node = editor(case.node, case.volume, MaskMode=NODE.EditAllowedOutsideAllSegments)
    before = [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]
    case.write(editor_node)
    assert [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())] == before
    assert editor_node.GetMaskMode() == NODE.EditAllowedOutsideAllSegments
