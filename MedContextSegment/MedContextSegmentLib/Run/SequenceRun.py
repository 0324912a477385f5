"""All frames of a sequence as one run, frame after frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Run.RunInputs import SegmentRequest
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Run.RunProgress import overall
from MedContextSegmentLib.Run.SegmentationRun import CANCELLED, COMPUTING, DONE, FAILED
from MedContextSegmentLib.Scene.Sequences import Frame, FrameRuns
from MedContextSegmentLib.Worker.WorkerTexts import unexpected


class SequenceRun:
    """Polled like a :class:`SegmentationRun.SegmentationRun`.

    Frames that were finished before it was stopped or failed are kept.

    Args:
        start: begins the run of one frame, given its request and who listens.
        request: what is asked for; its volumes are proxy nodes of a sequence browser. There is no certainty map.
        listener: is told how the whole goes.

    Attributes:
        state: "computing", then "done", "failed" or "cancelled".
        segmentationNode: the segmentation that follows the sequence; None where no frame was finished.
        error: why it ended early.

    Raises:
        InputError: there is no sequence, or its result cannot go into the segmentation.
    """

    def __init__(
        self,
        start: Callable[[SegmentRequest, RunListener], Any],
        request: SegmentRequest,
        listener: RunListener,
    ) -> None:
        self.state = COMPUTING
        self.segmentationNode: Any = None
        self.certaintyNode: Any = None
        self.result: Any = None
        self.error: MedContextError | None = None
        self.request = replace(request, certainty="none")
        self._start, self._listener = start, listener
        self._frames = FrameRuns(request.volumes, request.segmentation)
        self._count = len(self._frames)
        self._index = 0
        self._frame: Frame | None = None
        self._run: Any = None
        self._stop = False
        self._began = time.monotonic()

    def poll(self) -> bool:
        """Do a small step; returns whether the run goes on."""
        if self.state != COMPUTING:
            return False
        try:
            self._step()
        except MedContextError as error:
            self._finish(error)
        except Exception as error:
            self._finish(unexpected(error))
        if self.state != COMPUTING:
            self._listener.ended(self)  # type: ignore[arg-type]
        return self.state == COMPUTING

    def cancel(self) -> None:
        """Stop; the run ends by itself soon after, with :meth:`poll`."""
        self._stop = True
        if self._run is not None:
            self._run.cancel()

    def _step(self) -> None:
        if self._run is not None:
            self._run.poll()
        elif self._stop:
            raise CancelledError(_("Stopped on request."))
        elif self._index < self._count:
            self._frame = self._frames.begin(self._index)
            request = replace(
                self.request,
                volumes=self._frame.volumes,
                segmentation=self._frame.segmentation,
                insideSegment=self._insideAt(self._frame),
            )
            self._run = self._start(request, _FrameListener(self._progress, self._listener, self._frameEnded))
        else:
            self._finish(None)

    def _insideAt(self, frame: Frame) -> tuple[Any, str] | None:
        """The segment to stay inside, as it is in the frame where its segmentation follows the sequence."""
        if self.request.insideSegment is None:
            return None
        segmentation, segmentId = self.request.insideSegment
        return self._frames.nodeAt(frame, segmentation), segmentId

    def _progress(self, stage: str, value: float, _etaSeconds: float | None) -> None:
        done = (self._index + overall(stage, value)) / self._count
        left = (time.monotonic() - self._began) * (1 - done) / done if self._index else None
        title = _("Frame {number} of {count}").format(number=self._index + 1, count=self._count)
        self._listener.progress(title, done, left)

    def _frameEnded(self, run: Any) -> None:
        frame, self._frame, self._run = self._frame, None, None
        if frame is None:
            return
        if run.error is not None:
            self._frames.discard(frame)
            self._finish(run.error)
            return
        self._frames.store(frame)
        self._index += 1

    def _finish(self, error: MedContextError | None) -> None:
        """Show the frames that were finished; leave nothing else behind."""
        self.error = error
        try:
            self.segmentationNode = self._frames.finish()
        except MedContextError as gone:
            self.error = error or gone
        except Exception as fault:
            self.error = error or unexpected(fault)
        self._frames.close()
        stopped = isinstance(self.error, CancelledError)
        self.state = DONE if self.error is None else CANCELLED if stopped else FAILED


class _FrameListener:
    """Passes on what the run of one frame says."""

    def __init__(self, progress: Any, listener: RunListener, ended: Callable[[Any], None]) -> None:
        self.progress, self.ended = progress, ended
        self.message, self.warning = listener.message, listener.warning
