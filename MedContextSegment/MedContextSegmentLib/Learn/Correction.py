"""*Learn from this correction*: the model learns from what was corrected in a scan, and segments that scan again.

The model in the library stays as it is. What comes of it is written into the segments that the model made, so that the
person sees it; until it is kept it can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.exchange import SharedArray
from MedContextSegmentLib.Learn.CorrectionPreview import CorrectionPreview, News, newsOf
from MedContextSegmentLib.Learn.WorkerSteps import Sending, Steps, WorkerSteps
from MedContextSegmentLib.Run.SegmentationRun import WRITING
from MedContextSegmentLib.Scene.ModelAnswer import (
    ModelAnswer,
    PackedLabels,
    Stamp,
    answerOf,
    rememberAnswer,
    segmentsOfModel,
    stampOf,
)
from MedContextSegmentLib.Scene.OrientedImage import boundsOf, slabs, slices
from MedContextSegmentLib.Scene.Provenance import modelKey
from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter
from MedContextSegmentLib.Scene.SegmentReading import readingSteps
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot, readVolume
from MedContextSegmentLib.Worker.Results import SegmentationResult, readResult
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

SECONDS = 30.0

WRITTEN_VOXELS = 1 << 22
"""Written in one go: some tenths of a second."""


@dataclass(frozen=True, eq=False)
class CorrectionRequest:
    """What to learn from.

    Attributes:
        segmentation: what a model made and a person corrected.
        volumes: what it was made from, a volume node for each channel.
        card: the model.
        key: of the model, as its segments say.
        box: what the model had looked at, where its answer is not remembered; everything when None.
        device: where to compute.
        precision: number format of the network's arithmetic.
        seconds: time for learning.
        editorNode: the segment editor's parameter node, whose masks are obeyed; None without an editor.
        saveStateForUndo: lets the editor remember what there was before.
    """

    segmentation: Any
    volumes: tuple[Any, ...]
    card: CardSummary
    key: str
    box: Any = None
    device: str = "auto"
    precision: str = "auto"
    seconds: float = SECONDS
    editorNode: Any = None
    saveStateForUndo: Callable[[], None] | None = None


@dataclass(frozen=True)
class Learnt:
    """What came of it.

    Attributes:
        changedVoxels: how many voxels of the model's segments are not as the person left them.
        volumeMl: their volume.
        seconds: how long learning and segmenting took.
        notes: sentences for the person.
    """

    changedVoxels: int
    volumeMl: float
    seconds: float
    notes: tuple[str, ...]


class CorrectionRun(WorkerSteps):
    """One adaptation; see :class:`WorkerSteps.WorkerSteps`.

    What was painted while it ran is not touched, and neither is any segment that the model did not make.

    Args:
        worker: what serves it.
        request: what to learn from.
        listener: is told how it goes; may be None.
        exchangeRoot: folder for the arrays; the system's folder for temporary files when None.

    Attributes:
        request: what was asked for.
        result: a :class:`Learnt`; None before.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        request: CorrectionRequest,
        listener: Any = None,
        exchangeRoot: Path | None = None,
    ) -> None:
        super().__init__(worker, listener)
        self.request = request
        self._snapshots = tuple(readVolume(node) for node in request.volumes)
        self._answer = answerOf(request.segmentation)
        self._values = segmentsOfModel(request.segmentation, request.key)
        self._sending = Sending(exchangeRoot, self.checkStop)
        self._preview: CorrectionPreview | None = None
        self._readStamp: Stamp = ()  # of the segments when they were read last, or written by this

    @property
    def previewing(self) -> bool:
        """Whether what came of it is shown and neither kept nor taken back."""
        return self._preview is not None

    @property
    def canTakeBack(self) -> bool:
        """Whether the segmentation can be put back as the person had left it and nothing done since is lost."""
        return self._preview is not None and self._preview.untouched

    def takeBack(self) -> bool:
        """Put the segmentation back as the person had left it; returns whether that was done, see `canTakeBack`."""
        preview, self._preview = self._preview, None
        return preview is not None and preview.takeBack()

    def keep(self) -> None:
        """What came of it stays; it is not taken back any more."""
        self._preview = None

    def giveWay(self) -> None:
        """Stop for something that waits behind it in the worker, which is therefore not ended by force."""
        if self.running and self._stop is None:
            self._stop = CancelledError(_("Stopped for the segmentation that was begun."))
            if self._asked is not None:
                self._worker.send("cancel", target=self._asked.id)

    def _steps(self) -> Steps[Learnt]:
        scan = self._snapshots[0]
        corrected = yield from self._read(scan, "prepare")
        event = yield from self._ask("adapt", (yield from self._beside(lambda: self._fields(corrected))))
        found, before = yield from self._beside(lambda: self._received(event))
        if modelKey(found.model) != self.request.key:
            raise InputError(
                _("The model '{title}' is another one now than the one that made this segmentation.").format(
                    title=self.request.card.title
                ),
                _("Segment the volume again."),
            )
        while slicer.mrmlScene.IsBatchProcessing():
            self.checkStop()
            yield True
        self.state = WRITING
        # What was painted meanwhile is newer than what was learnt from.
        now = yield from self._now()
        mask = self._answer.mask if self._answer is not None else None
        new = yield from self._beside(lambda: newsOf(found, corrected, now, before, mask))
        notes = yield from self._write(new, corrected, now)
        self._remember(new.kept)
        voxels = int(np.count_nonzero(new.region))
        ml = voxels * abs(float(np.linalg.det(scan.ijkToRas[:3, :3]))) / 1000
        return Learnt(voxels, ml, sum(found.seconds.values()), notes)

    def _read(self, scan: VolumeSnapshot, stage: str) -> Steps[np.ndarray]:
        steps = readingSteps(self.request.segmentation, self._values, scan)
        return (yield from self._follow(stage, steps)).labelmap

    def _stamp(self) -> Stamp:
        return stampOf(self.request.segmentation, self.request.key)

    def _now(self) -> Steps[np.ndarray]:
        """The segments as they are at the moment when this returns."""
        while True:
            stamp = self._stamp()
            try:
                now = yield from self._read(self._snapshots[0], "read")
            except InputError:
                if self._stamp() == stamp:
                    raise
                continue  # a stroke came between two steps of reading
            if self._stamp() == stamp:
                self._readStamp = stamp
                return now

    def _fields(self, corrected: np.ndarray) -> dict[str, Any]:
        """The request for the worker."""
        request, scan, sending = self.request, self._snapshots[0], self._sending
        answer = self._answer

        def share(name: str, array: np.ndarray) -> dict[str, Any]:
            shared: dict[str, Any] = sending.volume(name, array, scan.affine)["array"]
            return shared

        wanted = sorted(self._values.values())
        labels = None if wanted == sorted(request.card.label_values) else wanted
        before = None
        if answer is not None:
            before = share("before", self._answered(answer))
        box = answer.box if answer is not None else request.box
        return {
            "model": str(request.card.folder),
            "device": request.device,
            "precision": request.precision,
            "channels": sending.images(self._snapshots),
            "labelmap": before,
            "corrected": share("corrected", corrected),
            "labels": labels,
            "box": None if box is None else [list(side) for side in box],
            "seconds": request.seconds,
            "output": str(sending.folder),
        }

    def _answered(self, answer: ModelAnswer) -> np.ndarray:
        """What the model had answered; of a segment that was removed nothing is learnt."""
        wanted = list(self._values.values())
        table = np.zeros(256, np.uint8)
        table[wanted] = wanted
        answered: np.ndarray = table[answer.labelmap.unpacked()]
        return answered

    def _received(self, event: Mapping[str, Any]) -> tuple[SegmentationResult, np.ndarray]:
        """The arrays of the worker's answer: the result, and what the model had answered before."""
        found = readResult(event)
        if self._answer is not None:
            before = self._answered(self._answer)
        else:
            before = np.array(SharedArray.from_json(event["before"]).open(), subok=False)
        self._sending.close()
        return found, before

    def _write(self, new: News, corrected: np.ndarray, now: np.ndarray) -> Steps[tuple[str, ...]]:
        """Part by part, each in one go, so that no stroke comes between looking at the segments and writing them.

        Args:
            new: what to write; what a person changes meanwhile is taken out of its region.
            corrected: what was learnt from.
            now: what the segments held when ``new`` was made.
        """
        notes: list[str] = []
        box = boundsOf(new.region)
        parts = list(slabs(box, WRITTEN_VOXELS)) if box is not None else []
        for count, part in enumerate(parts, start=1):
            if self._stamp() != self._readStamp:
                now = yield from self._now()
            place = slices(part)
            new.region[place] &= now[place] == corrected[place]
            region = np.zeros_like(new.region)
            region[place] = new.region[place]
            if region.any():
                notes += [note for note in self._writePart(new.part, region) if note not in notes]
            self._progress("write", count / len(parts))
            yield False
            self.checkStop()
        return tuple(notes)

    def _writePart(self, result: SegmentationResult, region: np.ndarray) -> tuple[str, ...]:
        request, first = self.request, self._preview is None
        if self._preview is None:
            self._preview = CorrectionPreview(request.segmentation)
        writer = SegmentationWriter(
            request.editorNode,
            request.saveStateForUndo if first else None,
            {"learnt_from_correction": True, "volumes": [shot.name for shot in self._snapshots]},
            overwrites=False,
        )
        with self._preview.writing():
            writer.write(result, self._snapshots[0], request.segmentation, region=region)
        self._readStamp = self._stamp()
        return writer.notes

    def _remember(self, labels: np.ndarray) -> None:
        """From now on what differs from the new answer was corrected."""
        request, answer = self.request, self._answer
        stamp = stampOf(request.segmentation, request.key)
        if answer is None:
            ids = tuple(shot.nodeId for shot in self._snapshots)
            new = ModelAnswer(PackedLabels(labels), request.key, ids, None, request.box, None, stamp)
        else:
            new = replace(answer, labelmap=PackedLabels(labels), stamp=stamp)
        rememberAnswer(request.segmentation, new)

    def _finish(self, error: MedContextError | None) -> None:
        if error is not None:
            self.takeBack()
        self._sending.close()
        super()._finish(error)
