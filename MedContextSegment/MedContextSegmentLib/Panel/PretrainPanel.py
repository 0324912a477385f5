"""*Pre-train on these scans*: an encoder learns from scans without labels, for Fine-tune to start from."""

from __future__ import annotations

from typing import Any, ClassVar

from slicer.i18n import tr as _

from MedContextSegmentLib.Learn.Curve import Look
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Learn.PretrainJob import PretrainJob
from MedContextSegmentLib.Learn.Signals import signalLook
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.PretrainOptions import PretrainOptions
from MedContextSegmentLib.Panel.TrainingPanel import TrainingPanel
from MedContextSegmentLib.Panel.TrainingPart import TrainingWords


class PretrainPanel(TrainingPanel):
    """See :class:`TrainingPanel.TrainingPanel`.

    Args:
        ui: the widgets of Pretrain.ui and Training.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled(purpose=...)``, see :mod:`Install`.
        context: the panel around.
    """

    KIND: ClassVar[type[LearningJob]] = PretrainJob

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        ui.resultButton.text = _("Fine-tune from it")
        ui.resultButton.toolTip = _("Choose the encoder in Fine-tune below.")
        ui.resultButton.connect("clicked()", self._useEncoder)
        words = TrainingWords(
            title=_("Pre-train"),
            start=_(
                "Learn from these scans without their labels. The encoder that comes out cannot segment: "
                "Fine-tune starts from it, which may help where few cases are annotated, and may not."
            ),
            stop=_("Stop and keep"),
            stopTip=_("End now with what it has learnt so far."),
            preview=_("What it finds out so far on a few crops of scans, beside what is right."),
        )
        options = PretrainOptions(ui, settings, context, self.update)
        super().__init__(ui, logic, install, context, options, words)

    def _look(self) -> Look:
        return signalLook()

    def _showResult(self, result: Any) -> None:
        self._ui.resultButton.setVisible(result is not None and result.card.problem is None)

    def _useEncoder(self) -> None:
        result = self.job.result if self.job is not None else None
        if result is not None:
            self._context.startFrom(result.key)
