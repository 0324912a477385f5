"""*Learn from this correction*: a button, a look at what came of it, and the way back."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medcontext.cards import CardSummary
from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Learn.Correction import SECONDS, CorrectionRun, Learnt
from MedContextSegmentLib.Learn.CorrectionReasons import correctionReason, correctionRequest
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Run.SegmentationRun import DONE


class CorrectionPanel(VTKObservationMixin):
    """What stands in *Review* below the segment editor.

    Args:
        ui: the widgets of Correction.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker learns.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.

    Attributes:
        control: keeps the run going.
        seconds: time for learning.
    """

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._logic, self._settings, self._install = ui, logic, settings, install
        self._context = context
        self._models: list[CardSummary] | None = None
        self._run: CorrectionRun | None = None
        self._observed: Any = None
        self._outcome = ""
        self.seconds = SECONDS
        self.control = RunControl(ui.correctionProgressBar, self.update, self.update)
        ui.correctionButton.connect("clicked()", self._startOrCancel)
        ui.undoCorrectionButton.connect("clicked()", self.undo)
        ui.keepCorrectionButton.connect("clicked()", self.keep)
        ui.correctionCaseButton.connect("clicked()", self.keepAsCase)

    @property
    def previewing(self) -> bool:
        """Whether the segmentation under review shows what was learnt and can still be put back."""
        run = self._run
        shown = run is not None and run.request.segmentation is self._context.segmentation()
        return shown and run is not None and run.canTakeBack and not self.control.running

    def refresh(self) -> None:
        """The library may hold other models now."""
        self._models = None
        self.update()

    def update(self) -> None:
        """Show what can be done, and why not."""
        ui, running, busy = self._ui, self.control.running, self._context.busy()
        self._observe(self._context.segmentation())
        if running and busy and self._run is not None:
            self._run.giveWay()  # a person waits for a segmentation now, and the worker does one thing at a time
        if not running:
            self._keepWhatPeopleDo()
        reason = "" if running else self._reason()
        button = ui.correctionButton
        button.text = _("Cancel") if running else _("Learn from this correction")
        button.enabled = not self.control.cancelling if running else not reason
        tip = _(
            "Let the model learn for half a minute from what you corrected in this scan, and segment the scan "
            "again. What you corrected stays as it is, and so does the model in the library."
        )
        button.toolTip = _("Stop; nothing is changed.") if running else reason or tip
        previewing = self.previewing
        ui.correctionPreviewArea.setVisible(previewing)
        for name in ("undoCorrectionButton", "keepCorrectionButton", "correctionCaseButton"):
            getattr(ui, name).enabled = previewing and not busy
        text = "\n".join([self.control.text, *self.control.notes]) if running else self._outcome
        showText(ui.correctionStatusLabel, text.strip() or (reason if self._observed is not None else ""))

    def setParameters(self, _parameters: Any) -> None:
        """Nothing of it is kept in the scene."""

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        self._observe(None)
        if self._run is not None:
            self._run.keep()
        self.control.cancel()
        self._outcome = ""

    def stop(self) -> None:
        """The panel goes away; what is shown stays."""
        self.control.forget()
        self._run = None
        self._observe(None)

    def undo(self) -> None:
        """Put the segmentation back as it was before learning."""
        if self._run is not None and self._run.takeBack():
            self._outcome = _("The segments are again as you had corrected them.")
        else:
            self._outcome = _wentOn()
        self.update()

    def keep(self) -> None:
        """What is shown stays."""
        if self._run is not None:
            self._run.keep()
        self._outcome = ""
        self.update()

    def keepAsCase(self) -> None:
        """What is shown stays, and is added to the case store."""
        self.keep()
        self._context.addCase()

    def _reason(self) -> str:
        if self._context.busy():
            return _("Wait for the segmentation that is running.")
        if self._models is None:
            self._models = self._context.models()
        return correctionReason(self._context.segmentation(), self._context.volumes(), self._models)

    def _startOrCancel(self) -> None:
        if self.control.running:
            self.control.cancelByClick()
            return
        self._models = None
        try:
            if not self._reason() and self._install.ensureInstalled():
                self._start()
        except MedContextError as error:
            self._tell(error)
        self.update()

    def _start(self) -> None:
        node, editor = self._context.segmentation(), self._context.editor
        request = correctionRequest(
            node,
            self._context.volumes(),
            self._models or [],
            device=self._settings.device,
            precision=self._settings.precision,
            seconds=self.seconds,
            editorNode=editor.node,
            saveStateForUndo=lambda: editor.saveStateForUndo(node),
        )
        if request is None:
            return
        if self._run is not None:
            self._run.keep()  # the person went on from what was shown
        self._outcome = ""

        def begin(listener: RunListener) -> CorrectionRun:
            self._run = CorrectionRun(self._logic.worker, request, listener, self._logic.exchangeRoot)
            return self._run

        self.control.start(begin, self._ended)

    def _ended(self, run: CorrectionRun) -> None:
        if run.state == DONE:
            self._outcome = "\n".join([_summary(run.result), *run.result.notes])
        elif isinstance(run.error, CancelledError):
            self._outcome = run.error.message
        elif run.error is not None:
            self._tell(run.error)

    def _tell(self, error: MedContextError) -> None:
        self._outcome = error.message
        slicer.util.errorDisplay(str(error))

    def _observe(self, segmentationNode: Any) -> None:
        """Hear of strokes: a segment that changes may be a correction."""
        segmentation = segmentationNode.GetSegmentation() if segmentationNode is not None else None
        if segmentation is self._observed:
            return
        self.removeObservers()
        self._observed = segmentation
        if segmentation is not None:
            kind = slicer.vtkSegmentation
            for event in (kind.SourceRepresentationModified, kind.SegmentAdded, kind.SegmentRemoved):
                self.addObserver(segmentation, event, self._segmentsChanged)

    def _segmentsChanged(self, _caller: Any, _event: Any) -> None:
        if not self.control.running:
            self.update()

    def _keepWhatPeopleDo(self) -> None:
        """Who paints on what is shown keeps it: going back would take the strokes away, too."""
        run = self._run
        if run is not None and run.previewing and not run.canTakeBack:
            run.keep()
            self._outcome = _wentOn()


def _wentOn() -> str:
    return _(
        "The segments were changed since, and what was learnt is no longer taken back here: "
        "Undo in the segment editor goes back step by step."
    )


def _summary(learnt: Learnt) -> str:
    if not learnt.changedVoxels:
        return _("The model learnt nothing that changes more of this scan.")
    text = _("{volume} mL changed in {seconds:.0f} s. Look at the segments, then keep or undo.")
    return text.format(volume=f"{learnt.volumeMl:.3g}", seconds=learnt.seconds)
