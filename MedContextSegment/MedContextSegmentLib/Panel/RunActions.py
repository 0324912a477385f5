"""What a click of *Segment* and of *Redo this region* does, up to the message about what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Panel.EditorLink import EditorLink
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Run.RunInputs import SegmentRequest
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Run.SegmentationRun import DONE
from MedContextSegmentLib.Run.SequenceRun import SequenceRun
from MedContextSegmentLib.Worker.WorkerTexts import isOutOfMemory, withoutLowMemoryHint


class RunActions:
    """Begins runs for a panel.

    Args:
        logic: a :class:`Logic.MedContextSegmentLogic`.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        control: keeps the run going.
        editor: the embedded segment editor.
        onDone: called with each run that gave a result.
    """

    def __init__(
        self,
        logic: Any,
        settings: Any,
        install: Any,
        control: RunControl,
        editor: EditorLink,
        onDone: Callable[[Any], None],
    ) -> None:
        self._logic, self._settings, self._install = logic, settings, install
        self._control, self._editor, self._onDone = control, editor, onDone
        self.outcome = ""

    def segment(self, makeRequest: Callable[[], SegmentRequest], allFrames: bool = False) -> None:
        """Segment, after installing what is missing; tells what went wrong.

        Args:
            makeRequest: gives what is asked for, or raises why it cannot be.
            allFrames: whether the whole sequence is asked for.
        """
        try:
            request = self._completed(makeRequest())
            if self._install.ensureInstalled():
                self._start(request, allFrames)
        except MedContextError as error:
            self._tell(error)

    def _completed(self, request: SegmentRequest) -> SegmentRequest:
        """With the settings of this machine."""
        settings = self._settings
        return replace(
            request,
            certainty=settings.certainty,
            device=settings.device,
            precision=settings.precision,
            lowMemory=settings.lowMemory,
        )

    def _start(self, request: SegmentRequest, allFrames: bool) -> None:
        self.outcome = ""

        def begin(listener: RunListener) -> Any:
            if allFrames:  # each frame is a node of its own, which the editor does not know
                return SequenceRun(self._logic.start, request, listener)
            target = request.segmentation
            return self._logic.start(
                request,
                listener,
                self._editor.node,
                None if target is None else lambda: self._editor.saveStateForUndo(target),
            )

        self._control.start(begin, lambda run: self._ended(run, allFrames))

    def _ended(self, run: Any, allFrames: bool) -> None:
        if run.segmentationNode is not None:
            self._onDone(run)
        if run.state == DONE:
            self.outcome = self._summary(run)
        elif isinstance(run.error, CancelledError):
            self.outcome = run.error.message
        elif isOutOfMemory(run.error) and not run.request.lowMemory:
            self.outcome = run.error.message
            if self._offerLowMemory(run.error):
                self._settings.lowMemory = True
                # Frames that were finished are kept: the others join them, in the same segmentation.
                target = run.segmentationNode or run.request.segmentation
                self._again(replace(run.request, lowMemory=True, segmentation=target), allFrames)
        else:
            self._tell(withoutLowMemoryHint(run.error) if run.request.lowMemory else run.error)

    def _again(self, request: SegmentRequest, allFrames: bool) -> None:
        try:
            self._start(request, allFrames)
        except MedContextError as error:
            self._tell(error)

    def _offerLowMemory(self, error: MedContextError) -> bool:
        text = _("{problem} Try again with the low-memory plan? It is slower and needs less memory.")
        return bool(
            slicer.util.confirmOkCancelDisplay(text.format(problem=error.message), _("Memory ran out"))
        )

    def _tell(self, error: MedContextError) -> None:
        self.outcome = error.message
        slicer.util.errorDisplay(str(error))

    def _summary(self, run: Any) -> str:
        """One line on a run that went well, and what it had to say."""
        lines = list(self._control.notes)
        if run.result is None:
            lines.insert(0, _("All frames are segmented."))
        else:
            found = sum(1 for label in run.result.labels if label.voxels)
            seconds = sum(run.result.seconds.values())
            if run.request.redo is not None:
                text = _("The region was done again in {seconds:.1f} s on {device}.")
            else:
                text = _("{count} of {total} labels found in {seconds:.1f} s on {device}.")
            total = len(run.result.labels)
            lines.insert(0, text.format(count=found, total=total, seconds=seconds, device=run.result.device))
        return "\n".join(lines)
