"""What is on screen as a case that a person may add: proposed with defaults, changed, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary
from medcontext.labels import Label, LabelSet
from MedContextSegmentLib.Learn.LabelMapping import MappingRow, mappingProblem, newLabels, valuesOf
from MedContextSegmentLib.Scene.PaintedSlices import PaintedSlices, together
from MedContextSegmentLib.Scene.SegmentNotes import SegmentFound

Region = Literal["whole", "slices", "roi", "as before"]

NEARLY_ALL = 0.9
"""Who painted in this share of the slices of a scan looked at all of it."""


@dataclass
class CaseProposal:
    """A case as it would be added; a person may change what is said about the annotation.

    Attributes:
        volumes: a volume node for each channel of the store.
        segmentation: the segmentation node.
        segments: ids of the segments to learn from, in the order of the list.
        mapping: what label each segment is.
        finished: values of the labels that are finished where ``region`` says; others are unknown in the case.
        region: where they are finished: in the whole scan, in ``slices`` along ``axis``, inside ``roi``, or where the
            case ``opened`` was finished as far as its mask says.
        axis: "k", "j" or "i" of the first volume.
        slices: indices along it, from 0.
        roi: an ROI node.
        heldOut: keep the case for scoring, for good.
        patient: whose scan it is: the same text for all scans of one person, not their name; may be empty.
        name: what the id of the case is made of.
        labels: the labels of the store; None where it is yet to be made.
        channels: name and modality of each channel, for a store that is yet to be made.
        title: of a store that is yet to be made.
        opened: the case of the store that the volume was opened from, which this one replaces; or None.
        stored: whether ``finished``, ``region``, ``axis`` and ``slices`` are those of that case, rather than guessed.
        shape: ``(K, J, I)`` of the voxels that are added: slices are counted on them.
        directions: ``(3, 3)``, columns: where their axes i, j, k point to in RAS.
        acrossSlices: the axis across the slices that the scanner made.
        found: what was found of each segment.
        paintedOf: by segment id: the slices in which it was painted.
        modelMade: ids of the segments that a model made.
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
    title: str = ""
    opened: CaseSummary | None = None
    stored: bool = False
    shape: tuple[int, ...] = ()
    directions: np.ndarray = field(default_factory=lambda: np.eye(3))
    acrossSlices: str = "k"
    found: tuple[SegmentFound, ...] = ()
    paintedOf: Mapping[str, PaintedSlices] = field(default_factory=dict)
    modelMade: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> list[Label]:
        """The labels of the store, and those that the case brings along."""
        return [*(self.labels or ()), *newLabels(self.mapping, self.labels)]

    @property
    def paintedValues(self) -> tuple[int, ...]:
        """Values of the labels of which something was painted, as the mapping is now."""
        there = {found.segmentId for found in self.found if found.voxels}
        return tuple(sorted({value for name, value in valuesOf(self.mapping).items() if name in there}))

    @property
    def painted(self) -> PaintedSlices:
        """The slices in which something of a finished label was painted."""
        return together(self.paintedOf[name] for name in self._finishedSegments())

    def sliceCount(self, axis: str) -> int:
        """How many slices the voxels have along "k", "j" or "i"."""
        return self.shape["kji".index(axis)]

    def offerPart(self) -> None:
        """Offer as finished what the segments of the finished labels say: the painted slices.

        The whole scan is offered where a model made all of them, as it looks everywhere, and where nearly every slice
        was painted.
        """
        chosen, painted = self._finishedSegments(), self.painted
        self.axis = painted.guessedAxis or self.acrossSlices
        self.slices = painted.along(self.axis)
        everywhere = len(self.slices) >= NEARLY_ALL * self.sliceCount(self.axis)
        model = set(chosen) <= self.modelMade
        self.region = "whole" if model or everywhere or not self.slices else "slices"

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

    def _finishedSegments(self) -> list[str]:
        """The segments of which something was painted and whose labels are finished."""
        values = valuesOf(self.mapping)
        there = [found.segmentId for found in self.found if found.voxels]
        return [name for name in there if values.get(name) in self.finished and name in self.paintedOf]
