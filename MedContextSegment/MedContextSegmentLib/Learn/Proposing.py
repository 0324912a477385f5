"""Looks at what is on screen and proposes it as a case; nothing changes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from medcontext.errors import InputError
from medcontext.labels import IGNORE
from MedContextSegmentLib.Learn.CaseFacts import channelsFor
from MedContextSegmentLib.Learn.CaseProposal import CaseProposal
from MedContextSegmentLib.Learn.ChannelChoice import channelNotes
from MedContextSegmentLib.Learn.LabelMapping import mapSegments, valuesOf
from MedContextSegmentLib.Learn.OpenCase import openedFrom
from MedContextSegmentLib.Learn.StoredPart import (
    NEW_VALUE,
    StoredPart,
    changedSlices,
    storedPart,
    storedValue,
)
from MedContextSegmentLib.Scene import Provenance
from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf
from MedContextSegmentLib.Scene.PaintedSlices import AXES, paintedOfEach
from MedContextSegmentLib.Scene.ScanFiles import patientGroup
from MedContextSegmentLib.Scene.SegmentReading import SegmentReading, readingSteps
from MedContextSegmentLib.Scene.VolumeReader import RAS_TO_LPS, VolumeSnapshot, readVolume, volumeProblem

HELD_OUT = ("held_out", "test")


def propose(
    volumes: Sequence[Any],
    segmentation: Any,
    store: StoreSummary | None,
    segments: Iterable[str] | None = None,
) -> CaseProposal:
    """All of :func:`proposing` at once."""
    steps = proposing(volumes, segmentation, store, segments)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            proposal: CaseProposal = end.value
            return proposal


def proposing(
    volumes: Sequence[Any],
    segmentation: Any,
    store: StoreSummary | None,
    segments: Iterable[str] | None = None,
) -> Generator[float, None, CaseProposal]:
    """Look at what is on screen and propose a case, in small steps.

    Every label of which something was painted is proposed as finished, in the slices that were painted; see
    :meth:`CaseProposal.offerPart`. For a case that was opened from the store, what was finished there is so again.

    Args:
        volumes: a volume node for each channel.
        segmentation: a segmentation node.
        store: where the case will go; None for a store that is yet to be made.
        segments: ids of the segments to learn from; all that are not empty when None.

    Yields:
        The share that is done.

    Raises:
        InputError: there is no scan or nothing painted on it, or the store wants other channels.
    """
    checkVolumes(volumes, store)
    ids = _segmentIds(segmentation, segments)
    numbers = {segmentId: value for value, segmentId in enumerate(ids, start=1)}
    snapshot = readVolume(volumes[0])
    yield 0.02
    reading = yield from readingSteps(segmentation, numbers, snapshot)
    if segments is None:
        ids = [found.segmentId for found in reading.segments if not found.isEmpty]
        if not ids:
            raise InputError(_("All segments are empty."), _("Paint a structure first."))
    proposal = _proposal(volumes, segmentation, store, ids, snapshot, reading)
    steps = paintedOfEach(reading.labelmap, list(numbers.values()), reading.painted)
    painted = yield from _while(steps, 0.96)
    proposal.paintedOf = {name: painted[number] for name, number in numbers.items()}
    proposal.offerPart()
    proposal.opened = openedFrom(store, volumes[0]) if store is not None else None
    if proposal.opened is not None:
        _asInStore(proposal, proposal.opened)
        part = storedPart(segmentation)
        if part is not None and part.case == proposal.opened.id and proposal.opened.label is not None:
            yield from _partInStore(proposal, proposal.opened, part, snapshot, reading)
    return proposal


def _while(steps: Generator[None, None, Any], share: float) -> Generator[float, None, Any]:
    """Other steps, all of which are told as one share."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield share


def _proposal(
    volumes: Sequence[Any],
    segmentation: Any,
    store: StoreSummary | None,
    ids: Sequence[str],
    snapshot: VolumeSnapshot,
    reading: SegmentReading,
) -> CaseProposal:
    labels = store.labels if store is not None else None
    columns = (RAS_TO_LPS @ snapshot.affine)[:3, :3]
    axis = _thickestAxis(snapshot)
    channels = channelNotes(store, volumes) if store is not None else []
    proposal = CaseProposal(
        volumes=tuple(volumes),
        segmentation=segmentation,
        segments=tuple(ids),
        mapping=mapSegments(segmentation, ids, labels),
        finished=(),
        region="whole",
        axis=axis,
        slices=(),
        patient=patientGroup(volumes[0]),
        name=volumes[0].GetName() or "",
        labels=labels,
        channels=store.channels if store is not None else channelsFor(volumes),
        title=store.name if store is not None else "",
        shape=snapshot.array.shape,
        directions=columns / np.linalg.norm(columns, axis=0),
        acrossSlices=axis,
        found=reading.segments,
        modelMade=frozenset(name for name in ids if _isOfModel(segmentation, name)),
        notes=(*channels, *_scanNotes(snapshot), *reading.notes),
    )
    proposal.finished = proposal.paintedValues
    return proposal


