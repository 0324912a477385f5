"""The volumes and segments on screen become a case of a case store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, is_store, read_store
from medcontext.errors import InputError
from medcontext.labels import Label
from MedContextSegmentLib.Learn.CaseFacts import caseProvenance
from MedContextSegmentLib.Learn.CaseProposal import CaseProposal
from MedContextSegmentLib.Learn.LabelFiles import readMask
from MedContextSegmentLib.Learn.LabelMapping import mergedText, newLabels, valuesOf
from MedContextSegmentLib.Learn.Proposing import checkVolumes, propose, proposing
from MedContextSegmentLib.Learn.WorkerSteps import Sending, Steps, WorkerSteps
from MedContextSegmentLib.Scene.PaintedSlices import slicesText
from MedContextSegmentLib.Scene.Regions import maskOfRoiSteps
from MedContextSegmentLib.Scene.SegmentReading import SegmentReading, readingSteps
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot, readVolume
from MedContextSegmentLib.Worker.Background import Background
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

__all__ = ["AddCaseRun", "AddedCase", "CaseProposal", "propose", "proposing"]


@dataclass(frozen=True)
class AddedCase:
    """What came of adding a case.

    Attributes:
        case: its id; empty where nothing was added.
        taken: id of the case that has the same image; ask, and add again with ``replacing``. Else empty.
        cases: how many cases the store has now.
        heldOut: whether it is kept for scoring, which a scan that was held out once stays.
        seconds: how long each stage in the worker took.
    """

    case: str
    taken: str
    cases: int
    seconds: dict[str, float]
    heldOut: bool = False


class AddCaseRun(WorkerSteps):
    """Adds a case, in the shape of :class:`SegmentationRun`; makes the store where there is none yet.

    A scan that the store has without labels gets them; for any other copy a person has to be asked first.

    Args:
        worker: what writes the case.
        proposal: the case.
        store: folder of the store.
        listener: is told how it goes, as :class:`RunListener.RunListener`; may be None.
        exchangeRoot: folder for the arrays on their way; the system's one for temporary files when None.
        replacing: id of the case that it replaces, after asking; None for a new one.
        isNew: whether the store may be made where there is none.

    Attributes:
        result: an :class:`AddedCase`.
        storeMade: whether the store was made, which stays also where the case could not be added.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        proposal: CaseProposal,
        store: Path,
        listener: Any = None,
        exchangeRoot: Path | None = None,
        replacing: str | None = None,
        isNew: bool = True,
    ) -> None:
        super().__init__(worker, listener)
        self._proposal, self._store, self._replacing = proposal, Path(store), replacing
        self._root, self._isNew = exchangeRoot, isNew
        self.storeMade = False

    def _steps(self) -> Steps[AddedCase]:
        sending = Sending(self._root, self.checkStop)
        try:
            return (yield from self._add(sending))
        finally:
            sending.close()

    def _add(self, sending: Sending) -> Steps[AddedCase]:
        proposal = self._proposal
        if proposal.problem:
            raise InputError(proposal.problem)
        checkVolumes(proposal.volumes, None)
        opened = yield from self._openedCase()
        if opened is not None and self._replacing is None:
            if opened.kind != "unlabelled":
                return AddedCase("", opened.id, len((yield from self._beside(self._cases))), {})
            self._replacing = opened.id
        snapshots = [readVolume(node) for node in proposal.volumes]
        fields, create = self._fields(), (yield from self._beside(self._storeFields))
        yield False
        images = Background(lambda: sending.images(snapshots))
        reading = yield from self._read(snapshots[0])
        mask = yield from self._mask(snapshots[0])
        if mask is not None:
            fields["mask"] = yield from self._beside(
                lambda: sending.volume("mask", mask.view(np.uint8), snapshots[0].affine)
            )
        fields["label"] = yield from self._beside(
            lambda: sending.volume("label", reading.labelmap, snapshots[0].affine)
        )
        total = sum(snapshot.array.nbytes for snapshot in snapshots) + reading.labelmap.nbytes
        fields["images"] = yield from self._await(
            images, lambda: self._progress("prepare", sending.bytesSent / total)
        )
        if create is not None:
            yield from self._ask("create_store", create)
            self.storeMade = True
        answer = yield from self._ask("add_case", fields)
        taken = str(answer.get("taken") or "")
        if taken and (yield from self._beside(lambda: self._isUnlabelled(taken))):
            # It was only listed: nothing is lost, so nobody is asked.
            self._message(_("The scan was in the case store as '{case}' without labels.").format(case=taken))
            answer = yield from self._ask("add_case", fields | {"replacing": taken})
        return AddedCase(
            str(answer.get("case") or ""),
            str(answer.get("taken") or ""),
            int(answer.get("cases", 0)),
            dict(answer.get("seconds") or {}),
            bool(answer.get("held_out")),
        )

    def _cases(self) -> tuple[CaseSummary, ...]:
        return read_store(self._store).cases

    def _isUnlabelled(self, case: str) -> bool:
        return any(found.id == case and found.kind == "unlabelled" for found in self._cases())

    def _openedCase(self) -> Steps[CaseSummary | None]:
        """The case that the scan was opened from, as it is now; None where there is none any more."""
        opened = self._proposal.opened
        if opened is None:
            return None
        cases = yield from self._beside(self._cases)
        return next((case for case in cases if case.id == opened.id), None)

    def _read(self, snapshot: VolumeSnapshot) -> Steps[SegmentReading]:
        """The finished labels on the grid of the scan."""
        proposal = self._proposal
        values = valuesOf(proposal.mapping)
        wanted = {name: value for name, value in values.items() if value in proposal.finished}
        steps = readingSteps(proposal.segmentation, wanted, snapshot)
        reading: SegmentReading = yield from self._follow("read segments", steps)
        for text in (*mergedText(proposal.mapping), *reading.notes, *self._partNotes(reading)):
            self._message(text)
        return reading

    def _mask(self, snapshot: VolumeSnapshot) -> Steps[np.ndarray | None]:
        """The voxels that are finished; None where no mask says it."""
        proposal = self._proposal
        if proposal.region == "as before" and proposal.opened is not None:
            return readMask(proposal.opened, snapshot.name, snapshot.array.shape, snapshot.ijkToRas)
        if proposal.region != "roi":
            return None
        steps = maskOfRoiSteps(proposal.roi, snapshot)
        mask: np.ndarray = yield from self._follow("read segments", steps)
        return mask

    def _partNotes(self, reading: SegmentReading) -> list[str]:
        """What of the painted is not learnt from, and what is learnt to be absent."""
        proposal, notes = self._proposal, []
        names = {label.value: label.name for label in proposal.known}
        left = sorted(set(proposal.paintedValues) - set(proposal.finished))
        if left:
            text = _("Painted but not finished, so unknown in this case: {names}.")
            notes.append(text.format(names=", ".join(names[value] for value in left)))
        there = {found.value for found in reading.segments if found.voxels}
        absent = [names[value] for value in proposal.finished if value not in there and value in names]
        if absent:
            text = _("Finished without a voxel, so learnt to be absent: {names}.")
            notes.append(text.format(names=", ".join(absent)))
        if proposal.region == "slices":
            beside = sorted(set(reading.painted.along(proposal.axis)) - set(proposal.slices))
            if beside:
                text = _("Painted slices that are not finished are ignored: {slices}.")
                notes.append(text.format(slices=slicesText(beside)))
        return notes

    def _fields(self) -> dict[str, Any]:
        proposal = self._proposal
        values = {label.value for label in proposal.known}
        finished = sorted(value for value in set(proposal.finished) if value in values)
        slices = proposal.region == "slices"
        return {
            "store": str(self._store),
            "annotated": {
                "labels": finished,
                "region": "slices" if slices else "whole",
                "axis": proposal.axis if slices else "k",
                "slices": sorted(set(proposal.slices)) if slices else [],
            },
            "new_labels": [label.to_json() for label in self._declared()],
            "name": proposal.name,
            "held_out": proposal.heldOut,
            "group": " ".join(proposal.patient.split()),
            "provenance": caseProvenance(proposal.volumes, proposal.segmentation, proposal.mapping),
            "replacing": self._replacing,
        }

    def _declared(self) -> list[Label]:
        """The new labels that are finished; one that is not was only painted beside them."""
        proposal = self._proposal
        new = newLabels(proposal.mapping, proposal.labels)
        return [label for label in new if label.value in proposal.finished]

    def _storeFields(self) -> dict[str, Any] | None:
        """What makes the store; None where it is there.

        Raises:
            InputError: it was there and is gone: it must not be made anew in the place of a drive that went away.
        """
        proposal = self._proposal
        if is_store(self._store):
            return None
        if not self._isNew:
            text = _("The case store {folder} is no longer there: nothing was added.")
            raise InputError(
                text.format(folder=self._store), _("Connect its drive, then add the case again.")
            )
        channels = [{"name": name, "modality": modality} for name, modality in proposal.channels]
        title = proposal.title or self._store.name
        return {"folder": str(self._store), "name": title, "labels": [], "channels": channels}
