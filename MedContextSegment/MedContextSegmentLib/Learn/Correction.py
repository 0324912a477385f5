"""*Learn from this correction*: the model learns from what was corrected in a scan, and segments that scan again.

The model in the library stays as it is. What comes of it is written into the segments that the model made, so that the
person sees it; until it is kept it can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.exchange import SharedArray
from MedContextSegmentLib.Learn.WorkerSteps import Sending, Steps, WorkerSteps
from MedContextSegmentLib.Run.SegmentationRun import WRITING
from MedContextSegmentLib.Run.Writing import Earlier
from MedContextSegmentLib.Scene.ModelAnswer import (
    ModelAnswer,
    PackedLabels,
    answerOf,
    rememberAnswer,
    segmentsOfModel,
    stampOf,
)
from MedContextSegmentLib.Scene.Provenance import modelKey
from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter
from MedContextSegmentLib.Scene.SegmentReading import readingSteps
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot, readVolume
from MedContextSegmentLib.Worker.Results import SegmentationResult, readResult, restrictResult
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

SECONDS = 30.0


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


@dataclass(frozen=True, eq=False)
class _News:
    """What the worker's answer changes.

    Attributes:
        region: bool ``(K, J, I)``, where.
        voxels: how many.
        part: the answer there.
        kept: from what the next correction is told: the answer, but as the model had answered where it was corrected,
            so that what was corrected already still is.
    """

    region: np.ndarray
    voxels: int
    part: SegmentationResult
    kept: np.ndarray


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
        self._earlier: Earlier | None = None

    @property
    def canTakeBack(self) -> bool:
        """Whether the segmentation can still be put back as the person had left it."""
        return self._earlier is not None and self.request.segmentation.GetScene() is not None

    def takeBack(self) -> None:
        """Put the segmentation back as the person had left it."""
        earlier, self._earlier = self._earlier, None
        if earlier is not None and self.request.segmentation.GetScene() is not None:
            earlier.restore()

    def keep(self) -> None:
        """What came of it stays; it is not taken back any more."""
        self._earlier = None

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
        now = yield from self._read(scan, "read")
        new = yield from self._beside(lambda: self._compared(found, corrected, now, before))
        notes = (yield from self._write(new.part, scan, new.region)) if new.voxels else ()
        self._remember(new.kept)
        ml = new.voxels * abs(float(np.linalg.det(scan.ijkToRas[:3, :3]))) / 1000
        return Learnt(new.voxels, ml, sum(found.seconds.values()), notes)

    def _read(self, scan: VolumeSnapshot, stage: str) -> Steps[np.ndarray]:
        steps = readingSteps(self.request.segmentation, self._values, scan)
        return (yield from self._follow(stage, steps)).labelmap

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

    def _compared(
        self, found: SegmentationResult, corrected: np.ndarray, now: np.ndarray, before: np.ndarray
    ) -> _News:
        region = (found.labelmap != corrected) & (now == corrected)
        if self._answer is not None and self._answer.mask is not None:
            region &= self._answer.mask.unpacked()
        kept = np.where(region, found.labelmap, now)
        strokes = corrected != before
        kept[strokes] = before[strokes]
        part = restrictResult(replace(found, labelmap=found.labelmap.copy()), region)
        return _News(region, int(np.count_nonzero(region)), part, kept)

    def _write(
        self, part: SegmentationResult, scan: VolumeSnapshot, region: np.ndarray
    ) -> Steps[tuple[str, ...]]:
        request = self.request
        self._earlier = Earlier(request.segmentation)
        writer = SegmentationWriter(
            request.editorNode,
            request.saveStateForUndo,
            {"learnt_from_correction": True, "volumes": [shot.name for shot in self._snapshots]},
            overwrites=False,
        )
        steps = writer.steps(part, scan, request.segmentation, region=region)
        yield from self._follow("write", _each(steps))
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


def _each(steps: Iterator[float]) -> Generator[float, None, None]:
    yield from steps
