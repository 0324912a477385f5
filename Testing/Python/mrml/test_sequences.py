"""Frames of a sequence: each is segmented by itself, and the result moves with the volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer

from medcontext.errors import InputError

TIMES = ("0", "0.5", "1.5")
SHAPE = (5, 6, 7)


@pytest.fixture
def sequences() -> Any:
    from MedContextSegmentLib.Scene import Sequences

    return Sequences


def add_sequence(name: str, values: dict[str, int], browser: Any = None) -> tuple[Any, Any]:
    """A sequence of volumes, each filled with one value; returns its browser and its proxy node."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for time, value in values.items():
        frame = slicer.util.addVolumeFromArray(np.full(SHAPE, value, np.int16))
        frame.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -2, 3, 1])))
        sequence.SetDataNodeAtValue(frame, time)
        slicer.mrmlScene.RemoveNode(frame)
    if browser is None:
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    else:
        browser.AddSynchronizedSequenceNode(sequence)
    browser.SetOverwriteProxyName(sequence, True)
    return browser, browser.GetProxyNode(sequence)


@pytest.fixture
def beating() -> tuple[Any, Any]:
    return add_sequence("heart", {time: 10 * number for number, time in enumerate(TIMES)})


def segment(frame: Any) -> None:
    """A stand-in for the model: a segment whose size says which frame was seen."""
    value = int(slicer.util.arrayFromVolume(frame.volumes[0]).max())
    mask = np.zeros(SHAPE, np.uint8)
    mask[: value // 10 + 1] = 1
    segmentation = frame.segmentation.GetSegmentation()
    if segmentation.GetSegment("heart") is None:
        segmentation.AddEmptySegment("heart", "Heart", [1.0, 0.0, 0.0])
    frame.segmentation.SetAttribute("MedContext.Device", f"CPU {value}")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, frame.segmentation, "heart", frame.volumes[0])


def slices(segmentation: Any, volume: Any) -> int:
    """Number of slices that the segment covers in the frame shown; 0 where there is no segment."""
    if not segmentation.GetSegmentation().GetNumberOfSegments():
        return 0
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "heart", volume)
    return int(array.any(axis=(1, 2)).sum())


def nodes(className: str) -> int:
    return int(slicer.mrmlScene.GetNumberOfNodesByClass(className))


def shown(browser: Any, segmentation: Any, volume: Any) -> list[int]:
    found = []
    for number in range(browser.GetNumberOfItems()):
        browser.SetSelectedItemNumber(number)
        found.append(slices(segmentation, volume))
    return found


def run(
    sequences: Any, volumes: list[Any], only: Callable[[int], bool] = lambda _: True, **options: Any
) -> Any:
    with sequences.FrameRuns(volumes, **options) as frames:
        for index in filter(only, range(len(frames))):
            frame = frames.begin(index)
            segment(frame)
            frames.store(frame)
        return frames.finish()


def test_only_a_volume_that_follows_a_browser_is_a_sequence(sequences: Any, beating: tuple[Any, Any]) -> None:
    plain = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))
    assert sequences.isSequence(beating[1])
    assert sequences.frameCount(beating[1]) == 3
    assert not sequences.isSequence(plain)
    assert not sequences.isSequence(None)


