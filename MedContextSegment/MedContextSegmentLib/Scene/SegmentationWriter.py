"""A result into a segmentation: named, colored and coded segments, undoable, and nothing changed that is protected.

Which segments a result goes to:

* A segment that the same model (same weights) made for the same label is written again in place: its id, name,
  color, codes and visibility stay, also where the person changed them. Of several, such as copies, the first.
* All other labels get new segments, empty ones too, so that the list shows what the model looked for.
* A redone region (``region``) goes into what any model made under that name, so that another model can mend it;
  new segments are only made for what is found there.
* A segment that is marked as completed is never changed; a result for it goes nowhere, and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Scene import Provenance
from MedContextSegmentLib.Scene.EditableArea import editingOf, isCompleted, losers, segmentIdsOf
from MedContextSegmentLib.Scene.Placement import Placement
from MedContextSegmentLib.Scene.SegmentationTarget import Target, newSegmentation, targetOf
from MedContextSegmentLib.Scene.SegmentWriting import Plan, writeLayer, writeProtected
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot
from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel

__all__ = ["SegmentationWriter", "newSegmentation"]


class SegmentationWriter:
    """Writes results into segmentations.

    Args:
        editorNode: ``vtkMRMLSegmentEditorNode`` whose editable area and overwrite mode apply if it edits the
            segmentation that is written; without one all may be written, and segments of others keep their voxels.
        saveStateForUndo: called once before the first change, such as that of the embedded editor.
        settings: what the person chose, for the provenance.
        overwrites: whether the editor's overwrite mode applies; if not, segments of others keep their voxels.

    Attributes:
        segmentIds: the segments that hold the result, in the order of the labels.
        protectedVoxels: how many voxels of the result were left out because they are protected.
        exact: whether the segments hold the result voxel by voxel.
        notes: sentences for the person.
    """

    def __init__(
        self,
        editorNode: Any = None,
        saveStateForUndo: Callable[[], Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        overwrites: bool = True,
    ) -> None:
        self._editorNode, self._overwrites = editorNode, overwrites
        self._saveStateForUndo = saveStateForUndo
        self._settings = dict(settings or {})
        self.segmentIds: tuple[str, ...] = ()
        self.protectedVoxels = 0
        self.exact = False
        self.notes: tuple[str, ...] = ()

    def write(self, *arguments: Any, **options: Any) -> tuple[str, ...]:
        """All of :meth:`steps` at once; returns the segment ids."""
        for _share in self.steps(*arguments, **options):
            pass
        return self.segmentIds

    def steps(
        self,
        result: SegmentationResult,
        snapshot: VolumeSnapshot,
        segmentationNode: Any,
        *,
        region: np.ndarray | None = None,
    ) -> Iterator[float]:
        """Write a result; the segmentation is valid between the steps.

        Args:
            result: on the grid of the scan.
            snapshot: the scan.
            segmentationNode: a ``vtkMRMLSegmentationNode`` of the scene.
            region: bool ``(K, J, I)`` on the grid of the scan; nothing outside it changes.

        Yields:
            The share that is done, growing to 1.

        Raises:
            InputError: the result does not fit the scan, the segmentation holds surfaces, or it was deleted.
        """
        self.segmentIds, self.protectedVoxels, self.notes = (), 0, ()
        self._check(result, snapshot, segmentationNode, region)
        target = targetOf(segmentationNode, snapshot)
        placement = Placement(result, target, region)
        for count, _done in enumerate(placement.steps(), start=1):
            yield 0.1 * (1 - 1 / (1 + count))
        plan = self._plan(result, segmentationNode, target, placement)
        simple = region is None and not plan.kept and not plan.overwrites and plan.editing.everywhere
        if self._saveStateForUndo is not None:
            self._saveStateForUndo()
        for share in writeLayer(plan) if simple else writeProtected(plan):
            yield 0.1 + 0.89 * share
        self.exact = simple and target.offset is not None
        self._finish(result, plan, region is not None)
        yield 1.0

    @staticmethod
    def _check(
        result: SegmentationResult, snapshot: VolumeSnapshot, segmentationNode: Any, region: np.ndarray | None
    ) -> None:
        shape = snapshot.array.shape
        if result.labelmap.shape != shape or (region is not None and region.shape != shape):
            raise InputError(
                _("The result has {given} voxels, the scan {name} has {wanted}.").format(
                    given=result.labelmap.shape, name=snapshot.name, wanted=shape
                )
            )
        if segmentationNode is None or segmentationNode.GetScene() is None:
            raise InputError(_("The segmentation was deleted."), _("Choose another one and segment again."))

    def _plan(
        self,
        result: SegmentationResult,
        segmentationNode: Any,
        target: Target,
        placement: Placement,
    ) -> Plan:
        """Which segment each label goes to, and who loses or keeps voxels."""
        segmentation = segmentationNode.GetSegmentation()
        key, redo, pieces = (
            Provenance.modelKey(result.model),
            placement.regionBox is not None,
            placement.pieces,
        )
        found = {piece.label.value: _ownSegment(segmentationNode, piece.label, key, redo) for piece in pieces}
        everyId = segmentIdsOf(segmentationNode)
        completed = {segmentId for segmentId in everyId if isCompleted(segmentation.GetSegment(segmentId))}
        settled = {segmentId for segmentId in found.values() if segmentId in completed}
        self._note(
            _("{names}: marked as completed and left as it was."),
            [segmentation.GetSegment(segmentId).GetName() for segmentId in settled],
        )
        targets = {segmentId for segmentId in found.values() if segmentId and segmentId not in settled}
        editing = editingOf(self._editorNode, segmentationNode)
        if not self._overwrites:
            editing = replace(editing, overwriteMode=slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        losing = set(losers(segmentationNode, editing, targets))
        writable = [piece for piece in pieces if found[piece.label.value] not in settled]
        return Plan(
            segmentationNode=segmentationNode,
            target=target,
            editing=editing,
            placement=placement,
            pieces=[piece for piece in writable if piece.box or found[piece.label.value] or not redo],
            segmentIds={value: segmentId for value, segmentId in found.items() if segmentId in targets},
            overwrites=bool(losing),
            kept=(losing & completed) | settled,
            provenance=Provenance.provenanceOf(result, self._settings),
            prefix=Provenance.REDONE_PREFIX if redo else Provenance.PREFIX,
        )

    def _finish(self, result: SegmentationResult, plan: Plan, redo: bool) -> None:
        self.segmentIds = tuple(
            plan.segmentIds[piece.label.value]
            for piece in plan.pieces
            if piece.label.value in plan.segmentIds
        )
        self.protectedVoxels = plan.protectedVoxels
        Provenance.writeToNode(plan.segmentationNode, plan.provenance, plan.prefix)
        if not redo:
            self._note(_("Not found: {names}."), [label.name for label in result.labels if label.voxels == 0])
        if plan.protectedVoxels:
            volume = plan.protectedVoxels * abs(np.linalg.det(plan.target.ijkToRas[:3, :3])) / 1000
            text = _("{volume} mL of the result lie where editing is not allowed and were left out.")
            self.notes += (text.format(volume=f"{volume:.3g}"),)
        if plan.target.offset is None:
            text = _("The result was resampled to the voxel grid of the segmentation {name}.")
            self.notes += (text.format(name=plan.segmentationNode.GetName()),)

    def _note(self, text: str, names: list[str]) -> None:
        if names:
            self.notes += (text.format(names=", ".join(sorted(names))),)


def _ownSegment(segmentationNode: Any, label: SegmentLabel, key: str, redo: bool) -> str:
    """The segment to write a label to; empty for a new one."""
    segmentation = segmentationNode.GetSegmentation()
    ids = segmentIdsOf(segmentationNode)
    for segmentId in ids:
        if Provenance.labelOf(segmentation.GetSegment(segmentId), key) == label.value:
            return segmentId
    if redo:
        for segmentId in ids:
            segment = segmentation.GetSegment(segmentId)
            if (
                Provenance.labelOf(segment) is not None
                and segment.GetName().casefold() == label.name.casefold()
            ):
                return segmentId
    return ""
