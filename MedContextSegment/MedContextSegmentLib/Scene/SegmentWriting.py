"""The two ways of writing a result: one new layer at once, or segment by segment with what must not change kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene import Provenance
from MedContextSegmentLib.Scene.EditableArea import Editing, protections, segmentIdsOf
from MedContextSegmentLib.Scene.OrientedImage import (
    among,
    boundsOf,
    boxIsEmpty,
    boxOn,
    boxShape,
    cropped,
    emptyImage,
    imageArray,
    imageBox,
    intersection,
    newImage,
    orientedImage,
    shifted,
    slabs,
    slices,
    starts,
    union,
    valuesOn,
)
from MedContextSegmentLib.Scene.Placement import Piece, Placement
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP, SURFACE, Target, modifying
from MedContextSegmentLib.Scene.Terminology import setTerminology
from MedContextSegmentLib.Worker.Results import SegmentLabel


@dataclass(eq=False)
class Plan:
    """What goes where.

    Attributes:
        segmentationNode: where the result goes.
        target: its grid.
        editing: the settings of the Segment Editor.
        placement: the result on that grid.
        pieces: the labels to write.
        segmentIds: the segment of each label value; new segments are added as they are made.
        overwrites: whether segments of others lose the voxels that the result takes.
        kept: segments that lose none and share none with the result.
        provenance: what made the result.
        prefix: of the names under which segments that are written again keep it.
        protectedVoxels: how many voxels of the result were left out.
    """

    segmentationNode: Any
    target: Target
    editing: Editing
    placement: Placement
    pieces: list[Piece]
    segmentIds: dict[int, str]
    overwrites: bool
    kept: set[str]
    provenance: dict[str, str]
    prefix: str
    protectedVoxels: int = 0

    @property
    def segmentation(self) -> Any:
        """The ``vtkSegmentation``.

        Raises:
            InputError: the node was deleted meanwhile.
        """
        if self.segmentationNode.GetScene() is None:
            raise InputError(
                _("The segmentation was deleted while the result was being written."), _("Segment again.")
            )
        return self.segmentationNode.GetSegmentation()


def writeLayer(plan: Plan) -> Iterator[float]:
    """All labels as one label map that the segments share: no copy for each, no time for each."""
    box, grid = union(piece.box for piece in plan.pieces if piece.box), plan.target.ijkToRas
    image = newImage(box, grid) if box is not None else emptyImage(grid)
    for share in _fill(plan, image):
        yield 0.3 * share
    targets = set(plan.segmentIds.values())
    for count, piece in enumerate(plan.pieces, start=1):
        segmentId = plan.segmentIds.get(piece.label.value, "")
        if segmentId and plan.segmentation.GetSegment(segmentId) is not None:
            _replace(plan, piece.label, segmentId, targets, image)
        else:
            _addSegment(plan, piece.label, image)
        yield 0.3 + 0.7 * count / len(plan.pieces)


def _fill(plan: Plan, image: Any) -> Iterator[float]:
    """Put all labels into the ``vtkOrientedImageData``; yields the share that is done."""
    box, place, array = imageBox(image), starts(plan.placement.box), imageArray(image)
    origin, found = starts(box), 0
    for part in slabs(box):
        filled = array[slices(part, origin)]
        filled[:] = plan.placement.values[slices(part, place)]
        found += int(np.count_nonzero(filled))
        yield 0.5 * (part[0][1] - origin[0]) / len(array)
    if found != sum(piece.label.voxels for piece in plan.pieces):
        # A value without a segment would show up in the next segment that Slicer gives this value.
        for part in slabs(box):
            filled = array[slices(part, origin)]
            filled *= among(filled, [piece.label.value for piece in plan.pieces])
            yield 0.5 + 0.5 * (part[0][1] - origin[0]) / len(array)


def _replace(plan: Plan, label: SegmentLabel, segmentId: str, targets: set[str], image: Any) -> None:
    """Let a segment show its label of a new image; its surface, if shown, follows."""
    segmentation = plan.segmentation
    with modifying(plan.segmentationNode):
        _leaveLayer(plan, segmentId, targets)
        segment, surface = segmentation.GetSegment(segmentId), segmentation.ContainsRepresentation(SURFACE)
        segment.AddRepresentation(LABELMAP, image)
        segment.SetLabelValue(label.value)
        Provenance.writeToSegment(segment, plan.provenance)
        if surface:
            segment.RemoveRepresentation(SURFACE)
            segmentation.CreateRepresentation(SURFACE)


def writeProtected(plan: Plan) -> Iterator[float]:
    """Segment by segment through Slicer's editor logic: first what goes, then what comes.

    The mask is made here once for all segments, and the logic gets what is left within the smallest box: its own
    masking works on the whole scan for each segment, and knows of no completed segments.
    """
    for count, piece in enumerate(plan.pieces, start=1):
        if piece.label.value not in plan.segmentIds:
            _addSegment(plan, piece.label, None)
        yield 0.1 * count / len(plan.pieces)
    box = _workBox(plan)
    if box is None:
        return
    new, editable = np.zeros(boxShape(box), np.uint8), np.ones(boxShape(box), bool)
    for part in slabs(box):
        place = slices(part, starts(box))
        for _step in _protect(plan, part, new[place], editable[place]):
            yield 0.1 + 0.2 * (part[0][0] - box[0][0]) / len(new)
    editor = _Editor(plan)
    try:
        for count, piece in enumerate(plan.pieces):
            for _step in editor.remove(piece, new, editable, box):
                yield 0.3 + 0.3 * count / len(plan.pieces)
        for count, piece in enumerate(plan.pieces, start=1):
            editor.add(piece, new, box)
            yield 0.6 + 0.4 * count / len(plan.pieces)
    finally:
        editor.close()


def _protect(plan: Plan, box: Box, new: np.ndarray, editable: np.ndarray) -> Iterator[None]:
    """Fill a part of what is to be written, ``new``, and of where anything may change, ``editable``."""
    placement, targets = plan.placement, set(plan.segmentIds.values())
    new[:] = cropped(placement.values, placement.box, box)
    new *= among(new, [piece.label.value for piece in plan.pieces])
    if placement.regionBox is not None:
        editable[:] = cropped(placement.region, placement.regionBox, box)
        new[~editable] = 0
    before = np.count_nonzero(new)
    yield
    for protected in protections(plan.segmentationNode, plan.editing, targets, plan.kept, plan.target, box):
        editable &= ~protected
        yield
    new[~editable] = 0
    plan.protectedVoxels += int(before - np.count_nonzero(new))


class _Editor:
    """Slicer's editor logic, there since Slicer 5.10, with settings of its own that are not in the scene."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._settings = slicer.vtkMRMLSegmentEditorNode()
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetSegmentEditorNode(self._settings)

    def close(self) -> None:
        self._logic.SetSegmentEditorNode(None)

    def remove(self, piece: Piece, new: np.ndarray, editable: np.ndarray, box: Box) -> Iterator[None]:
        """Take out of a segment what may be changed and is not in the result."""
        segmentId = self._plan.segmentIds.get(piece.label.value, "")
        segment = self._plan.segmentation.GetSegment(segmentId) if segmentId else None
        if segment is None:
            return
        image, grid = segment.GetRepresentation(LABELMAP), self._plan.target.ijkToRas
        part = intersection(boxOn(image, grid), box)
        if boxIsEmpty(part):
            return
        gone = np.zeros(boxShape(part), bool)
        for slab in slabs(part):
            place = slices(slab, starts(box))
            old = valuesOn(image, grid, slab) == segment.GetLabelValue()
            gone[slices(slab, starts(part))] = old & editable[place] & (new[place] != piece.label.value)
            yield
        if self._plan.segmentation.GetSegment(segmentId) is None:
            return
        # With any other mode Slicer would first give the segment a label map of its own, for nothing.
        self._settings.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)
        self._modify(segmentId, gone, part, slicer.vtkSlicerSegmentEditorLogic.ModificationModeRemove)
        yield

    def add(self, piece: Piece, new: np.ndarray, box: Box) -> None:
        """Put into a segment what the result has, taken from others as the overwrite mode says."""
        segmentId = self._plan.segmentIds.get(piece.label.value, "")
        segment = self._plan.segmentation.GetSegment(segmentId) if segmentId else None
        if segment is None:  # the person removed it meanwhile
            segmentId = _addSegment(self._plan, piece.label, None)
        else:
            Provenance.writeToSegment(segment, self._plan.provenance, self._plan.prefix)
        part = intersection(piece.box, box) if piece.box else None
        if part is not None and not boxIsEmpty(part):
            come = new[slices(part, starts(box))] == piece.label.value
            self._settings.SetOverwriteMode(self._plan.editing.overwriteMode)
            self._modify(segmentId, come, part, slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd)

    def _modify(self, segmentId: str, mask: np.ndarray, box: Box, mode: int) -> None:
        bounds = boundsOf(mask)
        if bounds is None:
            return
        voxels = mask[slices(bounds)].astype(np.uint8)
        modifier = orientedImage(voxels, self._plan.target.ijkToRas, starts(shifted(bounds, starts(box))))
        with modifying(self._plan.segmentationNode):
            self._logic.ModifySegmentByLabelmap(
                self._plan.segmentationNode, segmentId, modifier, mode, False, False
            )


