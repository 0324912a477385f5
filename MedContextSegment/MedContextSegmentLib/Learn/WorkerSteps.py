"""Work on a case store in small steps that a timer asks for: some in the scene, the rest in the worker."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError, ResourceError
from medcontext.exchange import PIECE_BYTES, ExchangeFolder
from MedContextSegmentLib.Run.SegmentationRun import (
    CANCELLED,
    COMPUTING,
    DONE,
    ENDED,
    FAILED,
    FRAME_SECONDS,
    PREPARING,
    spaceHint,
)
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot
from MedContextSegmentLib.Worker.Background import Background
from MedContextSegmentLib.Worker.WorkerChild import WorkerEnd, WorkerRequest
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess
from MedContextSegmentLib.Worker.WorkerTexts import errorOf, explainEnd, unexpected

Answer = TypeVar("Answer")
Steps = Generator[bool, None, Answer]
"""Yields whether there is nothing to do before the next turn of the timer."""


class WorkerSteps:
    """A run in the shape of :class:`SegmentationRun`: whoever started it calls :meth:`poll` until that is False.

    Args:
        worker: what serves the requests.
        listener: is told how it goes, as :class:`RunListener.RunListener`; may be None.

    Attributes:
        state: "preparing", "computing", then "done", "failed" or "cancelled".
        error: why it ended without a result; a ``CancelledError`` when cancelled.
        result: what came of it; None before.
    """

    def __init__(self, worker: WorkerProcess, listener: Any = None) -> None:
        self.state = PREPARING
        self.error: MedContextError | None = None
        self.result: Any = None
        self._worker, self._listener = worker, listener
        self._stop: MedContextError | None = None
        self._asked: WorkerRequest | None = None
        self._generator = self._steps()

    def _steps(self) -> Steps[Any]:
        """The work; what it returns becomes the result."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.state not in ENDED

    def poll(self) -> bool:
        """Do what can be done in some hundredths of a second; never waits. Returns whether it goes on."""
        if not self.running:
            return False
        try:
            ends = time.monotonic() + FRAME_SECONDS
            while not next(self._generator) and time.monotonic() < ends:
                pass
        except StopIteration as end:
            self.result = end.value
            self._finish(None)
        except MedContextError as error:
            self._finish(error)
        except Exception as error:
            self._finish(unexpected(error))
        return self.running

    def cancel(self) -> None:
        """Stop; it ends by itself soon after, with :meth:`poll`."""
        if self.running and self._stop is None:
            self._stop = CancelledError(_("Stopped on request."))
            if self._asked is not None:
                self._worker.cancel(self._asked)

    def checkStop(self) -> None:
        """Raise where somebody asked to stop; from any thread."""
        if self._stop is not None:
            raise self._stop

    def _finish(self, error: MedContextError | None) -> None:
        self.error = self._stop if error is not None and self._stop is not None else error
        cancelled = isinstance(self.error, CancelledError)
        self.state = DONE if error is None else CANCELLED if cancelled else FAILED
        self._generator.close()
        if self._asked is not None and not self._asked.ended:
            self._worker.cancel(self._asked)
        if self._listener is not None:
            self._listener.ended(self)

    def _progress(self, stage: str, value: float, etaSeconds: float | None = None) -> None:
        if self._listener is not None:
            self._listener.progress(stage, min(1.0, max(0.0, value)), etaSeconds)

    def _message(self, text: str) -> None:
        if self._listener is not None and text:
            self._listener.message(text)

    def _follow(self, stage: str, steps: Generator[float, None, Answer]) -> Steps[Answer]:
        """Steps on the main thread that yield the share that is done."""
        while True:
            self.checkStop()
            try:
                share = next(steps)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            self._progress(stage, share)
            yield False

    def _beside(self, work: Callable[[], Answer]) -> Steps[Answer]:
        """Work in a thread; it has to look at :meth:`checkStop` itself."""
        return (yield from self._await(Background(work)))

    def _await(
        self, background: Background[Answer], show: Callable[[], None] = lambda: None
    ) -> Steps[Answer]:
        while not background.done:
            show()
            yield True
        return background.result()

    def _ask(self, kind: str, fields: dict[str, Any]) -> Steps[dict[str, Any]]:
        """Ask the worker; returns its ``result`` event.

        Raises:
            MedContextError: what the worker said, or why it ended.
        """
        self.checkStop()
        # Beside, as a process may have to be started first.
        self._asked = request = yield from self._beside(lambda: self._worker.send(kind, **fields))
        self.state = COMPUTING
        if self._stop is not None:
            self._worker.cancel(request)
        while True:
            over = request.ended  # asked before the events are taken, so that the last one is among them
            for event in request.poll():
                if event["event"] == "result":
                    self._asked = None
                    return event
                self._take(event)
            if over:
                raise explainEnd(request.end or WorkerEnd(None, "no answer"))
            yield True

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self._progress(str(event["stage"]), float(event["value"]), event.get("eta_s"))
        elif kind in ("info", "warning") and self._listener is not None:
            tell = self._listener.message if kind == "info" else self._listener.warning
            tell(str(event.get("message", "")))
        elif kind == "error":
            raise errorOf(event)


class Sending:
    """Arrays on their way to the worker, in a folder that is gone at the end. May be used in several threads.

    Args:
        root: where the folder is made; the system's folder for temporary files when None.
        check: called between pieces; raises to stop.

    Attributes:
        bytesSent: how much was written so far.
    """

    def __init__(self, root: Path | None, check: Callable[[], None]) -> None:
        self._root, self._check = root, check
        self._folder: ExchangeFolder | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.bytesSent = 0

    @property
    def folder(self) -> Path:
        """Where arrays are written, those of the answer too; it is made when first asked for."""
        return self._open().path

    def volume(self, name: str, array: np.ndarray, affine: np.ndarray) -> dict[str, Any]:
        """Write an array ``(K, J, I)``; returns it as the worker takes volumes.

        Args:
            name: letters, digits, ``-`` and ``_``.
            array: numbers.
            affine: ``(4, 4)`` from ``(i, j, k, 1)`` to LPS mm.

        Raises:
            MedContextError: the disk is full, the folder cannot be made, or ``check`` raised.
        """
        folder = self._open()
        try:
            shared = folder.write(name, array, self._count)
        except ResourceError as error:
            raise ResourceError(error.message, spaceHint()) from error
        finally:
            if self._closed:
                folder.close()  # again: a file that came while the folder was being removed keeps it
        return {"array": shared.to_json(), "axis_order": "KJI", "affine": np.asarray(affine).tolist()}

    def images(self, snapshots: Sequence[VolumeSnapshot]) -> list[dict[str, Any]]:
        """The voxels of scans, each on its own grid."""
        return [self.volume("channel", snapshot.array, snapshot.affine) for snapshot in snapshots]

    def close(self) -> None:
        """Remove what was written; a thread that still writes ends soon."""
        self._closed = True
        with self._lock:
            folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()

    def _open(self) -> ExchangeFolder:
        with self._lock:
            self._checkOpen()
            if self._folder is None:
                if self._root is not None:
                    with contextlib.suppress(OSError):  # what is wrong with it is said when it is used
                        self._root.mkdir(parents=True, exist_ok=True)
                self._folder = ExchangeFolder(self._root)
            return self._folder

    def _count(self) -> None:
        self.bytesSent += PIECE_BYTES
        self._checkOpen()
        self._check()

    def _checkOpen(self) -> None:
        if self._closed:
            raise CancelledError(_("Stopped on request."))