def test_result_moves_with_the_volume(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    segmentation = run(sequences, [volume])
    assert shown(browser, segmentation, volume) == [1, 2, 3]
    assert segmentation.GetName() == "heart segmentation"
    assert segmentation.GetAttribute("MedContext.Device") == "CPU 20"
    assert segmentation.GetDisplayNode() is not None
    assert not segmentation.GetHideFromEditors()
    assert segmentation.GetSaveWithScene()


def test_slider_stays_where_it_was_and_nothing_hidden_is_left(
    sequences: Any, beating: tuple[Any, Any]
) -> None:
    browser, volume = beating
    browser.SetSelectedItemNumber(1)
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode")
    seen = []
    with sequences.FrameRuns([volume]) as frames:
        for frame in frames:
            assert frame.volumes[0].GetHideFromEditors()
            seen.append(browser.GetSelectedItemNumber())
            segment(frame)
            frames.store(frame)
        segmentation = frames.finish()
    assert seen == [1, 1, 1]
    assert slices(segmentation, volume) == 2
    assert nodes("vtkMRMLVolumeNode") == before
    assert nodes("vtkMRMLSegmentationNode") == 1
    assert nodes("vtkMRMLSequenceNode") == 2


def test_voxels_of_a_frame_are_not_copied(sequences: Any, beating: tuple[Any, Any]) -> None:
    _, volume = beating
    with sequences.FrameRuns([volume]) as frames:
        frame = frames.begin(2)
        data = volume.GetScene() and sequences.browserOf(volume).GetSequenceNode(volume).GetNthDataNode(2)
        assert np.shares_memory(
            slicer.util.arrayFromVolume(frame.volumes[0]), slicer.util.arrayFromVolume(data)
        )
        assert frame.text == "time = 1.5 s"


def test_result_lies_under_the_transform_of_the_volume(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(
        slicer.util.vtkMatrixFromArray(np.diag([0.0, 1, 1, 1]) + np.eye(4, k=1))
    )
    volume.SetAndObserveTransformNodeID(transform.GetID())
    segmentation = run(sequences, [volume])
    assert segmentation.GetTransformNodeID() == transform.GetID()
    assert shown(browser, segmentation, volume) == [1, 2, 3]


def test_transform_that_moves_too_is_taken_at_the_frame(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    motion = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "motion")
    motion.SetIndexName("time")
    motion.SetIndexUnit("s")
    for number, time in enumerate(TIMES):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[0, 3] = 100 * number
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        motion.SetDataNodeAtValue(node, time)
        slicer.mrmlScene.RemoveNode(node)
    browser.AddSynchronizedSequenceNode(motion)
    volume.SetAndObserveTransformNodeID(browser.GetProxyNode(motion).GetID())
    before = nodes("vtkMRMLTransformNode")
    with sequences.FrameRuns([volume]) as frames:
        for frame in frames:
            matrix = np.eye(4)
            world = slicer.util.vtkMatrixFromArray(matrix)
            frame.volumes[0].GetParentTransformNode().GetMatrixTransformToWorld(world)
            assert world.GetElement(0, 3) == 100 * frame.index
            segment(frame)
            frames.store(frame)
        segmentation = frames.finish()
    assert segmentation.GetTransformNodeID() == volume.GetTransformNodeID()
    assert nodes("vtkMRMLTransformNode") == before


def test_channels_are_taken_at_the_same_time(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    _, second = add_sequence("flow", dict(zip(TIMES, (7, 8, 9), strict=True)), browser)
    plain = slicer.util.addVolumeFromArray(np.full(SHAPE, 3, np.int16))
    with sequences.FrameRuns([volume, second, plain]) as frames:
        frame = frames.begin(1)
        assert [int(slicer.util.arrayFromVolume(node).max()) for node in frame.volumes] == [10, 8, 3]


def test_channel_without_the_frame_is_named(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    _, second = add_sequence("flow", {"0": 1, "1.5": 2}, browser)
    frames = sequences.FrameRuns([volume, second])
    with frames, pytest.raises(InputError, match=r"'flow' has no frame at time = 0.5 s"):
        frames.begin(1)
    assert nodes("vtkMRMLSegmentationNode") == 0


def test_cancelled_run_keeps_the_frames_that_were_done(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    segmentation = run(sequences, [volume], only=lambda index: index < 2)
    assert shown(browser, segmentation, volume) == [1, 2, 0]


def test_run_that_did_nothing_leaves_nothing(sequences: Any, beating: tuple[Any, Any]) -> None:
    with sequences.FrameRuns([beating[1]]) as frames:
        frames.discard(frames.begin(0))
        assert frames.finish() is None
    frames = sequences.FrameRuns([beating[1]])
    frame = frames.begin(0)
    segment(frame)
    frames.store(frame)
    frames.begin(1)
    frames.close()
    assert nodes("vtkMRMLSegmentationNode") == 0
    assert nodes("vtkMRMLSequenceNode") == 1


def test_correction_stays_in_its_frame(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    segmentation = run(sequences, [volume])
    browser.SetSelectedItemNumber(1)
    mask = np.ones(SHAPE, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "heart", volume)
    assert shown(browser, segmentation, volume) == [1, 5, 3]


def test_second_run_updates_the_first_and_starts_from_it(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    segmentation = run(sequences, [volume], only=lambda index: index < 2)
    with sequences.FrameRuns([volume], segmentation) as frames:
        frame = frames.begin(0)
        assert slices(frame.segmentation, frame.volumes[0]) == 1
        frames.discard(frame)
        frame = frames.begin(2)
        segment(frame)
        frames.store(frame)
        assert frames.finish() is segmentation
    assert shown(browser, segmentation, volume) == [1, 2, 3]
    assert nodes("vtkMRMLSequenceNode") == 2


def test_plain_segmentation_cannot_take_all_frames(sequences: Any, beating: tuple[Any, Any]) -> None:
    plain = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    with pytest.raises(InputError, match="'mine' cannot hold all frames"):
        sequences.FrameRuns([beating[1]], plain)
    with pytest.raises(InputError, match="does not belong to a sequence"):
        sequences.FrameRuns([slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16))])


def test_sequence_removed_during_a_run_is_one_sentence(sequences: Any, beating: tuple[Any, Any]) -> None:
    browser, volume = beating
    with sequences.FrameRuns([volume]) as frames:
        frame = frames.begin(0)
        slicer.mrmlScene.RemoveNode(browser)
        with pytest.raises(InputError, match="removed during the run"):
            frames.store(frame)
    slicer.mrmlScene.Clear(False)


def test_sequence_of_segmentations_survives_saving_the_scene(
    sequences: Any, beating: tuple[Any, Any], tmp_path: Any
) -> None:
    run(sequences, [beating[1]])
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    browser = slicer.util.getNode("browser")
    segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert shown(browser, segmentation, volume) == [1, 2, 3]
