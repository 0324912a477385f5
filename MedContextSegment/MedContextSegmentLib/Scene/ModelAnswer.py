"""What a model answered, remembered with a segmentation as long as Slicer runs: what differs from it was corrected.

The segmentation holds a token only, so that a scene file does not grow, and a copy of the segmentation remembers too.
"""

from __future__ import annotations

import secrets
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import boundsOf, slices
from MedContextSegmentLib.Scene.Provenance import labelOf
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP
from MedContextSegmentLib.Worker.Background import Background

TOKEN = "MedContextAnswer"
KEPT = 16
"""Answers remembered; a packed one takes some hundred kilobytes."""

_FAST = 1  # label maps are packed to a hundredth either way

Stamp = tuple[tuple[str, int], ...]

_answers: OrderedDict[str, ModelAnswer] = OrderedDict()


class PackedLabels:
    """A label map that takes little memory; it is packed beside the main thread.

    Args:
        labels: uint8 or bool ``(K, J, I)``, which nobody changes afterwards.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self._shape, self._type = labels.shape, labels.dtype
        self._box = boundsOf(labels)
        parts = [] if self._box is None else [labels[slices(self._box)]]  # let go of when they are packed
        self._packed = Background(
            lambda: zlib.compress(parts.pop().tobytes(), _FAST) if self._box is not None else b""
        )

    def unpacked(self) -> np.ndarray:
        """The label map, a new array; may be called in any thread."""
        labels = np.zeros(self._shape, self._type)
        if self._box is not None:
            part = labels[slices(self._box)]
            part[...] = np.frombuffer(zlib.decompress(self._packed.result()), self._type).reshape(part.shape)
        return labels


@dataclass(frozen=True, eq=False)
class ModelAnswer:
    """What a model answered, and what was asked.

    Attributes:
        labelmap: the values of the model's labels on the grid of the scan.
        key: the model, as :func:`Provenance.modelKey`.
        volumeIds: of the volumes, one for each channel.
        labels: values of the labels that were wanted; all when None.
        box: what was looked at; everything when None.
        mask: what the answer was restricted to; None for nothing.
        stamp: of the segments when they held the answer.
    """

    labelmap: PackedLabels
    key: str
    volumeIds: tuple[str, ...]
    labels: tuple[int, ...] | None
    box: Box | None
    mask: PackedLabels | None
    stamp: Stamp


def rememberAnswer(segmentationNode: Any, answer: ModelAnswer) -> None:
    """Keep an answer with a segmentation, instead of an earlier one."""
    token = secrets.token_hex(8)
    _answers[token] = answer
    while len(_answers) > KEPT:
        _answers.popitem(last=False)
    segmentationNode.SetAttribute(TOKEN, token)


def forgetAnswer(segmentationNode: Any) -> None:
    """What the segmentation holds is no longer told from what was corrected."""
    segmentationNode.RemoveAttribute(TOKEN)


def answerOf(segmentationNode: Any) -> ModelAnswer | None:
    """The answer that a segmentation was made from; None where it is not known, such as in a scene from a file."""
    token = segmentationNode.GetAttribute(TOKEN) or ""
    if token in _answers:
        _answers.move_to_end(token)
    return _answers.get(token)


def isCorrected(segmentationNode: Any, answer: ModelAnswer) -> bool:
    """Whether anybody may have changed the model's segments since they held an answer."""
    return stampOf(segmentationNode, answer.key) != answer.stamp


def segmentsOfModel(segmentationNode: Any, key: str) -> dict[str, int]:
    """The label value of each segment that a model made, by segment id; of several of one label the first."""
    segmentation = segmentationNode.GetSegmentation()
    values: dict[str, int] = {}
    for number in range(segmentation.GetNumberOfSegments()):
        value = labelOf(segmentation.GetNthSegment(number), key)
        if value is not None and value not in values.values():
            values[segmentation.GetNthSegmentID(number)] = value
    return values


def stampOf(segmentationNode: Any, key: str) -> Stamp:
    """Changes when the voxels of a segment of the model may have changed."""
    segmentation = segmentationNode.GetSegmentation()
    stamps = []
    for segmentId in segmentsOfModel(segmentationNode, key):
        image = segmentation.GetSegment(segmentId).GetRepresentation(LABELMAP)
        stamps.append((segmentId, image.GetMTime() if image is not None else 0))
    return tuple(stamps)
