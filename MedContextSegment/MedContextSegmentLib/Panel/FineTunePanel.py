"""*Fine-tune*: a model learns from the cases, and is chosen when it is done."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from slicer.i18n import tr as _

from MedContextSegmentLib.Learn.Curve import Look
from MedContextSegmentLib.Learn.FineTuneJob import WORSE, FineTuneJob
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Panel.FineTuneOptions import FineTuneOptions
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.ModelSwitch import ModelSwitch
from MedContextSegmentLib.Panel.TrainingPanel import TrainingPanel
from MedContextSegmentLib.Panel.TrainingPart import TrainingWords


class FineTunePanel(TrainingPanel):
    """See :class:`TrainingPanel.TrainingPanel`.

    Args:
        ui: the widgets of FineTune.ui and Training.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled(purpose=...)``, see :mod:`Install`.
        context: the panel around.
    """

    KIND: ClassVar[type[LearningJob]] = FineTuneJob

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        self._chosenAt = float("-inf")  # since when another model is not chosen without a person
        self.switch = ModelSwitch(ui.resultButton, context, self._switched)
        ui.comparisonLabel.toolTip = _("The new model and the one it came from on one scan.")
        words = TrainingWords(
            title=_("Fine-tune"),
            start=_("Learn from these cases."),
            stop=_("Stop and keep best"),
            stopTip=_("End now with the best that it has so far."),
            preview=_("What it can do so far, on one scan: drawn by a person and found by the model."),
        )
        options = FineTuneOptions(ui, settings, context, self.update)
        super().__init__(ui, logic, install, context, options, words)

    def modelChosen(self) -> None:
        """The model of now stays: what ended before, and is found later, does not replace it."""
        self._chosenAt = time.time()

    def _look(self) -> Look:
        store, job = self._context.store(), self.job
        title = _("Dice, held out: {name}") if job.scoresAreHeldOut else _("Dice, set aside: {name}")
        labels = store.labels if store is not None else ()
        return Look(title=title, colors={label.name: label.color for label in labels})

    def _showResult(self, result: Any) -> None:
        self.switch.show(result)

    def _delivered(self, job: Any) -> None:
        self._context.refreshCases()
        result = job.result
        newer = self._followed or (job.job.ended or 0.0) > self._chosenAt
        if newer and result.word != WORSE and result.card.problem is None:
            self._context.selectModel(result.key)
            self.modelChosen()

    def _dismiss(self) -> None:
        self.modelChosen()
        super()._dismiss()

    def _switched(self) -> None:
        self.modelChosen()
        self.update()
