"""What is on screen as a case that a person may add: proposed with defaults, changed, checked."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from medcontext.errors import InputError
from medcontext.labels import IGNORE, Label, LabelSet
from MedContextSegmentLib.Learn.CaseFacts import channelsFor
from MedContextSegmentLib.Learn.LabelMapping import (
    MappingRow,
    mappingProblem,
    mapSegments,
    newLabels,
    valuesOf,
)
from MedContextSegmentLib.Learn.OpenCase import openedFrom
from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf
from MedContextSegmentLib.Scene.PaintedSlices import AXES, PaintedSlices
from MedContextSegmentLib.Scene.ScanFiles import patientGroup
from MedContextSegmentLib.Scene.SegmentNotes import SegmentFound
from MedContextSegmentLib.Scene.SegmentReading import SegmentReading, readingSteps
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot, readVolume, volumeProblem

Region = Literal["whole", "slices", "roi"]


@dataclass
class CaseProposal:
    """A case as it would be added; a person may change what is said about the annotation.

    Attributes:
        volumes: a volume node for each channel of the store.
        segmentation: the segmentation node.
        segments: ids of the segments to learn from, in the order of the list.
        mapping: what label each segment is.
        finished: values of the labels that are finished where ``region`` says; others are unknown in the case.
        region: where they are finished: in the whole scan, in ``slices`` along ``axis``, or inside ``roi``.
        axis: "k", "j" or "i" of the first volume.
        slices: indices along it, from 0.
        roi: an ROI node.
        heldOut: keep the case for scoring, for good.
        patient: whose scan it is: the same text for all scans of one person, not their name; may be empty.
        name: what the id of the case is made of.
        labels: the labels of the store; None where it is yet to be made.
        channels: name and modality of each channel, for a store that is yet to be made.
        painted: the slices in which something was painted.
        found: what was found of each segment.
        notes: sentences on what is odd.
    """

    volumes: tuple[Any, ...]
    segmentation: Any
    segments: tuple[str, ...]
    mapping: list[MappingRow]
    finished: tuple[int, ...]
    region: Region
    axis: str
    slices: tuple[int, ...]
    roi: Any = None
    heldOut: bool = False
    patient: str = ""
    name: str = ""
    labels: LabelSet | None = None
    channels: tuple[tuple[str, str], ...] = ()
    painted: PaintedSlices = PaintedSlices((), (), ())  # noqa: RUF009  it cannot change
    found: tuple[SegmentFound, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> list[Label]:
        """The labels of the store, and those that the case brings along."""
        return [*(self.labels or ()), *newLabels(self.mapping, self.labels)]

    @property
    def paintedValues(self) -> tuple[int, ...]:
        """Values of the labels of which something was painted, as the mapping is now: the default of ``finished``."""
        there = {found.segmentId for found in self.found if found.voxels}
        return tuple(sorted({value for name, value in valuesOf(self.mapping).items() if name in there}))

    @property
    def problem(self) -> str:
        """What is missing before the case can be added, in one sentence; "" where nothing is."""
        text = mappingProblem(self.mapping)
        values = {label.value for label in self.known}
        if not text and not set(self.finished) & values:
            text = _("Say which labels are finished.")
        if not text and self.region == "slices" and not self.slices:
            text = _("Say which slices are finished.")
        if not text and self.region == "roi" and self.roi is None:
            text = _("Choose the ROI in which the labels are finished.")
        return text


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
    """Look at what is on screen and propose a case, in small steps; nothing changes.

    Painted slices are proposed as the finished part where people painted slice by slice, else the whole scan; every
    label of which something was painted is proposed as finished.

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
    snapshot = readVolume(volumes[0])
    yield 0.02
    reading = yield from readingSteps(segmentation, _numbered(ids), snapshot)
    if segments is None:
        ids = [found.segmentId for found in reading.segments if not found.isEmpty]
        if not ids:
            raise InputError(_("All segments are empty."), _("Paint a structure first."))
    proposal = _proposal(volumes, segmentation, store, ids, snapshot, reading)
    case = openedFrom(store, volumes[0]) if store is not None else None
    return proposal if case is None else _asInStore(proposal, case)


def _proposal(
    volumes: Sequence[Any],
    segmentation: Any,
    store: StoreSummary | None,
    ids: Sequence[str],
    snapshot: VolumeSnapshot,
    reading: SegmentReading,
) -> CaseProposal:
    labels = store.labels if store is not None else None
    painted = reading.painted.guessedAxis
    axis = painted or _thickestAxis(snapshot)
    proposal = CaseProposal(
        volumes=tuple(volumes),
        segmentation=segmentation,
        segments=tuple(ids),
        mapping=mapSegments(segmentation, ids, labels),
        finished=(),
        region="slices" if painted else "whole",
        axis=axis,
        slices=reading.painted.along(axis),
        patient=patientGroup(volumes[0]),
        name=volumes[0].GetName() or "",
        labels=labels,
        channels=store.channels if store is not None else channelsFor(volumes),
        painted=reading.painted,
        found=reading.segments,
        notes=(*_scanNotes(snapshot), *reading.notes),
    )
    return replace(proposal, finished=proposal.paintedValues)


def _asInStore(proposal: CaseProposal, case: CaseSummary) -> CaseProposal:
    """The proposal for a case that was opened from the store: what was finished there is so again."""
    found = replace(
        proposal, name=case.id, patient=case.group or proposal.patient, heldOut=case.kind == "held_out"
    )
    if case.label is None:
        return found
    known = {label.value for label in proposal.known}
    labels = known if case.labels is None else set(case.labels) & known
    found = replace(found, finished=tuple(sorted(labels | set(proposal.finished))))
    if case.region == "whole":
        return replace(found, region="whole")
    if case.region == "slices":
        slices = set(case.slices) | set(proposal.painted.along(case.axis))
        return replace(found, region="slices", axis=case.axis, slices=tuple(sorted(slices)))
    text = _("'{case}' was finished inside a box: say again where.")
    return replace(found, notes=(*found.notes, text.format(case=case.id)))


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


def _numbered(ids: Iterable[str]) -> dict[str, int]:
    return {segmentId: value for value, segmentId in enumerate(ids, start=1)}


def _thickestAxis(snapshot: VolumeSnapshot) -> str:
    """The axis across the slices that the scanner made."""
    spacing = snapshot.geometry.spacing
    return AXES[max(range(3), key=lambda axis: (round(spacing[axis], 3), -axis))]


def _scanNotes(snapshot: VolumeSnapshot) -> list[str]:
    if not snapshot.hardened:
        return []
    text = _("{name} is below a transform that bends: a copy with the transform applied is added.")
    return [text.format(name=snapshot.name)]
