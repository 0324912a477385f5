"""The dialog that shows what is in a file or folder, lets a person say more about it, and imports it as a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.labels import Label
from MedContextSegmentLib.Learn.ModelRequest import ModelRequest
from MedContextSegmentLib.Panel.Dialogs import makeDialog, runDialog
from MedContextSegmentLib.Panel.ImportLabels import ImportLabels
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet, showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Setup.FoundModel import (
    CONFIGURATION,
    FOLDS,
    ORIENTATIONS,
    STORED,
    ArrivedModel,
    FoundModel,
    ImportChoices,
)
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

WIDTH = 560


class ModelImportDialog:
    """Asks the worker what is there, shows it, and imports it when that is wanted; Slicer stays responsive.

    Args:
        source: the file or folder.
        worker: what looks at it and imports it.

    Attributes:
        found: what is there; None while the worker looks, or where it is nothing that can be used.
        arrived: the model, once it is in the library; None before.
    """

    def __init__(self, source: Path, worker: WorkerProcess) -> None:
        self._source, self._worker = source, worker
        self.found: FoundModel | None = None
        self.arrived: ArrivedModel | None = None
        self._problem = ""
        self._importing = False
        self._title = self._id = ""  # as they were proposed
        self._folds: list[Any] = []
        self._asksOrientation = False
        self.dialog, self.ui = makeDialog("ModelImport", _("Import model"))
        ui = self.ui
        self.dialog.resize(WIDTH, self.dialog.height)
        ui.importSourceNameLabel.text, ui.importSourceNameLabel.toolTip = source.name, str(source)
        self.control = RunControl(ui.importProgressBar, self._show, self._show)
        self.labels = ImportLabels(ui.importLabelsTable, self._said, self._named)
        items = [(_("as stored in their files"), STORED, "")] + [(code, code, "") for code in ORIENTATIONS]
        fillCombo(ui.importOrientationSelector, items, STORED)
        self._ok = ui.importButtonBox.button(qt.QDialogButtonBox.Ok)
        self._ok.text = _("Import")
        for edit in (ui.importTitleEdit, ui.importIdEdit):
            edit.connect("textChanged(QString)", self._said)
        ui.importConfigurationSelector.connect("currentIndexChanged(int)", self._inspect)
        ui.importButtonBox.connect("accepted()", self._import)
        ui.importButtonBox.connect("rejected()", self._cancel)
        self._fill(FoundModel(form=""))
        self._inspect()

    def ask(self) -> ArrivedModel | None:
        """Show the dialog; None when the person gave up."""
        try:
            runDialog(self.dialog)
            return self.arrived
        finally:
            self.control.forget()

    def choices(self) -> ImportChoices:
        """What the dialog says now; what nobody changed is left to the source."""
        ui, found = self.ui, self.found
        orientation = comboData(ui.importOrientationSelector)
        title, id = ui.importTitleEdit.text.strip(), ui.importIdEdit.text.strip()
        boxes = [(box.text, bool(box.checked)) for box in self._folds]
        chosen = tuple(name for name, checked in boxes if checked)
        return ImportChoices(
            id=id if id != self._id else "",
            title=title if title != self._title else "",
            configuration=comboData(ui.importConfigurationSelector),
            folds=chosen if len(chosen) < len(boxes) else (),
            orientation=orientation if orientation != STORED else "",
            labels=self.labels.changed() if found is not None else (),
        )

    def reason(self) -> str:
        """Why it cannot be imported like this, as a sentence; "" when it can."""
        if self.control.running and self.found is None:
            return _("Looking at {name}...").format(name=self._source.name)
        if self.control.running:
            return self.control.text
        if self.found is None:
            return self._problem
        if self._folds and not any(box.checked for box in self._folds):
            return _("Tick at least one fold.")
        if not self.ui.importTitleEdit.text.strip() or not self.ui.importIdEdit.text.strip():
            return _("Give the model a title and an id.")
        return self.labels.problem()

    def _inspect(self, _what: Any = None) -> None:
        """Ask the worker what is there, given the choices."""
        if self.control.running:
            self.control.forget()
        self._problem = ""
        fields = self.choices().inspection(self._source)
        self.found = None
        self.control.start(
            lambda listener: ModelRequest(self._worker, "inspect_model", fields, listener), self._inspected
        )

    def _inspected(self, run: Any) -> None:
        if run.error is not None:
            self._problem = str(run.error)
            self.found = None
            return
        found = FoundModel.fromAnswer(run.result)
        kept = self.choices()
        self.found = found
        self._title, self._id = found.title, found.id
        self._fill(found)
        with quiet(self.ui.importTitleEdit, self.ui.importIdEdit):
            self.ui.importTitleEdit.text = kept.title or found.title
            self.ui.importIdEdit.text = kept.id or found.id

    def _import(self) -> None:
        if self.reason():
            return
        self._problem, self._importing = "", True
        fields = self.choices().request(self._source)
        self.control.start(
            lambda listener: ModelRequest(self._worker, "import_model", fields, listener), self._imported
        )

    def _imported(self, run: Any) -> None:
        self._importing = False
        if run.error is not None:
            self._problem = str(run.error)
            return
        answer = run.result
        key = f"{answer['model']}@{answer['version']}"
        self.arrived = ArrivedModel(key, str(answer["title"]), str(answer["kind"]))
        self.dialog.accept()

    def _cancel(self) -> None:
        """*Cancel*: stop what is being written, else go away."""
        if self._importing and self.control.running:
            self.control.cancel()
        else:
            self.dialog.reject()

    def _named(self, label: Label) -> None:
        """A person named a structure: there may be a colour and a code for it."""
        if self.control.running:
            return
        fields = {"labels": [{"value": label.value, "name": label.name}]}
        self.control.start(
            lambda listener: ModelRequest(self._worker, "propose_labels", fields, listener), self._proposed
        )

    def _proposed(self, run: Any) -> None:
        for entry in run.result["labels"] if run.error is None else ():
            self.labels.propose(Label.from_json(entry))

    def _fill(self, found: FoundModel) -> None:
        ui = self.ui
        ui.importFormText.text = ", ".join(part for part in (found.form, found.input) if part)
        self._offerConfigurations(found)
        self._offerFolds(found)
        self._asksOrientation |= found.orientation == STORED
        ui.importOrientationLabel.setVisible(self._asksOrientation)
        ui.importOrientationSelector.setVisible(self._asksOrientation)
        ui.importLabelsArea.setVisible(bool(found.labels))
        self.labels.show(found.labels)
        ui.importNotesEdit.setPlainText("\n".join(found.notes))
        ui.importNotesEdit.setVisible(bool(found.notes))

    def _offerConfigurations(self, found: FoundModel) -> None:
        """A choice of one is none."""
        combo, names = self.ui.importConfigurationSelector, found.choices.get(CONFIGURATION, ())
        if combo.count == 0:
            taken = next(iter(found.chosen.get(CONFIGURATION, ())), "")
            fillCombo(combo, [(name, name, "") for name in names], taken)
        several = combo.count > 1
        self.ui.importConfigurationLabel.setVisible(several)
        combo.setVisible(several)

    def _offerFolds(self, found: FoundModel) -> None:
        """A box for each of several."""
        area, names = self.ui.importFoldsArea, found.choices.get(FOLDS, ())
        wanted = list(names) if len(names) > 1 else []
        if [box.text for box in self._folds] != wanted:
            for box in self._folds:
                area.layout().removeWidget(box)
                box.deleteLater()
            self._folds = [qt.QCheckBox(name) for name in wanted]
            for box in self._folds:
                box.checked = box.text in found.chosen.get(FOLDS, names)
                box.connect("toggled(bool)", self._said)
                area.layout().addWidget(box)
        self.ui.importFoldsLabel.setVisible(bool(wanted))
        area.setVisible(bool(wanted))

    def _said(self, _what: Any = None) -> None:
        """A person said something else: what was wrong before is not known to be wrong now."""
        if self.found is not None:
            self._problem = ""
        self._show()

    def _show(self, _what: Any = None) -> None:
        running, reason = self.control.running, self.reason()
        free = self.found is not None and not self._importing
        self.ui.importArea.enabled = free
        self.ui.importLabelsArea.enabled = free and not (self.found is not None and self.found.fixed)
        self._ok.enabled = not running and not reason and self.found is not None
        showText(self.ui.importStatusLabel, reason or self._problem)
