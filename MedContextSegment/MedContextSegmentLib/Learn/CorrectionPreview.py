"""What came of a correction is shown in the segments themselves, and taken back until somebody goes on from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MedContextSegmentLib.Run.Writing import Earlier
from MedContextSegmentLib.Scene.EditableArea import isCompleted, segmentIdsOf
from MedContextSegmentLib.Scene.ModelAnswer import PackedLabels
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP
from MedContextSegmentLib.Worker.Results import SegmentationResult, restrictResult


@dataclass(frozen=True, eq=False)
class News:
    """What the worker's answer changes.

    Attributes:
        region: bool ``(K, J, I)``, where.
        part: the answer there.
        kept: from what the next correction is told: the answer, but as the model had answered where it was corrected,
            so that what was corrected already still is.
    """

    region: np.ndarray
    part: SegmentationResult
    kept: np.ndarray


def newsOf(
    found: SegmentationResult,
    corrected: np.ndarray,
    now: np.ndarray,
    before: np.ndarray,
    mask: PackedLabels | None,
) -> News:
    """What an answer of the worker changes.

    Args:
        found: the answer.
        corrected: what the segments held when it was asked for, uint8 ``(K, J, I)``.
        now: what they hold now; where that is something else it stays.
        before: what the model had answered.
        mask: what the answer is restricted to; None for nothing.
    """
    region = (found.labelmap != corrected) & (now == corrected)
    if mask is not None:
        region &= mask.unpacked()
    kept = np.where(region, found.labelmap, now)
    strokes = corrected != before
    kept[strokes] = before[strokes]
    return News(region, restrictResult(replace(found, labelmap=found.labelmap.copy()), region), kept)


class CorrectionPreview:
    """A segmentation as it was, to be made right before it is written.

    Args:
        segmentationNode: a ``vtkMRMLSegmentationNode``.
    """

    def __init__(self, segmentationNode: Any) -> None:
        self._node = segmentationNode
        self._earlier = Earlier(segmentationNode)
        self._shown = _stateOf(segmentationNode)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is changed in here is what came of the correction, and no person's work."""
        untouched = self.untouched
        try:
            yield
        finally:
            if untouched:
                self._shown = _stateOf(self._node)

    @property
    def untouched(self) -> bool:
        """Whether nobody changed any segment since: then nothing of a person's work is lost by going back."""
        return self._node.GetScene() is not None and _stateOf(self._node) == self._shown

    def takeBack(self) -> bool:
        """Make the segmentation what it was, unless somebody changed it; returns whether that was done."""
        if not self.untouched:
            return False
        self._earlier.restore()
        return True


def _stateOf(segmentationNode: Any) -> list[tuple[Any, ...]]:
    """Is another one when a person painted, added, removed, renamed, colored or finished a segment."""
    state = []
    for segmentId in segmentIdsOf(segmentationNode):
        segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
        image = segment.GetRepresentation(LABELMAP)
        voxels = image.GetMTime() if image is not None else 0
        state.append((segmentId, voxels, segment.GetName(), segment.GetColor(), isCompleted(segment)))
    return state
