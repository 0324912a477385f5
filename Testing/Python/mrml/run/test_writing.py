"""Writing can be stopped after any step, and then the scene is as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.cards import bundled_models, read_summary
from medcontext.errors import InputError
from MedContextSegmentLib.Run.Redo import RedoRequest
from MedContextSegmentLib.Run.RunInputs import RunInputs, SegmentRequest
from MedContextSegmentLib.Run.RunListener import LogListener
from MedContextSegmentLib.Run.Writing import Writing
from MedContextSegmentLib.Scene import Certainty
from MedContextSegmentLib.Scene.Certainty import CERTAINTY_REFERENCE, isCertaintyShown
from MedContextSegmentLib.Scene.Provenance import tagOf
from MedContextSegmentLib.Scene.VolumeChoice import candidateVolumes
from MedContextSegmentLib.Scene.VolumeReader import readVolume
from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel, restrictResult

SHAPE = (12, 14, 16)


def makeResult() -> SegmentationResult:
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[2:6, 3:9, 4:10] = 1
    labelmap[6:9, 3:9, 4:10] = 2
    extents = {1: ((2, 6), (3, 9), (4, 10)), 2: ((6, 9), (3, 9), (4, 10)), 3: None}
    labels = []
    for value, extent in extents.items():
        voxels = int((labelmap == value).sum())
        labels.append(
            SegmentLabel(value, f"label {value}", (10, 20, 30), None, extent, voxels, voxels / 1000)
        )
    return SegmentationResult(
        labelmap=labelmap,
        certainty=np.full(SHAPE, 200, np.uint8),
        labels=tuple(labels),
        model={"id": "m", "version": "1", "title": "M", "sha256": "a" * 64, "license": "CC0-1.0"},
        device="CPU",
        precision="fp32",
        seconds={"segment": 1.0},
        software={"medcontext": "0"},
        warm=True,
    )


def makeVolume() -> Any:
    return slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), name="scan")


def makeInputs(volumeNode: Any, mask: np.ndarray | None = None) -> RunInputs:
    card = read_summary(bundled_models() / "hippocampus")
    return RunInputs(card, (readVolume(volumeNode),), None, mask)


def makeSegmentation(volumeNode: Any) -> Any:
    """One that a person drew in, with an overlap, and that has an earlier result of the model."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node)
    for _share in Writing().steps(request, makeInputs(volumeNode), makeResult(), LogListener()):
        pass
    for number in range(2):
        array = np.zeros(SHAPE, np.uint8)
        array[1 + number : 8, 2:7, 3:8] = 1
        segmentId = node.GetSegmentation().AddEmptySegment("", f"drawn {number}")
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volumeNode)
    node.SetAttribute("mine", "kept")
    return node


def stateOf(node: Any, volumeNode: Any) -> list[Any]:
    """Everything about a segmentation that a person could miss."""
    segmentation = node.GetSegmentation()
    state: list[Any] = [{name: node.GetAttribute(name) for name in node.GetAttributeNames()}]
    for index in range(segmentation.GetNumberOfSegments()):
        segmentId = segmentation.GetNthSegmentID(index)
        segment = segmentation.GetSegment(segmentId)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
        tags = [tagOf(segment, name) for name in TAGS]
        state.append((segmentId, segment.GetName(), segment.GetColor(), tags, array.tobytes()))
    return state


TAGS = ("MedContext.Model", "MedContext.Label", "MedContext.Time")


def countSteps(volumeNode: Any, node: Any) -> int:
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node)
    return sum(1 for _ in Writing().steps(request, makeInputs(volumeNode), makeResult(), LogListener()))


def test_a_new_segmentation_is_gone_after_any_step() -> None:
    volumeNode = makeVolume()
    request = SegmentRequest((volumeNode,), "hippocampus")
    total = countSteps(volumeNode, None)
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("scan segmentation"))
    assert total >= 3
    for cut in range(total):
        writing = Writing()
        steps = writing.steps(request, makeInputs(volumeNode), makeResult(), LogListener())
        for _number in range(cut):
            next(steps)
        writing.takeBack()
        assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_an_existing_segmentation_is_as_before_after_any_step() -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    before = stateOf(node, volumeNode)
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node)
    result = makeResult()
    result.labelmap[:] = np.roll(result.labelmap, 1, axis=2)  # so that a rerun changes voxels
    changed = 0
    for cut in range(1, 6):
        writing = Writing()
        steps = writing.steps(request, makeInputs(volumeNode), result, LogListener())
        for _number in range(cut):
            next(steps)
        changed += stateOf(node, volumeNode) != before
        writing.takeBack()
        assert stateOf(node, volumeNode) == before
    assert changed, "nothing had been written yet: this test says nothing"


def test_what_is_drawn_after_taking_back_is_kept() -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node)
    writing = Writing()
    steps = writing.steps(request, makeInputs(volumeNode), makeResult(), LogListener())
    for _number in range(3):
        next(steps)
    writing.takeBack()
    steps.close()
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[0, 0, 0] = 1
    segmentId = node.GetSegmentation().GetNthSegmentID(node.GetSegmentation().GetNumberOfSegments() - 1)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segmentId, volumeNode)
    writing.takeBack()  # a second time does nothing
    found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    np.testing.assert_array_equal(found, drawn)