def _isOfModel(segmentation: Any, segmentId: str) -> bool:
    segment = segmentation.GetSegmentation().GetSegment(segmentId)
    return bool(segment is not None and Provenance.tagOf(segment, Provenance.MODEL))


def _asInStore(proposal: CaseProposal, case: CaseSummary) -> None:
    """The scan is that of a case: whose it is, and whether it is kept apart, is known."""
    proposal.name = case.id
    proposal.patient = case.group or proposal.patient
    proposal.heldOut = case.kind in HELD_OUT


def _partInStore(
    proposal: CaseProposal,
    case: CaseSummary,
    part: StoredPart,
    snapshot: VolumeSnapshot,
    reading: SegmentReading,
) -> Generator[float, None, None]:
    """The segments are those of a case: what was finished is so again, and what was painted since is added."""
    known = {label.value for label in proposal.known}
    before = known if case.labels is None else set(case.labels) & known
    stored = {
        found.segmentId: storedValue(proposal.segmentation, found.segmentId) for found in reading.segments
    }
    there = {found.segmentId for found in reading.segments if found.voxels}
    added = {
        value
        for name, value in valuesOf(proposal.mapping).items()
        if stored.get(name) is None and name in there
    }
    proposal.finished = tuple(sorted(before | added))
    proposal.stored = True
    if snapshot.hardened and case.region != "whole":
        proposal.stored = False
        proposal.offerPart()
    elif case.region == "whole":
        proposal.region = "whole"
    elif case.region == "mask" and case.mask is not None:
        proposal.region = "as before"
    elif case.region == "slices" and part.axis:
        values = {found.value: stored[found.segmentId] or NEW_VALUE for found in reading.segments}
        painted = reading.painted.along(part.axis)
        changed = yield from _while(changedSlices(part, reading.labelmap, values, painted), 0.98)
        proposal.region, proposal.axis = "slices", part.axis
        proposal.slices = tuple(sorted({*_slicesNow(case, part), *changed}))


def _slicesNow(case: CaseSummary, part: StoredPart) -> tuple[int, ...]:
    """The finished slices; a case that was replaced since it was opened has them as they were counted then."""
    return part.slices if case.slices == part.inStore or case.axis != part.axis else case.slices


def checkVolumes(volumes: Sequence[Any], store: StoreSummary | None) -> None:
    """Whether volumes can be the channels of a case.

    Args:
        volumes: a volume node for each channel.
        store: where the case will go; None for any.

    Raises:
        InputError: they cannot.
    """
    if not volumes or any(node is None for node in volumes):
        raise InputError(_("No volume is selected."), _("Choose one for each channel."))
    for node in volumes:
        if node.GetScene() is None:
            raise InputError(_("The volume {name} was deleted.").format(name=node.GetName()))
        problem = volumeProblem(node)
        if problem:
            raise InputError(problem, _("Choose another volume."))
    if store is not None and len(volumes) != len(store.channels):
        text = _(
            "The case store '{store}' has {needed} channel(s) ({channels}), {given} volume(s) are chosen."
        )
        raise InputError(
            text.format(
                store=store.name,
                needed=len(store.channels),
                channels=", ".join(name for name, _modality in store.channels),
                given=len(volumes),
            ),
            _("Choose one volume for each channel, or another case store."),
        )
    if len({node.GetID() for node in volumes}) < len(volumes):
        raise InputError(_("One volume is chosen for several channels."), _("Choose another one for each."))


def _segmentIds(segmentation: Any, segments: Iterable[str] | None) -> list[str]:
    if segmentation is None or segmentation.GetScene() is None:
        raise InputError(_("There is no segmentation to learn from."), _("Segment the volume first."))
    wanted = None if segments is None else set(segments)
    ids = [name for name in segmentIdsOf(segmentation) if wanted is None or name in wanted]
    if not ids:
        raise InputError(
            _("There is no segment to learn from."), _("Paint a structure, or choose a segment.")
        )
    if len(ids) >= IGNORE:
        text = _("A case holds up to {most} segments, not {count}.")
        raise InputError(text.format(most=IGNORE - 1, count=len(ids)), _("Choose fewer."))
    return ids


def _thickestAxis(snapshot: VolumeSnapshot) -> str:
    """The axis across the slices that the scanner made."""
    spacing = snapshot.geometry.spacing
    return AXES[max(range(3), key=lambda axis: (round(spacing[axis], 3), -axis))]


def _scanNotes(snapshot: VolumeSnapshot) -> list[str]:
    if not snapshot.hardened:
        return []
    text = _(
        "{name} is below a transform that bends: a copy with the transform applied is added. Slices are counted on "
        "the copy, so their numbers are not those of the views."
    )
    return [text.format(name=snapshot.name)]
