"""The slice of a scan that a view shows, whatever way scan and view lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer

from medcontext.errors import InputError

GRIDS = {
    "oblique": None,
    "negative directions": np.diag([-0.7, -0.8, -2.5]),
    "permuted axes": np.array([[0, 0, 2.5], [0.7, 0, 0], [0, -0.8, 0]]),
}
MIDDLE = (5, 6, 7)


@pytest.fixture
def planes() -> Any:
    from MedContextSegmentLib.Explore import Planes

    return Planes


@pytest.fixture
def view() -> Any:
    """A slice node."""
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")


def look(view: Any, across: np.ndarray, at: list[float]) -> None:
    """Turn a view to a direction, and put its middle to a place."""
    across = np.asarray(across) / np.linalg.norm(across)
    first = np.cross(across, [0.3, 0.5, 0.8])
    first /= np.linalg.norm(first)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = first, np.cross(across, first), across, at
    view.GetSliceToRAS().DeepCopy(matrix.reshape(-1).tolist())
    view.UpdateMatrices()


def snapshotOf(volume: Any) -> Any:
    from MedContextSegmentLib.Scene.VolumeReader import readVolume

    return readVolume(volume)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("transformed", [False, True])
def test_a_view_along_an_axis_of_the_scan_shows_one_of_its_slices(
    planes: Any,
    view: Any,
    scan: Callable[..., Any],
    moved: Callable[[Any], Any],
    world: Callable[..., list[float]],
    grid: str,
    axis: int,
    transformed: bool,
) -> None:
    volume = scan(GRIDS[grid])
    if transformed:
        moved(volume)
    neighbors = [sorted(((axis + 1) % 3, (axis + 2) % 3))[n] for n in (0, 1)]
    origin = np.array(world(volume, *MIDDLE))
    sides = []
    for other in neighbors:
        step = list(MIDDLE)
        step[other] += 1
        sides.append(np.array(world(volume, *step)) - origin)
    look(view, np.cross(*sides), origin.tolist())
    plane = planes.planeOf(view, snapshotOf(volume))
    assert (plane.axis, plane.index, plane.oblique) == (axis, MIDDLE[axis], False)
    box = plane.box(snapshotOf(volume).array.shape)
    assert [end - start for start, end in box] == [1 if n == axis else (10, 12, 14)[n] for n in range(3)]


def test_of_a_turned_view_the_nearest_slice_counts(
    planes: Any, view: Any, scan: Callable[..., Any], world: Callable[..., list[float]]
) -> None:
    volume = scan(np.eye(3))
    look(view, np.array([0, np.sin(0.3), np.cos(0.3)]), world(volume, 3, 6, 7))
    plane = planes.planeOf(view, snapshotOf(volume))
    assert (plane.axis, plane.index, plane.oblique) == (0, 3, True)
    assert plane.degrees == pytest.approx(np.degrees(0.3))


def test_a_view_beside_the_scan_shows_none(
    planes: Any, view: Any, scan: Callable[..., Any], world: Callable[..., list[float]]
) -> None:
    volume = scan(np.eye(3))
    look(view, np.array([0, 0, 1]), world(volume, 10, 6, 7))
    with pytest.raises(InputError, match="shows no slice of scan"):
        planes.planeOf(view, snapshotOf(volume))


def test_a_picture_has_one_slice(
    planes: Any, view: Any, scan: Callable[..., Any], world: Callable[..., list[float]]
) -> None:
    volume = scan(np.eye(3), np.zeros((1, 20, 30), np.uint8))
    look(view, np.array([0, 0, 1]), world(volume, 0, 3, 4))
    assert planes.planeOf(view, snapshotOf(volume)).box((1, 20, 30)) == ((0, 1), (0, 20), (0, 30))


def test_the_image_of_a_view_is_the_one_in_its_background(planes: Any, scan: Callable[..., Any]) -> None:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddSliceNode("Mine")
    assert planes.shownVolume(node) is None
    volume = scan()
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    assert planes.shownVolume(node) is volume
    assert "Mine" not in planes.sliceNodes()
    node.SetMappedInLayout(True)
    assert planes.sliceNodes()["Mine"] is node
    node.SetMappedInLayout(0)  # it outlives this test, and other tests look at the views on the screen
    logic.SetMRMLScene(None)
