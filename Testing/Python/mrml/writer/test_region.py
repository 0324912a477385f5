"""A region that is done again: what is outside it stays as it is, whatever the result says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

LOGIC = slicer.vtkSlicerSegmentationsModuleLogic
EDITOR = slicer.vtkMRMLSegmentEditorNode
MODES = {
    "all": EDITOR.OverwriteAllSegments,
    "visible": EDITOR.OverwriteVisibleSegments,
    "none": EDITOR.OverwriteNone,
}

REGION = (slice(3, 6), slice(2, 8), slice(5, 11))


def region_mask(case: Any) -> np.ndarray:
    mask = np.zeros(case.labels.shape, bool)
    mask[REGION] = True
    mask[4, 4, 6] = False
    return mask


@pytest.mark.parametrize("mode", ["no editor", *MODES])
def test_nothing_changes_outside_the_region(case: Any, editor: Any, mode: str) -> None:
    first, region = case.write(), region_mask(case)
    labels = np.where(region, np.roll(case.labels, (1, 1), axis=(0, 2)), 0).astype(np.uint8)
    editor_node = None if mode == "no editor" else editor(case.node, case.volume, OverwriteMode=MODES[mode])
    before = {i: case.mask(i) for i in (*first.segmentIds, case.shown_id, case.hidden_id)}
    second = case.write(editor_node, labels, region=region)
    assert second.segmentIds == first.segmentIds
    for segment_id, old in before.items():
        np.testing.assert_array_equal(case.mask(segment_id)[~region], old[~region])
    for value, segment_id in zip(case.tools.NAMES, first.segmentIds, strict=True):
        np.testing.assert_array_equal(case.mask(segment_id)[region], labels[region] == value)


def test_region_of_a_fresh_segmentation(tools: Any) -> None:
    """Only what was found in the region gets a segment."""
    volume = tools.scan()
    snapshot = tools.read(volume)
    node, region = tools.new(snapshot, "result"), np.zeros(tools.SHAPE, bool)
    region[:5, :6] = True
    ids = tools.Writer().write(tools.result(tools.labels() * region), snapshot, node, region=region)
    assert [node.GetSegmentation().GetSegment(i).GetName() for i in ids] == ["liver"]
    np.testing.assert_array_equal(tools.voxels(node, ids[0], volume), (tools.labels() == 1) & region)


def test_result_outside_the_region_is_not_written(case: Any) -> None:
    first, region = case.write(), region_mask(case)
    labels = np.roll(case.labels, 1, axis=0)
    case.write(labels=labels, region=region)
    for value, segment_id in zip(case.tools.NAMES, first.segmentIds, strict=True):
        expected = np.where(region, labels == value, case.labels == value)
        np.testing.assert_array_equal(case.mask(segment_id), expected)


def test_another_model_mends_a_region_of_the_same_segment(case: Any) -> None:
    first, region = case.write(), region_mask(case)
    labels = np.where(region, 1, 0).astype(np.uint8)
    second = case.write(labels=labels, region=region, names={1: "Liver", 2: "bone"}, model="livers")
    assert second.segmentIds == first.segmentIds[:1]
    np.testing.assert_array_equal(case.mask(first.segmentIds[0]), (case.labels == 1) | region)
    third = case.write()
    assert third.segmentIds == first.segmentIds
    np.testing.assert_array_equal(case.mask(first.segmentIds[0]), case.labels == 1)


def test_completed_segments_and_the_region_together(case: Any, editor: Any) -> None:
    first, region = case.write(), region_mask(case)
    LOGIC.SetSegmentStatus(case.node.GetSegmentation().GetSegment(case.shown_id), LOGIC.Completed)
    editor_node = editor(case.node, case.volume)
    labels = np.where(region, 5, 0).astype(np.uint8)
    writer = case.write(editor_node, labels, region=region)
    np.testing.assert_array_equal(case.mask(case.shown_id), case.shown)
    changed = region & ~case.shown
    np.testing.assert_array_equal(case.mask(first.segmentIds[2]), np.where(changed, True, case.labels == 5))
    assert writer.protectedVoxels == (region & case.shown).sum()


def test_empty_region_is_refused_before_anything_changes(case: Any) -> None:
    from medcontext.errors import InputError

    saved: list[str] = []
    writer = case.tools.Writer(None, lambda: saved.append("state"))
    with pytest.raises(InputError):
        writer.write(
            case.tools.result(case.labels), case.snapshot, case.node, region=np.zeros(case.labels.shape, bool)
        )
    assert case.node.GetSegmentation().GetNumberOfSegments() == 2
    assert saved == []
