"""*Redo this region*: a part of a result is segmented again in another way, and written only there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import InputError
from medcontext.redo_forms import offered_for
from MedContextSegmentLib.Run.Models import modalityOf
from MedContextSegmentLib.Scene.Provenance import labelOf, readFromNode
from MedContextSegmentLib.Scene.Regions import maskOfRoi, maskOfSegment
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot

FINER, CONTEXT, MODEL = "finer", "context", "model"
FORMS = (FINER, CONTEXT, MODEL)

MARGIN_MM = 5.0
"""How far around a segment its region goes: a structure that was cut too small must be able to grow."""


@dataclass(frozen=True, eq=False)
class RedoRequest:
    """What to do again, and how.

    Attributes:
        form: "finer" (window centred on the region, more overlap), "context" (the image inside the region is
            hidden from the network) or "model" (another model).
        roi: the ROI node that says where; or
        segment: ``(segmentationNode, segmentId)``: where that segment is, with a margin.
        marginMm: the margin around the segment in mm.
        model: the other model of the form "model": id, ``id@version`` or folder.
    """

    form: str
    roi: Any = None
    segment: tuple[Any, str] | None = None
    marginMm: float = MARGIN_MM
    model: str = ""


def offeredForms(card: CardSummary) -> tuple[str, ...]:
    """The forms that were measured to help with models like this one."""
    return offered_for(card)


def formTitle(form: str) -> str:
    """The name of a form for people."""
    return {
        FINER: _("Finer"),
        CONTEXT: _("From context only"),
        MODEL: _("With another model"),
    }[form]


def formToolTip(form: str) -> str:
    """What a form does and is good for."""
    return {
        FINER: _("Look again with the window centered on the region and more overlap."),
        CONTEXT: _(
            "Hide the image inside the region and complete the structures from what is around it: for metal and "
            "signal voids. Where motion or noise leaves something to see, the image says more."
        ),
        MODEL: _("Let another model segment the region."),
    }[form]


def sameInput(one: CardSummary, other: CardSummary) -> bool:
    """Whether two models take the same volumes in the same order."""
    if len(one.channels) == len(other.channels) == 1:
        return len({modalityOf(one.modalities[0]), modalityOf(other.modalities[0])} - {""}) < 2
    return [name.casefold() for name in one.channels] == [name.casefold() for name in other.channels]


def makerOf(segmentationNode: Any) -> str:
    """``id@version`` of the model that made a segmentation; "" for None and for what no model made."""
    facts = readFromNode(segmentationNode) if segmentationNode is not None else {}
    modelId = facts.get("Model", "").rpartition("@")[0]
    return f"{modelId}@{facts.get('ModelVersion', '')}" if modelId else ""


def labelsToRedo(segmentationNode: Any, card: CardSummary, made: bool) -> tuple[int, ...]:
    """The labels that a segmentation has: those that were not wanted, or removed, do not come back in a region.

    Args:
        segmentationNode: what models made.
        card: the model that does the region again.
        made: whether that model made the segmentation; labels of another one are found by their names.

    Returns:
        Values of the labels of ``card``.
    """
    segmentation, key = segmentationNode.GetSegmentation(), readFromNode(segmentationNode).get("Model", "")
    segments = [segmentation.GetNthSegment(number) for number in range(segmentation.GetNumberOfSegments())]
    segments = [segment for segment in segments if labelOf(segment) is not None]
    names = {segment.GetName().casefold() for segment in segments}
    values = {labelOf(segment, key) for segment in segments} if made else set()
    return tuple(
        value
        for value, name in zip(card.label_values, card.labels, strict=True)
        if value in values or name.casefold() in names
    )


def redoModel(redo: RedoRequest, model: str) -> str:
    """The model that does it.

    Args:
        redo: the request.
        model: the model that made the result.

    Raises:
        InputError: the form is unknown, or the other model is not named.
    """
    if redo.form not in FORMS:
        raise InputError(
            _("There is no form '{form}' of doing a region again.").format(form=redo.form),
            _("Allowed: {forms}.").format(forms=", ".join(FORMS)),
        )
    if redo.form != MODEL:
        return model
    if not redo.model:
        raise InputError(_("The other model is not chosen."), _("Choose one."))
    return redo.model


def regionOf(redo: RedoRequest, snapshot: VolumeSnapshot) -> np.ndarray:
    """The voxels to do again, bool ``(K, J, I)``.

    Raises:
        InputError: neither ROI nor segment is given, it was deleted, or it holds no voxel of the volume.
    """
    if redo.roi is not None:
        return maskOfRoi(redo.roi, snapshot)
    if redo.segment is not None:
        return maskOfSegment(*redo.segment, snapshot, redo.marginMm)
    raise InputError(_("No region is chosen."), _("Choose an ROI or select a segment."))
