"""Undo by the embedded editor: one step back is the state before the result, voxel for voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

LOGIC = slicer.vtkSlicerSegmentationsModuleLogic
EDITOR = slicer.vtkMRMLSegmentEditorNode


class Embedded:
    """What the embedded segment editor offers: its own history, saved through it."""

    def __init__(self, editor_node: Any) -> None:
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetSegmentEditorNode(editor_node)
        self.saved = 0

    def save(self) -> None:
        self.saved += 1
        assert self.logic.SaveStateForUndo()


def test_undo_of_a_first_result_leaves_the_new_segmentation_empty(tools: Any, editor: Any) -> None:
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    embedded = Embedded(editor(node, volume))
    tools.Writer(None, embedded.save).write(tools.result(tools.labels()), snapshot, node)
    after = tools.state(node, volume)
    embedded.logic.Undo()
    assert node.GetSegmentation().GetNumberOfSegments() == 0
    embedded.logic.Redo()
    assert tools.state(node, volume) == after
    assert embedded.saved == 1


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("surfaces", [False, True])
@pytest.mark.parametrize("mode", ["no editor", "all", "none", "region"])
def test_undo_restores_all_segments(tools: Any, editor: Any, shared: bool, surfaces: bool, mode: str) -> None:
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    tools.Writer().write(tools.result(tools.labels()), snapshot, node)
    mask = np.zeros(tools.SHAPE, bool)
    mask[2:9, 6:11, 2:12] = True
    drawn = mask & (tools.labels() == 0) if shared else mask
    hand = tools.draw(node, volume, "by hand", drawn, shared)
    assert node.GetSegmentation().GetNumberOfLayers() == (1 if shared else 2)
    LOGIC.SetSegmentStatus(node.GetSegmentation().GetSegment(hand), LOGIC.InProgress)
    if surfaces:
        node.CreateClosedSurfaceRepresentation()
    editor_node = editor(node, volume, OverwriteMode=EDITOR.OverwriteAllSegments)
    if mode == "none":
        editor_node.SetOverwriteMode(EDITOR.OverwriteNone)
    embedded = Embedded(editor_node)
    before = tools.state(node, volume)
    writer = tools.Writer(None if mode == "no editor" else editor_node, embedded.save)
    region = np.ones(tools.SHAPE, bool) if mode == "region" else None
    labels = np.roll(tools.labels(), (1, 2), axis=(0, 1))
    writer.write(
        tools.result(labels, {1: "liver", 2: "spleen", 5: "left kidney", 7: "new"}),
        snapshot,
        node,
        region=region,
    )
    after = tools.state(node, volume)
    assert after != before
    assert embedded.saved == 1
    embedded.logic.Undo()
    assert tools.state(node, volume) == before
    embedded.logic.Redo()
    assert tools.state(node, volume) == after


def test_two_runs_are_two_steps(tools: Any, editor: Any) -> None:
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    embedded = Embedded(editor(node, volume))
    states = [tools.state(node, volume)]
    for shift in (0, 1, 2):
        labels = np.roll(tools.labels(), shift, axis=1)
        tools.Writer(None, embedded.save).write(tools.result(labels), snapshot, node)
        states.append(tools.state(node, volume))
    for expected in reversed(states[:-1]):
        embedded.logic.Undo()
        assert tools.state(node, volume) == expected


def test_state_is_saved_before_the_first_change(tools: Any) -> None:
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    seen: list[int] = []
    writer = tools.Writer(None, lambda: seen.append(node.GetSegmentation().GetNumberOfSegments()))
    writer.write(tools.result(tools.labels()), snapshot, node)
    assert seen == [0]
