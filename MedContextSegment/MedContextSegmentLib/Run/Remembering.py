"""The end of a run: what the model answered is remembered, so that later corrections can be told from it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from medcontext.errors import MedContextError
from MedContextSegmentLib.Run.RunInputs import RunInputs, SegmentRequest
from MedContextSegmentLib.Scene.ModelAnswer import (
    ModelAnswer,
    PackedLabels,
    answerOf,
    forgetAnswer,
    rememberAnswer,
    segmentsOfModel,
    stampOf,
)
from MedContextSegmentLib.Scene.Provenance import modelKey
from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter
from MedContextSegmentLib.Scene.SegmentReading import readingSteps
from MedContextSegmentLib.Worker.Results import SegmentationResult


def remembering(
    segmentationNode: Any,
    request: SegmentRequest,
    inputs: RunInputs,
    result: SegmentationResult,
    writer: SegmentationWriter,
) -> Iterator[float]:
    """Remember a result that was written. What goes wrong here costs no segmentation: then the model is asked again.

    Args:
        segmentationNode: where it was written.
        request: what was asked for.
        inputs: what was read from the scene.
        result: what the worker gave.
        writer: has written it.
    """
    try:
        answer = yield from _answer(segmentationNode, request, inputs, result, writer)
    except MedContextError as error:
        logging.getLogger(__name__).warning("The answer of the model is not remembered: %s", error)
        answer = None
    if answer is None:
        forgetAnswer(segmentationNode)
    else:
        rememberAnswer(segmentationNode, answer)


def _answer(
    segmentationNode: Any,
    request: SegmentRequest,
    inputs: RunInputs,
    result: SegmentationResult,
    writer: SegmentationWriter,
) -> Generator[float, None, ModelAnswer | None]:
    snapshot = inputs.snapshots[0]
    if request.redo is not None:
        earlier = answerOf(segmentationNode)
        if earlier is None or inputs.mask is None:
            return None
        # Another model may have done it: what the segments hold there is the answer, whatever its labels are.
        values = segmentsOfModel(segmentationNode, earlier.key)
        labels = earlier.labelmap.unpacked()
        if labels.shape != snapshot.array.shape:
            return None
        reading = yield from readingSteps(segmentationNode, values, snapshot)
        labels[inputs.mask] = reading.labelmap[inputs.mask]
        stamp = stampOf(segmentationNode, earlier.key)
        return replace(earlier, labelmap=PackedLabels(labels), stamp=stamp)
    key = modelKey(result.model)
    labels = result.labelmap
    if not writer.exact:
        values = segmentsOfModel(segmentationNode, key)
        labels = (yield from readingSteps(segmentationNode, values, snapshot)).labelmap
    return ModelAnswer(
        labelmap=PackedLabels(labels),
        key=key,
        volumeIds=tuple(shot.nodeId for shot in inputs.snapshots),
        labels=request.labels,
        box=inputs.box,
        mask=None if inputs.mask is None else PackedLabels(np.asarray(inputs.mask)),
        stamp=stampOf(segmentationNode, key),
    )
