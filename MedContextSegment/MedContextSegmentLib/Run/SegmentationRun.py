"""One run, from the scene to the worker and back, in small steps that a timer or a loop asks for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from medcontext.exchange import PIECE_BYTES, ExchangeFolder
from MedContextSegmentLib.Run.RunInputs import RunInputs, SegmentRequest
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Run.Writing import Writing
from MedContextSegmentLib.Worker.Background import Background
from MedContextSegmentLib.Worker.Results import SegmentationResult, readResult, restrictResult
from MedContextSegmentLib.Worker.WorkerChild import WorkerEnd, WorkerRequest
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess
from MedContextSegmentLib.Worker.WorkerTexts import errorOf, explainEnd, unexpected

PREPARING, COMPUTING, WRITING = "preparing", "computing", "writing"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
QUICK_SECONDS = 0.01
"""A small result is read in less; then the next turn of the timer need not be waited for."""

FRAME_SECONDS = 0.03
"""Steps of writing are done together for so long; a single one may take longer."""

ENDED = (DONE, FAILED, CANCELLED)


class SegmentationRun:
    """A run. Whoever started it calls :meth:`poll` again and again until that returns False.

    Cancelling is followed in every state: while the image is sent at once; while computing when the worker has
    stopped or was killed (at most two seconds); while segments are written by taking back what was written.

    Attributes:
        state: "preparing", "computing", "writing", then "done", "failed" or "cancelled".
        segmentationNode: where the result was written; None unless done.
        certaintyNode: the certainty overlay; None unless asked for.
        error: why it ended without a result; a ``CancelledError`` when cancelled.
        result: what the worker gave; None before.
        request: what was asked for.
        inputs: what was read from the scene.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        request: SegmentRequest,
        inputs: RunInputs,
        listener: RunListener,
        writing: Writing,
        exchangeRoot: Path | None = None,
    ) -> None:
        self.state = PREPARING
        self.segmentationNode: Any = None
        self.certaintyNode: Any = None
        self.error: MedContextError | None = None
        self.result: SegmentationResult | None = None
        self.request, self.inputs = request, inputs
        self._worker, self._listener, self._writing = worker, listener, writing
        self._root = exchangeRoot
        self._folder: ExchangeFolder | None = None
        self._asked: WorkerRequest | None = None
        self._stop: MedContextError | None = None
        self._steps: Iterator[float] | None = None
        self._pieces = 0
        scene = slicer.mrmlScene
        self._observed = (scene, scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._onSceneClose))
        for note in inputs.snapshots[0].notes:
            listener.message(note)
        self._preparing = Background(self._prepare)
        self._reading: Background[SegmentationResult] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.state not in ENDED

    def poll(self) -> bool:
        """Do what can be done now, at most one small step; never waits. Returns whether the run goes on."""
        if not self.running:
            return False
        try:
            self._step()
        except MedContextError as error:
            self._finish(error)
        except Exception as error:
            self._finish(unexpected(error))
        if self.state in ENDED:  # last, so that what goes wrong there is not taken for a fault of the run
            self._listener.ended(self)
        return self.running

    def cancel(self) -> None:
        """Stop; the run ends by itself soon after, with :meth:`poll`."""
        self._stopFor(CancelledError(_("Stopped on request.")))

    def _stopFor(self, reason: MedContextError) -> None:
        if self.running and self._stop is None:
            self._stop = reason
            if self._asked is not None:
                self._worker.cancel(self._asked)

    def _onSceneClose(self, _caller: Any, _event: str) -> None:
        self._writing.sceneCloses()
        self._stopFor(CancelledError(_("The scene was closed.")))

    def _step(self) -> None:
        if self.state == PREPARING:
            self._awaitPrepared()
        elif self.state == COMPUTING:
            self._awaitResult()
        elif not self._mustWait():
            self._write()

    # Preparing: a thread copies the arrays and asks the worker

    def _prepare(self) -> WorkerRequest:
        self._folder = folder = self._makeFolder()
        snapshots, mask = self.inputs.snapshots, self.inputs.mask
        channels = [
            {
                "array": self._share(folder, "channel", snapshot.array).to_json(),
                "axis_order": "KJI",
                "affine": snapshot.affine.tolist(),
            }
            for snapshot in snapshots
        ]
        fields: dict[str, Any] = {
            "model": str(self.inputs.card.folder),
            "device": self.request.device,
            "precision": self.request.precision,
            "channels": channels,
            "certainty": self.request.certainty,
            "low_memory": self.request.lowMemory,
            "labels": None if self.request.labels is None else list(self.request.labels),
            "output": str(folder.path),
        }
        redo = self.request.redo
        self._checkStop()
        if redo is not None and mask is not None:
            region = self._share(folder, "region", mask.view(np.uint8)).to_json()
            return self._worker.send("redo", **fields, form=redo.form, region=region)
        box = self.inputs.box
        return self._worker.send("segment", **fields, box=None if box is None else [list(s) for s in box])

    def _makeFolder(self) -> ExchangeFolder:
        if self._root is not None:
            with contextlib.suppress(OSError):  # what is wrong with it is said when it is used
                self._root.mkdir(parents=True, exist_ok=True)
        try:
            return ExchangeFolder(self._root)
        except ResourceError as error:
            raise ResourceError(error.message, spaceHint()) from error

    def _share(self, folder: ExchangeFolder, name: str, array: np.ndarray) -> Any:
        try:
            return folder.write(name, array, self._countPiece)
        except ResourceError as error:
            raise ResourceError(error.message, spaceHint()) from error

    def _countPiece(self) -> None:
        self._pieces += 1
        self._checkStop()

    def _checkStop(self) -> None:
        if self._stop is not None:
            raise self._stop

    def _awaitPrepared(self) -> None:
        if not self._preparing.done:
            total = sum(snapshot.array.nbytes for snapshot in self.inputs.snapshots)
            self._listener.progress("prepare", min(1.0, self._pieces * PIECE_BYTES / total), None)
            return
        self._asked = self._preparing.result()
        self.state = COMPUTING
        if self._stop is not None:
            self._worker.cancel(self._asked)

    # Computing: the worker's events come in, then a thread reads its arrays

    def _awaitResult(self) -> None:
        request = self._asked
        assert request is not None  # for the type checker: it is what began this state
        if self._reading is None:
            self._checkVolume()
            over = request.ended  # asked before the events are taken, so that the last one is among them
            for event in request.poll():
                self._take(event)
            if over and self._reading is None:
                raise explainEnd(request.end or WorkerEnd(None, "no answer"))
        if self._reading is not None and self._reading.wait(QUICK_SECONDS) and not self._mustWait():
            self.result = self._reading.result()
            self._beginWriting()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self._listener.progress(str(event["stage"]), float(event["value"]), event.get("eta_s"))
        elif kind == "info":
            self._listener.message(str(event.get("message", "")))
        elif kind == "warning":
            self._listener.warning(str(event.get("message", "")))
        elif kind == "error":
            raise errorOf(event)
        elif kind == "result":
            self._reading = Background(lambda: self._read(event))

    def _read(self, event: dict[str, Any]) -> SegmentationResult:
        result = readResult(event)
        if self.inputs.mask is not None:
            result = restrictResult(result, self.inputs.mask)
        self._removeFolder()
        return result

    def _checkVolume(self) -> None:
        """Nobody waits for the segmentation of a volume that is gone."""
        if self.request.volumes[0].GetScene() is None:
            self._stopFor(
                InputError(
                    _("The volume '{name}' was deleted while it was segmented: there is no result.").format(
                        name=self.inputs.snapshots[0].name
                    )
                )
            )

    # Writing: one small step of the main thread at a time

    def _beginWriting(self) -> None:
        assert self.result is not None  # for the type checker
        self._checkVolume()
        self._checkStop()
        self.state = WRITING
        self._listener.progress("write", 0.0, None)
        self._steps = self._writing.steps(self.request, self.inputs, self.result, self._listener)
        self._write()

    def _mustWait(self) -> bool:
        """While a scene is loaded or changed as a whole, nothing is written into it."""
        return self._stop is None and bool(slicer.mrmlScene.IsBatchProcessing())

    def _write(self) -> None:
        assert self._steps is not None  # for the type checker
        ends = time.monotonic() + FRAME_SECONDS
        while time.monotonic() < ends:
            self._checkStop()
            try:
                share = next(self._steps)
            except StopIteration:
                self.segmentationNode, self.certaintyNode = self._writing.written()
                self._finish(None)
                return
            self._listener.progress("write", share, None)

    # The end

    def _finish(self, error: MedContextError | None) -> None:
        """Leave nothing behind."""
        if error is not None and self.state == WRITING:
            self._takeBack()
        if self._stop is not None and error is not None:
            error = self._stop
        self.error = error
        self.state = DONE if error is None else CANCELLED if isinstance(error, CancelledError) else FAILED
        if self._asked is not None and not self._asked.ended:
            self._worker.cancel(self._asked)
        scene, tag = self._observed
        scene.RemoveObserver(tag)
        self._steps = self._reading = None
        self._removeFolder()

    def _takeBack(self) -> None:
        try:
            self._writing.takeBack()
        except Exception as error:  # the run must end all the same
            self._listener.warning(
                _("The segmentation could not be put back as it was: {problem}").format(
                    problem=unexpected(error).message
                )
            )

    def _removeFolder(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()


def spaceHint() -> str:
    """What to do where the folder for arrays is full."""
    return _("Free some space, or choose another temporary folder in the application settings.")
