"""What is offered as finished: the painted slices of the labels that are learnt from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from harness.runs import loadSample
from medcontext.case_list import StoreSummary, read_store
from medcontext.errors import MedContextError
from MedContextSegmentLib.Learn.AddCase import AddCaseRun, propose
from MedContextSegmentLib.Learn.LabelMapping import leaveOut
from MedContextSegmentLib.Scene import Provenance
from MedContextSegmentLib.Scene.PaintedSlices import paintedOfEach, paintedSlices


def drawn(volume: Any, **slices: Any) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for place, (name, wanted) in enumerate(slices.items()):
        array = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        array[wanted, 5 + 8 * place : 12 + 8 * place, 5:20] = 1
        found = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, found, volume)
    return node


def test_neighbouring_painted_slices_are_offered_and_not_the_whole_scan() -> None:
    volume = loadSample("scan")
    proposal = propose([volume], drawn(volume, a=slice(10, 15)), None)
    assert (proposal.region, proposal.slices) == ("slices", (10, 11, 12, 13, 14))


def test_who_painted_nearly_every_slice_looked_everywhere() -> None:
    volume = loadSample("scan")
    assert propose([volume], drawn(volume, a=slice(1, 40)), None).region == "whole"


def test_what_a_model_made_is_finished_everywhere_unless_something_else_was_painted() -> None:
    volume = loadSample("scan")
    node = drawn(volume, a=slice(10, 15), b=[3, 20])
    segment = node.GetSegmentation().GetNthSegment(0)
    Provenance.writeToSegment(segment, {"Model": "hippocampus@abc", "Label": "1"})
    proposal = propose([volume], node, None)
    assert proposal.region == "slices"
    leaveOut(proposal.mapping[1])
    proposal.offerPart()
    assert proposal.region == "whole"


def test_only_segments_that_are_learnt_from_count() -> None:
    volume = loadSample("scan")
    proposal = propose([volume], drawn(volume, a=[3, 9], b=[20, 30]), None)
    assert proposal.slices == (3, 9, 20, 30)
    proposal.finished = (1,)
    proposal.offerPart()
    assert proposal.slices == (3, 9)
    proposal.finished = (1, 2)
    leaveOut(proposal.mapping[0])
    proposal.offerPart()
    assert proposal.slices == (20, 30)


def test_slices_are_counted_on_the_copy_of_a_bent_scan() -> None:
    volume = loadSample("scan")
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x in bounds[:2]:
        for y in bounds[2:4]:
            for z in bounds[4:]:
                source.InsertNextPoint(x, y, z)
                target.InsertNextPoint(
                    x, y, z + 0.3 * (y - bounds[2]) + 3 * (x == bounds[0] and z == bounds[5])
                )
    bend = vtk.vtkThinPlateSplineTransform()
    bend.SetSourceLandmarks(source)
    bend.SetTargetLandmarks(target)
    bend.SetBasisToR()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(bend)
    node = drawn(volume, a=[5, 20, 38])
    for one in (volume, node):
        one.SetAndObserveTransformNodeID(transform.GetID())
    proposal = propose([volume], node, None)
    assert proposal.sliceCount("k") > slicer.util.arrayFromVolume(volume).shape[0]
    assert max(proposal.painted.k) < proposal.sliceCount("k")
    assert any("counted on the copy" in note for note in proposal.notes)


@pytest.mark.parametrize("count", [3, 20])
def test_the_slices_of_each_value(count: int) -> None:
    rng = np.random.default_rng(0)
    labelmap = np.zeros((20, 21, 22), np.uint8)
    for value in range(1, count + 1):
        labelmap[tuple(rng.integers(2, 19, (3, 5)))] = value
    whole = ((0, 20), (0, 21), (0, 22))
    steps = paintedOfEach(labelmap, [*range(1, count + 1), 200], paintedSlices(labelmap, whole))
    try:
        while True:
            next(steps)
    except StopIteration as end:
        found = end.value
    for value in range(1, count + 1):
        assert found[value] == paintedSlices((labelmap == value).astype(np.uint8), whole)
    assert found[200].k == ()


def test_a_store_that_was_made_stays_with_its_title_when_the_case_is_refused(
    worker: Any, root: Path, tmp_path: Path, finish: Callable[[Any], Any]
) -> None:
    volume = loadSample("scan")
    title = StoreSummary(tmp_path / "folder", "What: a title?", (("T1", "MR"),), writable=True)
    proposal = propose([volume], drawn(volume, a=[3]), title)
    proposal.slices = (7,)  # where nothing is
    proposal.mapping[0].target = None
    proposal.mapping[0].how = "none"
    run = AddCaseRun(worker, proposal, title.folder, None, root)
    with pytest.raises(MedContextError):
        finish(run)
    assert not run.storeMade
    proposal = propose([volume], drawn(volume, a=[3]), title)
    array = slicer.util.arrayFromVolume(volume).astype(np.float32)
    array[0, 0, 0] = np.nan  # which the worker refuses
    slicer.util.updateVolumeFromArray(volume, array)
    run = AddCaseRun(worker, proposal, title.folder, None, root)
    with pytest.raises(MedContextError, match="finite"):
        finish(run)
    assert run.storeMade
    store = read_store(title.folder)
    assert (store.name, store.channels, store.cases) == ("What: a title?", (("T1", "MR"),), ())
