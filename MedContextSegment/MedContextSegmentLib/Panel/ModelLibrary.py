"""The button *Models...* of the panel, and models that are dropped on the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medcontext.cards import CardSummary
from MedContextSegmentLib.Panel.DropTarget import DropTarget, looksLikeModel
from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog
from MedContextSegmentLib.Panel.ModelsDialog import ModelsDialog
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Run.Models import SEGMENTATION
from MedContextSegmentLib.Setup.FoundModel import ArrivedModel


class ModelLibrary:
    """Opens the dialogs about models and tells the panel what changed.

    Args:
        host: the :class:`Widget.SegmentWidget`; its other parts are complete when something is clicked.
        root: the widget that models are dropped on.
        collaborators: see :class:`Widget.Collaborators`.
    """

    def __init__(self, host: Any, root: Any, collaborators: Any) -> None:
        self._host, self._with, self._ui = host, collaborators, host.ui
        self._drop = DropTarget(root, looksLikeModel, self.bring)
        self._ui.modelsButton.connect("clicked()", self.open)
        self.say("")

    def open(self) -> None:
        """Show the list of models."""
        self.say("")
        if self._with.install.ensureInstalled():
            host = self._host
            ModelsDialog(self._models, host.settings, host.logic.worker, self._arrived).show()
            self._host.refresh()

    def bring(self, source: Path) -> None:
        """Look at a file or folder, ask, and import it."""
        self.say("")
        if self._ui.modelsButton.enabled and self._with.install.ensureInstalled():
            arrived = ModelImportDialog(source, self._host.logic.worker).ask()
            if arrived is not None:
                self._arrived(arrived)

    def setEnabled(self, enabled: bool) -> None:
        """Whether models can come and go; not during a run."""
        self._ui.modelsButton.enabled = enabled

    def say(self, text: str) -> None:
        """Show a sentence below the model; "" takes it away."""
        showText(self._ui.modelsOutcomeLabel, text)

    def stop(self) -> None:
        """The panel goes away."""
        self._drop.stop()

    def _models(self) -> list[CardSummary]:
        return [*self._with.models(), *self._with.encoders()]

    def _arrived(self, model: ArrivedModel) -> None:
        self._host.refresh()
        if model.kind == SEGMENTATION:
            self._host.learn.context.selectModel(model.key)
        self.say(model.text)
