"""The dialog that reads a catalogue which a person names, and downloads a model of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.disk import size_text
from MedContextSegmentLib.Learn.ModelRequest import ModelRequest
from MedContextSegmentLib.Panel.Dialogs import makeDialog, runDialog
from MedContextSegmentLib.Panel.QtHelpers import quiet, showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Setup.FoundModel import ArrivedModel
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

WIDTH = 760
TITLE, LABELS, MODALITY, LICENCE, SIZE = range(5)


class CatalogueDialog:
    """Nothing is fetched before a person clicks *Read* and *Download*.

    Args:
        settings: a :class:`Settings.Settings`, which keeps the catalogue that was read last.
        worker: reads and downloads.
        onArrived: called with each model that was downloaded.
    """

    def __init__(
        self, settings: Any, worker: WorkerProcess, onArrived: Callable[[ArrivedModel], None]
    ) -> None:
        self._settings, self._worker, self._onArrived = settings, worker, onArrived
        self._source = self._outcome = ""
        self._models: list[Mapping[str, Any]] = []
        self.dialog, self.ui = makeDialog("Catalogue", _("Download a model"))
        ui = self.ui
        self.dialog.resize(WIDTH, self.dialog.height)
        self.control = RunControl(ui.catalogueProgressBar, self._show, self._show)
        table = ui.catalogueTable
        titles = [_("Model"), _("Structures"), _("Modality"), _("License"), _("Download")]
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(titles)
        table.verticalHeader().setVisible(False)
        for column in range(len(titles)):
            wide = column in (TITLE, LABELS)
            mode = qt.QHeaderView.Stretch if wide else qt.QHeaderView.ResizeToContents
            table.horizontalHeader().setSectionResizeMode(column, mode)
        table.connect("itemSelectionChanged()", self._show)
        ui.catalogueSourceEdit.text = settings.catalogue
        ui.catalogueSourceEdit.connect("textChanged(QString)", self._show)
        ui.catalogueSourceEdit.connect("returnPressed()", self._read)
        ui.readCatalogueButton.connect("clicked()", self._read)
        ui.downloadModelButton.connect("clicked()", self._download)
        ui.catalogueCancelButton.connect("clicked()", self.control.cancel)
        ui.catalogueButtonBox.connect("rejected()", self.dialog.reject)
        self._show()

    def show(self) -> None:
        """Show the dialog until it is closed; a download that still goes on is stopped and can be gone on with."""
        try:
            runDialog(self.dialog)
        finally:
            self.control.forget()

    def _read(self) -> None:
        source = self.ui.catalogueSourceEdit.text.strip()
        if not source or self.control.running:
            return

        def ended(run: Any) -> None:
            self._source, self._outcome = source, "" if run.error is None else str(run.error)
            self._fill(run.result["models"] if run.error is None else [])
            if run.error is None:
                self._settings.catalogue = source

        self._ask("catalogue", {"source": source}, ended)

    def _download(self) -> None:
        model = self._selected()
        if model is None or self.control.running:
            return

        def ended(run: Any) -> None:
            if run.error is not None:
                self._outcome = str(run.error)
                return
            key = f"{run.result['model']}@{run.result['version']}"
            arrived = ArrivedModel(key, str(model["title"]), str(run.result["kind"]))
            self._outcome = arrived.text
            self._fill(
                [dict(entry) | {"installed": entry["installed"] or entry == model} for entry in self._models]
            )
            self._onArrived(arrived)

        wanted = f"{model['id']}@{model['version']}"
        self._ask("download_model", {"source": self._source, "model": wanted}, ended)

    def _ask(self, kind: str, fields: dict[str, Any], ended: Callable[[Any], None]) -> None:
        self._outcome = ""
        self.control.start(lambda listener: ModelRequest(self._worker, kind, fields, listener), ended)

    def _fill(self, models: list[Mapping[str, Any]]) -> None:
        self._models = models
        table = self.ui.catalogueTable
        with quiet(table):
            table.setRowCount(0)
            table.setRowCount(len(models))
            for row, model in enumerate(models):
                size = _("in the library") if model["installed"] else size_text(int(model["size"]))
                labels, modality = ", ".join(model["labels"]), ", ".join(dict.fromkeys(model["modality"]))
                texts = (str(model["title"]), labels, modality, str(model["licence"]), size)
                toolTip = "\n".join(str(model[key]) for key in ("homepage", "citation") if model[key])
                for column, text in enumerate(texts):
                    item = qt.QTableWidgetItem(text)
                    item.setToolTip(toolTip or text)
                    table.setItem(row, column, item)

    def _selected(self) -> Mapping[str, Any] | None:
        rows = [index.row() for index in self.ui.catalogueTable.selectionModel().selectedRows()]
        return self._models[rows[0]] if rows else None

    def _show(self, _what: Any = None) -> None:
        ui, running, model = self.ui, self.control.running, self._selected()
        ui.catalogueSourceEdit.enabled = not running
        ui.readCatalogueButton.enabled = not running and bool(ui.catalogueSourceEdit.text.strip())
        ui.downloadModelButton.enabled = not running and model is not None and not model["installed"]
        ui.catalogueCancelButton.setVisible(running)
        ui.catalogueCancelButton.enabled = not self.control.cancelling
        showText(ui.catalogueStatusLabel, self.control.text if running else self._outcome)
