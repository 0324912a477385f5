"""The uncertainty overlay and the way to the least sure slice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer

from medcontext.errors import InputError

SHAPE = (8, 9, 10)
OBLIQUE = np.array([[0.8, -1.2, 0.1, 5], [0.6, 1.6, 0.2, -7], [-0.1, 0.1, 2.9, 11], [0, 0, 0, 1]])


@pytest.fixture
def lib() -> Any:
    from MedContextSegmentLib.Scene import Certainty, LeastSure

    return SimpleNamespace(**{**vars(Certainty), **vars(LeastSure)})


@pytest.fixture
def volume() -> Any:
    node = slicer.util.addVolumeFromArray(np.arange(720, dtype=np.int16).reshape(SHAPE), name="scan")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(OBLIQUE))
    node.CreateDefaultDisplayNodes()
    return node


def snapshot(node: Any) -> Any:
    from MedContextSegmentLib.Scene.VolumeReader import readVolume

    return readVolume(node)


def result(certainty: np.ndarray | None) -> Any:
    return SimpleNamespace(certainty=certainty)


def sure() -> np.ndarray:
    """Certainty of 255 in a box, 0 around it."""
    certainty = np.zeros(SHAPE, np.uint8)
    certainty[1:7, 1:8, 1:9] = 255
    return certainty


def add_view(name: str = "Red", orientation: str = "Axial") -> tuple[Any, Any]:
    node = slicer.vtkMRMLSliceNode()
    node.SetName(name)
    node.SetLayoutName(name)
    node.SetSingletonTag(name)
    node = slicer.mrmlScene.AddNode(node)
    node.SetOrientation(orientation)
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetSingletonTag(name)
    composite.SetLayoutName(name)
    return node, slicer.mrmlScene.AddNode(composite)


def test_overlay_has_the_grid_and_the_transform_of_the_volume(lib: Any, volume: Any) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    certainty = sure()
    certainty[2, 3, 4] = 51
    node = lib.showCertainty(result(certainty), snapshot(volume))
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), OBLIQUE, atol=1e-9)
    assert node.GetTransformNodeID() == transform.GetID()
    array = slicer.util.arrayFromVolume(node)
    assert array[2, 3, 4] == 80
    assert array.sum() == 80


def test_voxel_the_model_knew_nothing_about_is_not_taken_for_outside(lib: Any, volume: Any) -> None:
    certainty = sure()
    certainty[3, 3, 3] = 0
    array = slicer.util.arrayFromVolume(lib.showCertainty(result(certainty), snapshot(volume)))
    assert array[3, 3, 3] == 100
    assert array[0, 0, 0] == 0
    assert array.sum() == 100


def test_what_is_sure_is_not_drawn(lib: Any, volume: Any) -> None:
    display = lib.showCertainty(result(sure()), snapshot(volume)).GetDisplayNode()
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() > 0
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 100)
    assert not display.GetAutoWindowLevel()
    assert display.GetColorNode() is not None


def test_what_was_in_the_foreground_comes_back(lib: Any, volume: Any) -> None:
    other = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))
    _, red = add_view("Red")
    _, green = add_view("Green", "Coronal")
    red.SetForegroundVolumeID(other.GetID())
    red.SetForegroundOpacity(0.7)
    node = lib.showCertainty(result(sure()), snapshot(volume))
    node = lib.showCertainty(result(sure()), snapshot(volume), node)
    assert lib.isCertaintyShown(node)
    assert [c.GetForegroundVolumeID() for c in (red, green)] == [node.GetID()] * 2
    assert red.GetForegroundOpacity() == pytest.approx(0.4)
    lib.hideCertainty(node)
    assert red.GetForegroundVolumeID() == other.GetID()
    assert red.GetForegroundOpacity() == pytest.approx(0.7)
    assert green.GetForegroundVolumeID() is None
    assert not lib.isCertaintyShown(node)
    lib.hideCertainty(None)


def test_foreground_that_was_changed_or_removed_meanwhile(lib: Any, volume: Any) -> None:
    other = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))
    _, red = add_view("Red")
    _, green = add_view("Green", "Coronal")
    green.SetForegroundVolumeID(other.GetID())
    node = lib.showCertainty(result(sure()), snapshot(volume))
    red.SetForegroundVolumeID(volume.GetID())
    slicer.mrmlScene.RemoveNode(other)
    lib.hideCertainty(node)
    assert red.GetForegroundVolumeID() == volume.GetID()
    assert green.GetForegroundVolumeID() is None


def test_legend_comes_and_goes_with_the_overlay(lib: Any, volume: Any) -> None:
    node = lib.showCertainty(result(sure()), snapshot(volume))
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(node)
    assert legend.GetVisibility()
    assert legend.GetTitleText() == "Uncertainty (%)"
    lib.hideCertainty(node)
    assert not legend.GetVisibility()
    lib.showCertainty(result(sure()), snapshot(volume), node)
    assert legend.GetVisibility()


def test_second_run_updates_the_same_overlay(lib: Any, volume: Any) -> None:
    node = lib.showCertainty(result(sure()), snapshot(volume))
    node.GetDisplayNode().SetThreshold(50, 100)
    certainty = sure()
    certainty[2, 2, 2] = 0
    assert lib.showCertainty(result(certainty), snapshot(volume), node) is node
    assert slicer.util.arrayFromVolume(node)[2, 2, 2] == 100
    assert node.GetDisplayNode().GetLowerThreshold() == 50
    slicer.mrmlScene.RemoveNode(node)
    assert lib.showCertainty(result(certainty), snapshot(volume), node) is not node


def test_a_region_done_again_changes_the_overlay_only_there(lib: Any, volume: Any) -> None:
    certainty = sure()
    certainty[2, 2, 2] = certainty[5, 5, 5] = 127
    node = lib.showCertainty(result(certainty), snapshot(volume))
    region = np.zeros(SHAPE, bool)
    region[4:, 4:, 4:] = True
    again = np.where(region, 255, 0).astype(np.uint8)
    again[6, 6, 6] = 0
    lib.showCertainty(result(again), snapshot(volume), node, region)
    array = slicer.util.arrayFromVolume(node)
    assert (array[2, 2, 2], array[5, 5, 5], array[6, 6, 6]) == (50, 0, 100)


def test_result_without_certainty_is_one_sentence(lib: Any, volume: Any) -> None:
    with pytest.raises(InputError, match="no certainty"):
        lib.showCertainty(result(None), snapshot(volume))


def test_least_sure_slice_of_each_axis(lib: Any) -> None:
    uncertainty = np.zeros(SHAPE, np.uint8)
    uncertainty[2, 3, 4:8] = 50
    uncertainty[5, 1:8, 2] = 20
    found = lib.leastSureSlice(uncertainty, axis=0)
    assert (found.index, found.center, found.score) == (2, (2.0, 3.0, 5.5), 2.0)
    assert lib.leastSureSlice(uncertainty, axis=1).index == 3
    assert lib.leastSureSlice(uncertainty, axis=2).index == 2
    assert lib.leastSureSlice(np.zeros(SHAPE, np.uint8)) is None


def test_uncertainty_far_from_the_structure_does_not_count(lib: Any) -> None:
    uncertainty = np.zeros((30, 30, 30), np.uint8)
    uncertainty[25, 20:28, 20:28] = 100
    uncertainty[8, 5, 5] = 40
    labelmap = np.zeros((30, 30, 30), np.uint8)
    labelmap[4:6, 4:7, 4:7] = 2
    assert lib.leastSureSlice(uncertainty, labelmap).center == (8.0, 5.0, 5.0)
    assert lib.leastSureSlice(uncertainty).index == 25
    uncertainty[8, 5, 5] = 0
    assert lib.leastSureSlice(uncertainty, labelmap) is None
    labelmap[:] = 0
    assert lib.leastSureSlice(uncertainty, labelmap).index == 25


def test_structure_at_the_edge_of_the_volume(lib: Any) -> None:
    uncertainty = np.full((2, 5, 5), 10, np.uint8)
    uncertainty[1] = 20
    labelmap = np.zeros((2, 5, 5), np.uint8)
    labelmap[0, 0, 0] = labelmap[1, 4, 4] = 1
    assert lib.leastSureSlice(uncertainty, labelmap).index == 1


@pytest.mark.parametrize("orientation", ["Axial", "Coronal", "Sagittal"])
def test_view_shows_the_least_sure_place_of_an_oblique_moved_volume(
    lib: Any, volume: Any, orientation: str
) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 4], [0, 0, 0, 1.0]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    certainty = sure()
    certainty[5, 6, 7] = 0
    view, _ = add_view("Red", orientation)
    other, _ = add_view("Green", "Coronal")
    node = lib.showCertainty(result(certainty), snapshot(volume))
    place = lib.goToLeastSureSlice(node)
    expected = (matrix @ OBLIQUE @ [7, 6, 5, 1])[:3]
    np.testing.assert_allclose(place, expected, atol=1e-9)
    for moved in (view, other):
        sliceToRas = slicer.util.arrayFromVTKMatrix(moved.GetSliceToRAS())
        distance = (expected - sliceToRas[:3, 3]) @ sliceToRas[:3, 2]
        assert abs(distance) < 1e-6


def test_slices_compared_are_those_that_the_view_shows(lib: Any, volume: Any) -> None:
    certainty = sure()
    certainty[2, 2:5, 4] = 0
    certainty[3:7, 6, 5] = 0
    node = lib.showCertainty(result(certainty), snapshot(volume))
    axial, _ = add_view("Red", "Axial")
    coronal, _ = add_view("Green", "Coronal")
    assert lib.goToLeastSureSlice(node, None, axial) == pytest.approx((OBLIQUE @ [4, 3, 2, 1])[:3])
    assert lib.goToLeastSureSlice(node, None, coronal) == pytest.approx((OBLIQUE @ [5, 6, 4.5, 1])[:3])


def test_without_views_the_place_is_told(lib: Any, volume: Any) -> None:
    certainty = sure()
    certainty[2, 2, 4] = 0
    node = lib.showCertainty(result(certainty), snapshot(volume))
    assert lib.goToLeastSureSlice(node) == pytest.approx((OBLIQUE @ [4, 2, 2, 1])[:3])
    assert lib.goToLeastSureSlice(lib.showCertainty(result(sure()), snapshot(volume), node)) is None
    with pytest.raises(InputError, match="no certainty map"):
        lib.goToLeastSureSlice(None)


def test_overlay_is_seen_where_the_model_was_unsure(lib: Any, tmp_path: Any) -> None:
    pytest.importorskip("harness.views")
    from harness.views import SliceView

    grey = slicer.util.addVolumeFromArray(np.full((20, 40, 40), 100, np.int16), name="grey")
    grey.CreateDefaultDisplayNodes()
    grey.GetDisplayNode().SetAutoWindowLevel(False)
    grey.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    view = SliceView("Red", "Axial", (200, 200))
    view.show(grey)
    certainty = np.full((20, 40, 40), 255, np.uint8)
    certainty[:, 15:25, 15:25] = 60
    node = lib.showCertainty(result(certainty), snapshot(grey))
    slicer.modules.colors.logic().GetColorLegendDisplayNode(node).SetVisibility(False)
    picture = view.grab(tmp_path / "overlay.png").astype(int)
    colored = np.ptp(picture, axis=2) > 15
    assert colored[95:105, 95:105].all()
    assert not colored[10:40, 10:40].any()
    slicer.modules.colors.logic().GetColorLegendDisplayNode(node).SetVisibility(True)
    legend = np.ptp(view.grab(tmp_path / "legend.png").astype(int), axis=2)[60:140, 160:]
    assert (legend > 100).sum() > 100
    lib.hideCertainty(node)
    assert (np.ptp(view.grab().astype(int), axis=2)[95:105, 95:105] <= 15).all()
