"""What was odd about segments when they were read, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from slicer.i18n import tr as _

from MedContextSegmentLib.Scene.SegmentLayers import SegmentLayer

LEAST_SHARE = 0.005
"""Less than this of a segment outside of the scan is "less than 1 %"."""


@dataclass(frozen=True)
class SegmentFound:
    """What was found of a segment.

    Attributes:
        segmentId: the segment.
        name: its name.
        value: what it became in the label map.
        isEmpty: whether there is nothing of it, anywhere.
        voxels: how many it has on the scan, those that it shares with others included.
        outside: about how much of it lies outside of the scan, 0 to 1.
    """

    segmentId: str
    name: str
    value: int
    isEmpty: bool
    voxels: int
    outside: float


def segmentNotes(segments: Iterable[SegmentFound], scan: str) -> list[str]:
    """Segments that are empty, outside of the scan, or lost on its voxels."""
    notes = []
    for segment in segments:
        names = {"name": segment.name, "scan": scan}
        if segment.isEmpty:
            notes.append(_("The segment '{name}' is empty.").format(**names))
        elif segment.voxels == 0 and segment.outside > 0.5:
            notes.append(_("The segment '{name}' lies outside of {scan}.").format(**names))
        elif segment.voxels == 0:
            text = _("The segment '{name}' is too thin for the voxels of {scan}: nothing of it is left.")
            notes.append(text.format(**names))
        elif segment.outside > 0:
            share = str(round(100 * segment.outside)) if segment.outside >= LEAST_SHARE else _("less than 1")
            text = _("{percent} % of the segment '{name}' lie outside of {scan} and are left out.")
            notes.append(text.format(percent=share, **names))
    return notes


def layerNotes(
    layers: Sequence[SegmentLayer], segments: Iterable[SegmentFound], segmentation: str, scan: str
) -> list[str]:
    """Surfaces, and voxels or transforms that differ from those of the scan."""
    notes = []
    drawn = {
        segmentId for layer in layers if layer.outside is not None for segmentId, _value in layer.members
    }
    names = [segment.name for segment in segments if segment.segmentId in drawn and segment.voxels]
    if names:
        text = _("Kept as surfaces, taken as the voxels of {scan} inside: {names}.")
        notes.append(text.format(scan=scan, names=", ".join(names)))
    others = [layer for layer in layers if layer.box is not None and layer.offset is None]
    if any(layer.transform is not None for layer in others):
        text = _("The segmentation '{name}' lies below a transform that bends: it was resampled to {scan}.")
        notes.append(text.format(name=segmentation, scan=scan))
    elif others:
        text = _("The segmentation '{name}' has other voxels than {scan}: it was resampled.")
        notes.append(text.format(name=segmentation, scan=scan))
    return notes


def overlapNotes(overlaps: Mapping[tuple[int, int], int], segments: Iterable[SegmentFound]) -> list[str]:
    """Voxels that two structures have."""
    names: dict[int, list[str]] = {}
    for segment in segments:
        names.setdefault(segment.value, []).append(segment.name)
    text = _("'{winner}' and '{loser}' overlap: {voxels} voxels go to '{winner}', the smaller one.")
    return [
        text.format(winner=" + ".join(names[winner]), loser=" + ".join(names[loser]), voxels=voxels)
        for (winner, loser), voxels in overlaps.items()
    ]
