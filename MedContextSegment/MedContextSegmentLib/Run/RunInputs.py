"""What a run is asked for, and what is read from the scene before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Run.Models import channelTitle, findModel
from MedContextSegmentLib.Run.Redo import RedoRequest, redoModel, regionOf
from MedContextSegmentLib.Run.RequestChecks import checkNodes
from MedContextSegmentLib.Scene.Regions import boxOfMask, boxOfRoi, maskOfRoi, maskOfSegment
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot, readVolume, volumeProblem

CERTAINTIES = ("none", "entropy", "masked")


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """What a run is asked for.

    Attributes:
        volumes: a volume node for each input channel of the model, in its order.
        model: id, ``id@version`` or folder.
        segmentation: node to write into; a new one when None.
        roi: ROI node; nothing is predicted outside of it.
        insideSegment: ``(segmentationNode, segmentId)``: nothing is predicted outside of that segment.
        certainty: "none", "entropy" or "masked".
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        lowMemory: compute in the way that needs least memory.
        redo: do only a region again; ``segmentation`` is needed then.
        labels: values of the labels to produce; all of the model when None.
    """

    volumes: tuple[Any, ...]
    model: str
    segmentation: Any = None
    roi: Any = None
    insideSegment: tuple[Any, str] | None = None
    certainty: str = "none"
    device: str = "auto"
    precision: str = "auto"
    lowMemory: bool = False
    redo: RedoRequest | None = None
    labels: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class RunInputs:
    """What was read from the scene; nothing of it changes when the scene does.

    Attributes:
        card: the model.
        snapshots: one for each input channel.
        box: what is predicted; everything when None.
        mask: bool ``(K, J, I)``: what the result is restricted to, or the region to do again; None for all.
    """

    card: CardSummary
    snapshots: tuple[VolumeSnapshot, ...]
    box: Box | None
    mask: np.ndarray | None


def readInputs(request: SegmentRequest) -> RunInputs:
    """Check a request and read what it names.

    Raises:
        InputError: the request cannot be followed; one sentence says why.
    """
    checkNodes(
        request.volumes,
        request.model,
        request.segmentation,
        request.roi,
        request.insideSegment,
        request.redo,
    )
    card = findModel(redoModel(request.redo, request.model) if request.redo else request.model)
    _checkVolumes(request, card)
    if request.certainty not in CERTAINTIES:
        raise InputError(
            _("There is no certainty map of the kind '{kind}'.").format(kind=request.certainty),
            _("Allowed: {kinds}.").format(kinds=", ".join(CERTAINTIES)),
        )
    snapshots = tuple(readVolume(node) for node in request.volumes)
    if request.redo is not None:
        if request.segmentation is None:
            raise InputError(_("There is no segmentation to correct."), _("Segment the image first."))
        return RunInputs(card, snapshots, None, regionOf(request.redo, snapshots[0]))
    box, mask = _restriction(request, snapshots[0])
    return RunInputs(card, snapshots, box, mask)


def _checkVolumes(request: SegmentRequest, card: CardSummary) -> None:
    given, needed = len(request.volumes), len(card.channels)
    if given == 0:
        raise InputError(volumeProblem(None), _("Choose one."))
    if given != needed:
        raise InputError(
            _("{given} volume(s) were given; the model '{title}' needs {needed}: {channels}.").format(
                given=given,
                title=card.title,
                needed=needed,
                channels=", ".join(channelTitle(card, index) for index in range(needed)),
            ),
            _("Choose one volume for each channel."),
        )
    for index, node in enumerate(request.volumes):
        if node is None and needed > 1:
            text = _("Channel {channel} has no volume.").format(channel=channelTitle(card, index))
            raise InputError(text, _("Choose one for each channel."))
        problem = volumeProblem(node, card.dims)
        if problem:
            raise InputError(problem, _("Choose another volume."))


def _restriction(request: SegmentRequest, snapshot: VolumeSnapshot) -> tuple[Box | None, np.ndarray | None]:
    """The box to predict in, and the voxels inside it that count, where those are not all."""
    mask = maskOfSegment(*request.insideSegment, snapshot) if request.insideSegment else None
    if request.roi is None:
        return (boxOfMask(mask), mask) if mask is not None else (None, None)
    box = boxOfRoi(request.roi, snapshot)
    inside = maskOfRoi(request.roi, _cropped(snapshot, box))
    if mask is None:
        filled = boxOfMask(inside)
        if inside[_slices(filled)].all():
            return _moved(filled, box), None
    kept = np.zeros(snapshot.array.shape, bool)
    kept[_slices(box)] = inside if mask is None else inside & mask[_slices(box)]
    if not kept.any():
        raise InputError(_("The ROI and the segment to stay inside do not overlap."), _("Move the ROI."))
    return boxOfMask(kept), kept


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(*side) for side in box)


def _moved(box: Box, origin: Box) -> Box:
    """A box that was counted from the beginning of another one."""
    k, j, i = ((a + start, b + start) for (a, b), (start, _end) in zip(box, origin, strict=True))
    return k, j, i


def _cropped(snapshot: VolumeSnapshot, box: Box) -> VolumeSnapshot:
    """The part of a snapshot in a box; a mask of that part costs less than one of the whole."""
    (k, _k1), (j, _j1), (i, _i1) = box
    shift = np.eye(4)
    shift[:3, 3] = i, j, k
    return replace(
        snapshot,
        array=snapshot.array[_slices(box)],
        affine=snapshot.affine @ shift,
        ijkToRas=snapshot.ijkToRas @ shift,
    )
