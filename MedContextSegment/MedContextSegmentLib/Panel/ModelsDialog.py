"""The dialog *Models*: what is in the library, and how models come into it and out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.cards import CardSummary, user_models
from medcontext.disk import folder_size, size_text
from MedContextSegmentLib.Learn.ModelRequest import ModelRequest
from MedContextSegmentLib.Panel.CatalogueDialog import CatalogueDialog
from MedContextSegmentLib.Panel.Dialogs import makeDialog, runDialog
from MedContextSegmentLib.Panel.DropTarget import DropTarget, anything
from MedContextSegmentLib.Panel.Later import Later
from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog
from MedContextSegmentLib.Panel.ModelsTable import ModelsTable
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Run.Models import modelKey
from MedContextSegmentLib.Setup.FoundModel import ArrivedModel
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

WIDTH = 760
ZIP = ".zip"


class ModelsDialog:
    """Shows the library.

    Args:
        models: gives the cards of all models.
        settings: a :class:`Settings.Settings`, which keeps the catalogue that was read last.
        worker: checks, imports, exports, downloads and removes models.
        onArrived: called with each model that was imported.

    Attributes:
        sizing: whether the sizes of the models are still being found out.
    """

    def __init__(
        self,
        models: Callable[[], Sequence[CardSummary]],
        settings: Any,
        worker: WorkerProcess,
        onArrived: Callable[[ArrivedModel], None],
    ) -> None:
        self._models, self._settings, self._worker = models, settings, worker
        self._onArrived = onArrived
        self._outcome = self._space = ""
        self.dialog, self.ui = makeDialog("Models", _("Models"))
        ui = self.ui
        self.dialog.resize(WIDTH, self.dialog.height)
        self.control = RunControl(ui.modelsProgressBar, self._show, self._show)
        self.table = ModelsTable(ui.modelsTable, self._show)
        self._sizes = Later(self._sized)
        self._drop = DropTarget(self.dialog, anything, self.bring)
        ui.importFileButton.connect("clicked()", self._bringFile)
        ui.importFolderButton.connect("clicked()", self._bringFolder)
        ui.catalogueButton.connect("clicked()", self._bringFromCatalogue)
        ui.exportModelButton.connect("clicked()", self._export)
        ui.removeModelButton.connect("clicked()", self._remove)
        ui.modelsCancelButton.connect("clicked()", self.control.cancel)
        ui.modelsButtonBox.connect("rejected()", self.dialog.reject)
        self.refresh()
        self._show()

    @property
    def sizing(self) -> bool:
        """Whether the sizes of the models are still being found out."""
        return self._sizes.busy

    def show(self) -> None:
        """Show the dialog until it is closed."""
        try:
            runDialog(self.dialog)
        finally:
            self._drop.stop()
            self._sizes.stop()
            self.control.forget()

    def refresh(self, select: str = "") -> None:
        """Show what the library holds now, and select a model."""
        cards = list(self._models())
        self.table.show(cards, select)
        folders, library = [card.folder for card in cards], user_models()

        def measure() -> tuple[dict[Path, int], int]:
            return {folder: folder_size(folder) for folder in folders}, folder_size(library)

        self._sizes.begin(measure)

    def bring(self, source: Path) -> None:
        """Look at a file or folder, ask, and import it."""
        if self.control.running:
            return
        arrived = ModelImportDialog(source, self._worker).ask()
        if arrived is not None:
            self._arrive(arrived)
        self._show()

    def _arrive(self, model: ArrivedModel) -> None:
        self._onArrived(model)
        self._outcome = model.text
        self.refresh(model.key)

    def _bringFromCatalogue(self) -> None:
        CatalogueDialog(self._settings, self._worker, self._arrive).show()
        self._show()

    def _bringFile(self) -> None:
        kinds = _("Models ({endings});;All files (*)").format(
            endings="*.zip *.pth *.pt *.ts *.ckpt *.safetensors"
        )
        chosen = _chosen(qt.QFileDialog.getOpenFileName(self.dialog, _("Import a model"), "", kinds))
        if chosen:
            self.bring(Path(chosen))

    def _bringFolder(self) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(self.dialog, _("Import a model"))
        if chosen:
            self.bring(Path(chosen))

    def _export(self) -> None:
        card = self.table.selected()
        if card is None or self.control.running:
            return
        title = _("Export the model")
        asked = qt.QFileDialog.getSaveFileName(self.dialog, title, f"{card.id}{ZIP}", f"*{ZIP}")
        chosen = _chosen(asked)
        if not chosen:
            return
        path = Path(chosen) if chosen.lower().endswith(ZIP) else Path(f"{chosen}{ZIP}")
        if str(path) != chosen and path.exists():  # the file dialog asked about another name
            text = _("{file} exists already and will be replaced.")
            if not slicer.util.confirmOkCancelDisplay(text.format(file=path), title):
                return
        fields = {"model": str(card.folder), "output": str(path), "replace": True}
        self._ask("export_model", fields, _("Written: {files}").format(files=path))

    def _remove(self) -> None:
        card = self.table.selected()
        if card is None or card.bundled or self.control.running:
            return
        text = _("Remove the model '{title}' ({id}) from the library? Its files are deleted.")
        if slicer.util.confirmOkCancelDisplay(text.format(title=card.title, id=modelKey(card)), _("Remove")):
            done = _("The model '{title}' was removed.").format(title=card.title)
            self._ask("remove_model", {"model": card.folder.name}, done)

    def _ask(self, kind: str, fields: dict[str, Any], done: str) -> None:
        """Let the worker do something, and say what became of it."""

        def ended(run: Any) -> None:
            self._outcome = done if run.error is None else str(run.error)
            self.refresh()

        self.control.start(lambda listener: ModelRequest(self._worker, kind, fields, listener), ended)

    def _sized(self, sizes: Any) -> None:
        byFolder, total = sizes
        self.table.showSizes(byFolder)
        self._space = _("Your library takes {size}.").format(size=size_text(total))
        self.ui.modelsStatusLabel.toolTip = str(user_models())
        self._show()

    def _show(self) -> None:
        ui, running, card = self.ui, self.control.running, self.table.selected()
        for button in (ui.importFileButton, ui.importFolderButton, ui.catalogueButton):
            button.enabled = not running
        ui.exportModelButton.enabled = not running and card is not None and card.problem is None
        ui.removeModelButton.enabled = not running and card is not None and not card.bundled
        ui.modelsCancelButton.setVisible(running)
        ui.modelsCancelButton.enabled = not self.control.cancelling
        text = self.control.text if running else self._outcome or self._space
        showText(ui.modelsStatusLabel, text)


def _chosen(answer: Any) -> str:
    """The path that a file dialog gave, which some versions put into a tuple."""
    return str((answer[0] if isinstance(answer, tuple) else answer) or "")
