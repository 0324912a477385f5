"""A region that becomes a segment or a part of one, with all that protects what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer

from medcontext.errors import InputError

NODE = slicer.vtkMRMLSegmentationNode
EDITOR = slicer.vtkMRMLSegmentEditorNode
LOGIC = slicer.vtkSlicerSegmentationsModuleLogic


@pytest.fixture
def picking() -> Any:
    from MedContextSegmentLib.Explore import Picking

    return Picking


@pytest.fixture
def volume(scan: Callable[..., Any]) -> Any:
    return scan()


@pytest.fixture
def proposed(volume: Any, propose: Callable[..., Any]) -> Any:
    return propose(volume)


@pytest.fixture
def drawn(volume: Any) -> Any:
    """A segmentation with one segment, ``Lesion``, in the left half of all slices."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("lesion", "Lesion")
    slicer.util.updateSegmentBinaryLabelmapFromArray(half().astype(np.uint8), node, "lesion", volume)
    return node


def half() -> np.ndarray:
    mask = np.zeros((10, 12, 14), bool)
    mask[:, :, :6] = True
    return mask


def region(proposed: Any, *numbers: int) -> np.ndarray:
    """Where regions lie in the scan."""
    mask = np.zeros((10, 12, 14), bool)
    mask[4] = np.isin(proposed.proposal.regions[0], numbers)
    return mask


def voxels(node: Any, segmentId: str, volume: Any) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume) > 0


def editor(node: Any, **settings: Any) -> Any:
    """A segment editor at work on a segmentation."""
    result = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    result.SetAndObserveSegmentationNode(node)
    for name, value in settings.items():
        getattr(result, f"Set{name}")(value)
    return result


@pytest.mark.parametrize("transformed", [False, True])
def test_a_region_becomes_a_segment_of_a_new_segmentation(
    picking: Any, volume: Any, propose: Callable[..., Any], moved: Callable[[Any], Any], transformed: bool
) -> None:
    proposed = propose(moved(volume) if transformed else volume)
    picked = picking.pick(proposed, 2)
    assert (picked.name, picked.voxels) == ("Region 2", int(region(proposed, 2).sum()))
    node = picked.segmentation
    assert node.GetName() == "scan segmentation"
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()
    assert node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()) == volume.GetID()
    assert not node.GetHideFromEditors()
    np.testing.assert_array_equal(voxels(node, picked.segmentId, volume), region(proposed, 2))
    segment = node.GetSegmentation().GetSegment(picked.segmentId)
    assert segment.GetColor() == pytest.approx(proposed.color(2))


def test_a_second_region_goes_beside_the_first(picking: Any, volume: Any, proposed: Any, drawn: Any) -> None:
    first = picking.pick(proposed, 2, drawn)
    drawn.GetSegmentation().GetSegment("lesion").SetName("Region 3")
    second = picking.pick(proposed, 3, drawn, fillHoles=True)
    assert (first.segmentation, second.segmentation) == (drawn, drawn)
    assert second.name == "Region 3 (2)"
    np.testing.assert_array_equal(voxels(drawn, first.segmentId, volume), region(proposed, 2))
    np.testing.assert_array_equal(voxels(drawn, second.segmentId, volume), region(proposed, 3))
    np.testing.assert_array_equal(voxels(drawn, "lesion", volume), half())  # no editor is at work on it


def test_a_region_is_added_to_a_segment_with_what_it_encloses(
    picking: Any, volume: Any, proposed: Any, drawn: Any
) -> None:
    saved = []
    picked = picking.pick(
        proposed, 2, drawn, "lesion", fillHoles=True, saveStateForUndo=lambda: saved.append(drawn)
    )
    assert (picked.segmentId, picked.name, saved) == ("lesion", "Lesion", [drawn])
    np.testing.assert_array_equal(voxels(drawn, "lesion", volume), half() | region(proposed, 2, 3))
    assert drawn.GetSegmentation().GetNumberOfSegments() == 1


def test_it_is_known_which_regions_are_segments_already(picking: Any, proposed: Any) -> None:
    assert picking.segmentOf(proposed, 2, None) == ""
    picked = picking.pick(proposed, 2)
    assert picking.segmentOf(proposed, 2, picked.segmentation) == "Region 2"
    assert picking.segmentOf(proposed, 3, picked.segmentation) == ""
    picked.segmentation.GetSegmentation().RemoveSegment(picked.segmentId)
    assert picking.segmentOf(proposed, 2, picked.segmentation) == ""


def test_a_segmentation_on_another_grid_gets_the_region_at_its_place(
    picking: Any, volume: Any, proposed: Any, scan: Callable[..., Any]
) -> None:
    fine = scan(array=np.zeros((20, 24, 28), np.int16))
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(volume))
    matrix[:3, 3] -= matrix[:3, :3] @ [0.25, 0.25, 0.25]
    matrix[:3, :3] /= 2
    fine.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "fine")
    node.SetReferenceImageGeometryParameterFromVolumeNode(fine)
    picked = picking.pick(proposed, 2, node)
    expected = region(proposed, 2).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(voxels(node, picked.segmentId, fine), expected)
    assert picked.voxels == expected.sum()


def _matrixOf(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


@pytest.mark.parametrize("taken", [True, False])
def test_the_overwrite_mode_of_the_editor_counts(
    picking: Any, volume: Any, proposed: Any, drawn: Any, taken: bool
) -> None:
    mode = EDITOR.OverwriteAllSegments if taken else EDITOR.OverwriteNone
    picked = picking.pick(proposed, 2, drawn, editorNode=editor(drawn, OverwriteMode=mode))
    new = region(proposed, 2)
    np.testing.assert_array_equal(voxels(drawn, picked.segmentId, volume), new)
    np.testing.assert_array_equal(voxels(drawn, "lesion", volume), half() & ~new if taken else half())


def test_completed_segments_and_masked_areas_are_left_alone(
    picking: Any, volume: Any, proposed: Any, drawn: Any
) -> None:
    LOGIC.SetSegmentStatus(drawn.GetSegmentation().GetSegment("lesion"), LOGIC.Completed)
    settings = editor(drawn, OverwriteMode=EDITOR.OverwriteAllSegments)
    picked = picking.pick(proposed, 2, drawn, editorNode=settings)
    np.testing.assert_array_equal(voxels(drawn, picked.segmentId, volume), region(proposed, 2) & ~half())
    np.testing.assert_array_equal(voxels(drawn, "lesion", volume), half())
    with pytest.raises(InputError, match="'Lesion' is marked as completed"):
        picking.pick(proposed, 2, drawn, "lesion", editorNode=settings)


def test_where_nothing_may_change_nothing_does(picking: Any, proposed: Any, drawn: Any) -> None:
    drawn.GetSegmentation().AddEmptySegment("empty", "Empty")
    settings = editor(drawn, MaskMode=NODE.EditAllowedInsideSingleSegment, MaskSegmentID="empty")
    saved = []
    with pytest.raises(InputError, match="Nothing of region 2 lies where"):
        picking.pick(proposed, 2, drawn, editorNode=settings, saveStateForUndo=lambda: saved.append(1))
    assert saved == []
    assert drawn.GetSegmentation().GetNumberOfSegments() == 2


def test_a_segment_that_is_gone_and_surfaces_are_refused(picking: Any, proposed: Any, drawn: Any) -> None:
    with pytest.raises(InputError, match="add to is gone"):
        picking.pick(proposed, 2, drawn, "nothing")
    drawn.CreateClosedSurfaceRepresentation()
    drawn.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError, match="holds surfaces"):
        picking.pick(proposed, 2, drawn)
