"""Which label of a case store each segment is: found where that is certain, asked where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.label_matching import LabelMatch, match_labels, plain_name
from medcontext.labels import IGNORE, Label, LabelSet, Terminology
from MedContextSegmentLib.Scene.Terminology import segmentTerminology

How = Literal["terminology", "name", "chosen", "new", "left out", "ambiguous", "none"]


@dataclass
class MappingRow:
    """A segment and the label that it becomes.

    Attributes:
        segmentId: the segment.
        source: its name, colour and codes; the value says nothing.
        target: the label; None where nobody knows yet, or where the segment is left out.
        how: "terminology" or "name" (the store has such a label), "chosen" (a person said so), "new" (declared with
            this case), "left out", "ambiguous" (several are possible) or "none" (nothing like it is there).
        candidates: labels of the store that are possible, those that a person would choose first.
    """

    segmentId: str
    source: Label
    target: Label | None
    how: How
    candidates: tuple[Label, ...] = ()

    @property
    def name(self) -> str:
        """Name of the segment."""
        return self.source.name

    @property
    def needsAnswer(self) -> bool:
        """Whether a person has to say what it is."""
        return self.target is None and self.how != "left out"


def segmentLabel(segmentationNode: Any, segmentId: str) -> Label:
    """Name, colour and codes of a segment as a label of value 1.

    Raises:
        InputError: the segment is gone.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        raise InputError(_("A chosen segment is gone."), _("Choose the segments again."))
    codes = segmentTerminology(segment)
    red, green, blue = (min(255, max(0, round(255 * part))) for part in segment.GetColor())
    name = " ".join((segment.GetName() or "").split()) or segmentId
    return Label(1, name, (red, green, blue), Terminology.from_json(codes) if codes else None)


def mapSegments(
    segmentationNode: Any, segmentIds: Iterable[str], labels: LabelSet | None
) -> list[MappingRow]:
    """The rows for segments.

    In a store without labels each segment becomes a new one, save those that two segments seem to mean.

    Args:
        segmentationNode: a ``vtkMRMLSegmentationNode``.
        segmentIds: of the segments.
        labels: of the store; None for a store that is yet to be made.

    Raises:
        InputError: a segment is gone.
    """
    ids = list(segmentIds)
    sources = [segmentLabel(segmentationNode, segmentId) for segmentId in ids]
    known = tuple(labels or ())
    rows = [
        _row(segmentId, match) for segmentId, match in zip(ids, match_labels(sources, known), strict=True)
    ]
    if not known:
        for row, alike in zip(rows, _alike(sources), strict=True):
            if not alike:
                makeNew(rows, row, LabelSet())
    return rows


def _row(segmentId: str, match: LabelMatch) -> MappingRow:
    return MappingRow(segmentId, match.source, match.target, match.how, match.candidates)


def _alike(sources: Sequence[Label]) -> list[bool]:
    """Which segments seem to mean the same as another one."""
    return [
        any(
            match_labels([source], [other])[0].how != "none"
            for place, other in enumerate(sources)
            if place != own
        )
        for own, source in enumerate(sources)
    ]


def choose(row: MappingRow, label: Label) -> None:
    """A person says which label a segment is; two segments with one label are merged."""
    row.target, row.how = label, "chosen"


def leaveOut(row: MappingRow) -> None:
    """A person says that a segment is not to be learnt from."""
    row.target, row.how = None, "left out"


def makeNew(rows: Sequence[MappingRow], row: MappingRow, labels: LabelSet | None, name: str = "") -> Label:
    """A segment becomes a label that the store does not have, with the lowest free value.

    Args:
        rows: all rows.
        row: that of the segment.
        labels: of the store; None where it is yet to be made.
        name: of the label; that of the segment, with a number behind it where that is taken, when empty.

    Raises:
        InputError: the name is taken, or all values are.
    """
    others = [*(labels or ()), *(other.target for other in rows if other is not row and other.target)]
    taken = {plain_name(label.name) for label in others}
    values = {label.value for label in others}
    free = next((value for value in range(1, IGNORE) if value not in values), None)
    if free is None:
        raise InputError(
            _("The case store has {count} labels; no more fit into a label map.").format(count=IGNORE - 1),
            _("Choose one of its labels, or another case store."),
        )
    wanted = " ".join(name.split())
    if wanted and plain_name(wanted) in taken:
        raise InputError(
            _("There is a label '{name}' already.").format(name=wanted), _("Choose it, or another name.")
        )
    label = Label(free, wanted or _freeName(row.name, taken), row.source.color, row.source.terminology)
    row.target, row.how = label, "new"
    return label


def _freeName(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while plain_name(unique) in taken:
        number += 1
        unique = f"{name} ({number})"
    return unique


def mappingProblem(rows: Sequence[MappingRow]) -> str:
    """What a person still has to say, in one sentence; "" where all is clear."""
    open_ = [row.name for row in rows if row.needsAnswer]
    if open_:
        return _("Say which label these segments are: {names}.").format(names=", ".join(open_))
    if not any(row.target for row in rows):
        return _("No segment is chosen to learn from.")
    return ""


def newLabels(rows: Sequence[MappingRow], labels: LabelSet | None) -> list[Label]:
    """The labels that the store does not have yet, by value; one that several segments become counts once."""
    known = set(labels.values) if labels else set()
    found = {row.target.value: row.target for row in rows if row.target and row.target.value not in known}
    return [found[value] for value in sorted(found)]


def valuesOf(rows: Sequence[MappingRow]) -> dict[str, int]:
    """The value of each segment that is learnt from."""
    return {row.segmentId: row.target.value for row in rows if row.target is not None}


def mergedText(rows: Sequence[MappingRow]) -> list[str]:
    """One sentence for each label that several segments become."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.target is not None:
            names.setdefault(row.target.name, []).append(f"'{row.name}'")
    text = _("{segments} are merged into the label '{label}'.")
    return [
        text.format(segments=" + ".join(segments), label=label)
        for label, segments in names.items()
        if len(segments) > 1
    ]