def test_an_empty_result_is_said_and_gives_empty_segments(caplog: pytest.LogCaptureFixture) -> None:
    volumeNode = makeVolume()
    request = SegmentRequest((volumeNode,), "hippocampus")
    result = restrictResult(makeResult(), np.zeros(SHAPE, bool))
    writing = Writing()
    with caplog.at_level("WARNING"):
        list(writing.steps(request, makeInputs(volumeNode), result, LogListener()))
    assert caplog.messages == ["No structure was found in this image."]
    assert writing.written()[0].GetSegmentation().GetNumberOfSegments() == 3


def test_a_correction_whose_segmentation_is_gone_is_a_sentence() -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node, redo=RedoRequest("finer"))
    slicer.mrmlScene.RemoveNode(node)
    with pytest.raises(InputError, match="to correct was deleted"):
        list(Writing().steps(request, makeInputs(volumeNode), makeResult(), LogListener()))


def test_a_redone_region_changes_nothing_outside_of_it() -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    names = ["label 1", "label 2", "drawn 0", "drawn 1"]
    before = {name: voxelsOf(node, name, volumeNode) for name in names}
    region = np.zeros(SHAPE, bool)
    region[3:8, 4:8, 5:9] = True
    result = makeResult()
    result.labelmap[:] = np.where(region & (result.labelmap == 0), 1, 0)
    inputs = makeInputs(volumeNode, region)
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node, redo=RedoRequest("finer"))
    list(Writing().steps(request, inputs, restrictResult(result, region), LogListener()))
    for name in names:
        after = voxelsOf(node, name, volumeNode)
        np.testing.assert_array_equal(after[~region], before[name][~region])
    assert not voxelsOf(node, "label 2", volumeNode)[region].any()


def voxelsOf(node: Any, name: str, volumeNode: Any) -> np.ndarray:
    segmentId = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return np.array(slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode))


def test_a_restricted_result_counts_what_is_left() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[4:6, 5:9, 4:7] = True
    result = restrictResult(makeResult(), mask)
    first, second, third = result.labels
    assert (first.extent, first.voxels) == (((4, 6), (5, 9), (4, 7)), 24)
    assert first.volumeMl == pytest.approx(0.024)
    assert (second.extent, second.voxels, second.volumeMl) == (None, 0, 0)
    assert third.extent is None
    assert result.certainty is not None
    assert set(np.unique(result.certainty[~mask])) == {255}
    with pytest.raises(InputError, match="shape"):
        restrictResult(result, mask[1:])


def write(volumeNode: Any, node: Any, certainty: bool = True, region: np.ndarray | None = None) -> Any:
    """One run; its overlay, or None."""
    redo = RedoRequest("finer") if region is not None else None
    request = SegmentRequest((volumeNode,), "hippocampus", segmentation=node, redo=redo)
    result = makeResult() if certainty else replace(makeResult(), certainty=None)
    writing = Writing()
    list(writing.steps(request, makeInputs(volumeNode, region), result, LogListener()))
    return writing.written()[1]


def test_a_run_without_certainty_takes_the_earlier_map_away() -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    overlay = write(volumeNode, node)
    assert isCertaintyShown(overlay)
    assert write(volumeNode, node, certainty=False) is None
    assert not isCertaintyShown(overlay)
    assert node.GetNodeReference(CERTAINTY_REFERENCE) is None
    assert candidateVolumes() == [volumeNode]  # though nothing refers to it any more


def test_a_region_redone_without_certainty_is_empty_in_the_map() -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    overlay = write(volumeNode, node)
    before = np.array(slicer.util.arrayFromVolume(overlay))
    region = np.zeros(SHAPE, bool)
    region[3:8, 4:8, 5:9] = True
    assert before[region].all()
    write(volumeNode, node, certainty=False, region=region)
    assert node.GetNodeReference(CERTAINTY_REFERENCE) is overlay
    after = slicer.util.arrayFromVolume(overlay)
    assert not after[region].any()
    np.testing.assert_array_equal(after[~region], before[~region])


@pytest.mark.parametrize("earlier", [False, True], ids=["first map", "earlier map"])
def test_a_map_that_fails_costs_no_segmentation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, earlier: bool
) -> None:
    volumeNode = makeVolume()
    node = makeSegmentation(volumeNode)
    overlay = node.GetNodeReference(CERTAINTY_REFERENCE)
    if not earlier:
        slicer.mrmlScene.RemoveNode(overlay)
    with monkeypatch.context() as patch, caplog.at_level("WARNING"):
        patch.setattr(Certainty, "_setUpLegend", lambda *_arguments: {}["colors"])
        assert write(volumeNode, node) is None
    assert any("the segmentation is complete" in message for message in caplog.messages)
    assert node.GetSegmentation().GetSegmentIdBySegmentName("label 1")
    assert node.GetNodeReference(CERTAINTY_REFERENCE) is None
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == [volumeNode]  # no stale one either
