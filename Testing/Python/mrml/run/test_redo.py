"""A region is done again: by the real worker, written only there, undone by nobody else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import Recorder, loadSample, pollUntil, segmentArrays
from medcontext.cards import bundled_models, read_summary
from medcontext.errors import InputError
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.Run.Redo import RedoRequest, formTitle, formToolTip, offeredForms, regionOf
from MedContextSegmentLib.Scene.VolumeReader import readVolume

CARD = read_summary(bundled_models() / "hippocampus")


def roiAround(volumeNode: Any, shift: float = 0) -> Any:
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.SetSize(14, 16, 14)
    node.SetCenter(*((bounds[2 * axis] + bounds[2 * axis + 1]) / 2 + shift for axis in range(3)))
    return node


def anterior(segmentation: Any) -> tuple[Any, str]:
    return segmentation, segmentation.GetSegmentation().GetSegmentIdBySegmentName("Anterior")


@pytest.mark.parametrize("form", ["finer", "context", "model"])
def test_a_region_is_done_again_and_nothing_else_changes(
    logic: MedContextSegmentLogic, tmp_path: Path, form: str
) -> None:
    node = loadSample()
    segmentation = logic.segment(node, "hippocampus", certainty="entropy")
    overlay = segmentation.GetNodeReference("MedContext.Certainty")
    shown = np.array(slicer.util.arrayFromVolume(overlay))
    before = {name: array.copy() for name, array in segmentArrays(segmentation, node).items()}
    roi = roiAround(node)
    region = regionOf(RedoRequest(form, roi=roi), readVolume(node))
    other = tmp_path / "another model"
    shutil.copytree(bundled_models() / "hippocampus", other)
    # Somebody erased the structure there: what the region holds afterwards is the new answer.
    for name in before:
        segmentId = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        erased = np.where(region, 0, before[name]).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(erased, segmentation, segmentId, node)
    redo = RedoRequest(form, roi=roi, model=str(other) if form == "model" else "")
    request = SegmentRequest((node,), "hippocampus", segmentation, certainty="entropy", redo=redo)
    run = logic.start(request, Recorder())
    pollUntil(run)
    assert run.error is None
    assert run.segmentationNode is segmentation
    after = segmentArrays(segmentation, node)
    assert sorted(after) == sorted(before)
    for name, array in after.items():
        np.testing.assert_array_equal(array[~region], before[name][~region])
    redone = sum(array[region].astype(int) for array in after.values())
    expected = sum(array[region].astype(int) for array in before.values())
    assert (redone > 0).sum() > 0.5 * (expected > 0).sum()
    assert run.certaintyNode is overlay
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(overlay)[~region], shown[~region])


def test_around_a_segment_there_is_a_margin(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    segment = anterior(logic.segment(node, "hippocampus"))
    snapshot = readVolume(node)
    exact = regionOf(RedoRequest("finer", segment=segment, marginMm=0), snapshot)
    wide = regionOf(RedoRequest("finer", segment=segment), snapshot)
    np.testing.assert_array_equal(exact, segmentArrays(segment[0], node)["Anterior"] > 0)
    assert wide[exact].all()
    assert wide.sum() > 2 * exact.sum()


@pytest.mark.parametrize(
    ("redo", "said"),
    [
        (lambda _node: RedoRequest("finer"), "No region is chosen"),
        (lambda node: RedoRequest("again", roi=roiAround(node)), "no form 'again'"),
        (lambda node: RedoRequest("model", roi=roiAround(node)), "other model is not chosen"),
        (lambda node: RedoRequest("model", roi=roiAround(node), model="gone"), "There is no model 'gone'"),
        (lambda node: RedoRequest("finer", roi=roiAround(node, 900)), "covers no voxel"),
    ],
)
def test_what_cannot_be_redone_is_one_sentence(logic: MedContextSegmentLogic, redo: Any, said: str) -> None:
    node = loadSample()
    target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    with pytest.raises(InputError, match=said):
        logic.segment(node, "hippocampus", target, redo=redo(node))
    assert logic.run is None


def test_there_must_be_something_to_correct(logic: MedContextSegmentLogic) -> None:
    node = loadSample()
    with pytest.raises(InputError, match="no segmentation to correct"):
        logic.segment(node, "hippocampus", redo=RedoRequest("finer", roi=roiAround(node)))


def test_only_models_that_learnt_it_do_without_the_image() -> None:
    small = replace(CARD, window=(24.0, 32.0, 24.0))
    assert offeredForms(small) == ("finer", "context", "model")
    assert offeredForms(replace(small, method="supervised")) == ("finer", "model")
    for form in offeredForms(small):
        assert formTitle(form)
        assert formToolTip(form)
