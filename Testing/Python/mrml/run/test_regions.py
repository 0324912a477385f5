"""Runs that are restricted to an ROI or to a segment."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import (
    Recorder,
    addRoi,
    addSegment,
    loadSample,
    middle,
    pollUntil,
    segmentArrays,
    start,
)
from medcontext.errors import InputError
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic


@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_nothing_is_found_outside_an_roi(logic: MedContextSegmentLogic, angle: float) -> None:
    from MedContextSegmentLib.Scene.Regions import maskOfRoi
    from MedContextSegmentLib.Scene.VolumeReader import readVolume

    node = loadSample()
    roi = addRoi(middle(node), (20, 25, 20), angle)
    run = start(logic, node, Recorder(), roi=roi)
    pollUntil(run)
    assert run.result is not None
    assert run.inputs.box is not None
    assert (run.inputs.mask is None) == (angle == 0)  # a straight box needs no mask
    outside = ~maskOfRoi(roi, readVolume(node))
    found = sum(segmentArrays(run.segmentationNode, node).values())
    assert found.any()
    assert not found[outside].any()
    for label in run.result.labels:
        assert label.voxels == int((run.result.labelmap == label.value).sum())


def test_a_segment_can_be_stayed_inside(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    inside = np.zeros(slicer.util.arrayFromVolume(node).shape, np.uint8)
    inside[:, 10:30] = 1
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    mask.SetReferenceImageGeometryParameterFromVolumeNode(node)
    segmentId = addSegment(mask, "inside", inside, node)
    run = start(logic, node, Recorder(), insideSegment=(mask, segmentId), certainty="entropy")
    pollUntil(run)
    found = sum(segmentArrays(run.segmentationNode, node).values())
    assert found.any()
    assert not found[inside == 0].any()
    assert not slicer.util.arrayFromVolume(run.certaintyNode)[inside == 0].any()


def test_an_roi_beside_the_volume_is_a_sentence(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    with pytest.raises(InputError, match="covers no voxel"):
        start(logic, node, Recorder(), roi=addRoi((900, 900, 900), (10, 10, 10)))
    assert logic.run is None
