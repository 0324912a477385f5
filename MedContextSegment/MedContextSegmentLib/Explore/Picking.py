"""A proposed region becomes a segment, or a part of one, as a stroke of the segment editor would."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Explore.ProposedRegions import ProposedRegions
from MedContextSegmentLib.Scene.EditableArea import (
    Editing,
    editingOf,
    isCompleted,
    losers,
    protections,
    segmentIdsOf,
)
from MedContextSegmentLib.Scene.OrientedImage import (
    boundsOf,
    orientedImage,
    shifted,
    slices,
    starts,
    valuesOn,
)
from MedContextSegmentLib.Scene.Provenance import tagOf
from MedContextSegmentLib.Scene.SegmentationTarget import Target, modifying, newSegmentation, targetOf

REGION = "MedContext.Region"
"""Tag of a segment that was made of a region: which regions these were, and its number among them."""


@dataclass(frozen=True)
class Picked:
    """What came of a pick.

    Attributes:
        segmentation: the node that was written into.
        segmentId: the segment.
        name: its name.
        voxels: how many voxels were given to it.
    """

    segmentation: Any
    segmentId: str
    name: str
    voxels: int


def segmentOf(proposed: ProposedRegions, number: int, segmentation: Any) -> str:
    """The name of the segment that was made of a region and is still there; "" where there is none."""
    for segmentId in segmentIdsOf(segmentation) if segmentation is not None else ():
        segment = segmentation.GetSegmentation().GetSegment(segmentId)
        if tagOf(segment, REGION) == _tag(proposed, number):
            return str(segment.GetName())
    return ""


def pick(
    proposed: ProposedRegions,
    number: int,
    segmentation: Any = None,
    segmentId: str = "",
    *,
    fillHoles: bool = False,
    editorNode: Any = None,
    saveStateForUndo: Callable[[], None] | None = None,
) -> Picked:
    """Turn a region into a new segment, or add it to one.

    Masking, overwriting and completed segments count as they do for a result of a model.

    Args:
        proposed: the regions.
        number: which one.
        segmentation: where to write; a new segmentation beside the volume when None.
        segmentId: the segment that the region is added to; a new segment when "".
        fillHoles: whether what the region encloses comes with it.
        editorNode: the segment editor's parameter node; None without an editor.
        saveStateForUndo: called before an existing segmentation is changed.

    Raises:
        InputError: the segmentation takes no label maps, the segment is gone or completed, or nothing may be changed
            where the region lies. Nothing was changed then.
    """
    scan = proposed.proposal.scan
    existing = segmentation is not None
    _check(segmentation, segmentId)
    if not existing:
        segmentation = newSegmentation(scan, _("{volume} segmentation").format(volume=scan.name))
    target = targetOf(segmentation, scan)
    voxels, box = _onGrid(proposed.mask(number, fillHoles), proposed.proposal.box, target)
    editing = editingOf(editorNode, segmentation)
    _protect(voxels, box, segmentation, segmentId, editing, target)
    bounds = boundsOf(voxels)
    if bounds is None:
        text = _("Nothing of region {number} lies where the segment editor may change something.")
        raise InputError(text.format(number=number), _("Look at its masking and at completed segments."))
    if existing and saveStateForUndo is not None:
        saveStateForUndo()
    place = starts(shifted(bounds, starts(box)))
    modifier = orientedImage(voxels[slices(bounds)].astype(np.uint8), target.ijkToRas, place)
    with modifying(segmentation):
        segmentId = segmentId or _addSegment(proposed, number, segmentation)
        _modify(segmentation, segmentId, modifier, editing)
    name = segmentation.GetSegmentation().GetSegment(segmentId).GetName()
    return Picked(segmentation, segmentId, name, int(np.count_nonzero(voxels)))


def _check(segmentation: Any, segmentId: str) -> None:
    if segmentation is None or not segmentId:
        return
    segment = segmentation.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        raise InputError(_("The segment to add to is gone."), _("Choose another one."))
    if isCompleted(segment):
        text = _("The segment '{name}' is marked as completed.")
        raise InputError(text.format(name=segment.GetName()), _("Choose another one, or change its status."))


def _onGrid(mask: np.ndarray, box: Box, target: Target) -> tuple[np.ndarray, Box]:
    """The mask on the grid of a segmentation, and where it lies there."""
    if target.offset is not None:
        return mask, shifted(box, target.offset)
    image = orientedImage(mask.astype(np.uint8), target.scan.ijkToRas, starts(box))
    around = target.boxAround(box)
    return valuesOn(image, target.ijkToRas, around, target.transform) != 0, around


def _protect(
    voxels: np.ndarray, box: Box, segmentation: Any, segmentId: str, editing: Editing, target: Target
) -> None:
    """Leave out what must not change."""
    targets = {segmentId} if segmentId else set()
    parts = segmentation.GetSegmentation()
    losing = losers(segmentation, editing, targets)
    kept = {name for name in losing if isCompleted(parts.GetSegment(name))}
    for protected in protections(segmentation, editing, targets, kept, target, box):
        voxels &= ~protected


def _addSegment(proposed: ProposedRegions, number: int, segmentation: Any) -> str:
    parts = segmentation.GetSegmentation()
    taken = {parts.GetSegment(name).GetName() for name in segmentIdsOf(segmentation)}
    name = first = _("Region {number}").format(number=number)
    for count in itertools.count(2):
        if name not in taken:
            break
        name = f"{first} ({count})"
    segmentId = parts.AddEmptySegment(parts.GenerateUniqueSegmentID(""), name, list(proposed.color(number)))
    segment = parts.GetSegment(segmentId)
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.SetTag(REGION, _tag(proposed, number))
    return str(segmentId)


def _modify(segmentation: Any, segmentId: str, modifier: Any, editing: Editing) -> None:
    """Add voxels by Slicer's editor logic, with settings of its own that are not in the scene."""
    settings, logic = slicer.vtkMRMLSegmentEditorNode(), slicer.vtkSlicerSegmentEditorLogic()
    logic.SetSegmentEditorNode(settings)
    settings.SetOverwriteMode(editing.overwriteMode)
    logic.ModifySegmentByLabelmap(segmentation, segmentId, modifier, logic.ModificationModeAdd, False, False)
    logic.SetSegmentEditorNode(None)


def _tag(proposed: ProposedRegions, number: int) -> str:
    return f"{proposed.key}/{number}"