def _workBox(plan: Plan) -> Box | None:
    """Where something may change: the old and the new voxels, within the region."""
    boxes = [piece.box for piece in plan.pieces if piece.box]
    for segmentId in plan.segmentIds.values():
        segment = plan.segmentation.GetSegment(segmentId)
        if segment is not None:  # the person did not remove it meanwhile
            boxes.append(boxOn(segment.GetRepresentation(LABELMAP), plan.target.ijkToRas))
    box = union(boxes)
    if box is not None and plan.placement.regionBox is not None:
        box = intersection(box, plan.placement.regionBox)
    return None if boxIsEmpty(box) else box


def _addSegment(plan: Plan, label: SegmentLabel, image: Any) -> str:
    """A new segment that shows a label of a shared image, or nothing yet; returns its id."""
    segmentation = plan.segmentation
    segmentId = segmentation.GenerateUniqueSegmentID("")
    name, color = _uniqueName(plan, label.name), [part / 255 for part in label.color]
    with modifying(plan.segmentationNode):
        if image is None:
            segmentId = segmentation.AddEmptySegment(segmentId, name, color)
            segment = segmentation.GetSegment(segmentId)
        else:
            segment = slicer.vtkSegment()
            segment.SetLabelValue(label.value)
            segment.AddRepresentation(LABELMAP, image)
        segment.SetName(name)
        segment.SetColor(*color)
        segment.SetNameAutoGenerated(False)
        segment.SetColorAutoGenerated(False)
        setTerminology(segment, label.terminology)
        segment.SetTag(Provenance.LABEL, str(label.value))
        Provenance.writeToSegment(segment, plan.provenance)
        if image is not None:
            segmentation.AddSegment(segment, segmentId)
    plan.segmentIds[label.value] = segmentId
    return str(segmentId)


def _uniqueName(plan: Plan, name: str) -> str:
    ids = segmentIdsOf(plan.segmentationNode)
    taken = {(plan.segmentation.GetSegment(segmentId).GetName() or "").casefold() for segmentId in ids}
    unique, number = name, 1
    while unique.casefold() in taken:
        number += 1
        unique = f"{name} ({number})"
    return unique


def _leaveLayer(plan: Plan, segmentId: str, targets: set[str]) -> None:
    """Erase a segment from a label map that it shares with segments that stay there."""
    segment = plan.segmentation.GetSegment(segmentId)
    image = segment.GetRepresentation(LABELMAP)
    for other in segmentIdsOf(plan.segmentationNode):
        if other not in targets and plan.segmentation.GetSegment(other).GetRepresentation(LABELMAP) is image:
            array = imageArray(image)
            array[array == segment.GetLabelValue()] = 0
            image.GetPointData().GetScalars().Modified()
            return
