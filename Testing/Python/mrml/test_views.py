"""The pictures of the views: volumes, segments blended with them, surfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def brightPatient() -> tuple[Any, Any]:
    """A volume of one grey value, and a red segment in its middle."""
    import slicer

    array = np.full((20, 20, 20), 100, np.int16)
    array[:, :, :3] = 0
    volume = slicer.util.addVolumeFromArray(array)
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    identifier = segmentation.GetSegmentation().AddEmptySegment("red", "red", [1, 0, 0])
    mask = np.zeros(array.shape, np.uint8)
    mask[5:15, 5:15, 5:15] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, identifier, volume)
    return volume, segmentation


def test_a_slice_shows_the_volume_and_the_segment_over_it(brightPatient: tuple[Any, Any]) -> None:
    from harness.views import SliceView

    volume, segmentation = brightPatient
    view = SliceView("Red", "Axial", (200, 200))
    view.show(volume)
    picture = view.grab().astype(int)
    grey = np.ptp(picture, axis=2) < 3
    assert np.median(picture[grey & (picture[..., 0] > 20)]) == pytest.approx(127, abs=3)
    fill = picture[100, 100]
    assert fill[0] > 127 > fill[1] > 20  # red over grey, not over black
    segmentation.GetDisplayNode().SetVisibility(False)
    assert np.ptp(view.grab()[100, 100].astype(int)) < 3


def test_the_3d_view_shows_a_surface_only_when_there_is_one(brightPatient: tuple[Any, Any]) -> None:
    from harness.views import ThreeDView

    _volume, segmentation = brightPatient
    view = ThreeDView((200, 200))

    def red() -> int:
        picture = view.grab().astype(int)
        return int((picture[..., 0] > picture[..., 2] + 60).sum())

    assert red() == 0
    segmentation.CreateClosedSurfaceRepresentation()
    view.look()
    assert red() > 2000
