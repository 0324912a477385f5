"""What to segment, with what, and what each scan becomes: the choices of *Batch*, and why they cannot be followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedContextSegmentLib.Batch.BatchCommand import (
    DICOM_SEG,
    FORMATS,
    NIFTI,
    OBJ,
    SEG_NRRD,
    STL,
    BatchRequest,
)
from MedContextSegmentLib.Batch.FolderReader import RunFacts
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.ModelChooser import ModelChooser
from MedContextSegmentLib.Panel.QtHelpers import quiet
from MedContextSegmentLib.Run.Models import modelKey
from MedContextSegmentLib.Setup.Packages import BATCH, DICOM, SURFACES

RESULTS = "segmented"


class BatchChoices:
    """Shows the choices, keeps them in the settings of this machine, and gives the request.

    Args:
        ui: the widgets of Batch.ui.
        settings: a :class:`Settings.Settings`.
        context: the panel around.
        onChanged: called when anything was chosen.
    """

    def __init__(self, ui: Any, settings: Any, context: LearnContext, onChanged: Callable[[], None]) -> None:
        self._ui, self._settings, self._context, self._onChanged = ui, settings, context, onChanged
        self._offered = ""  # what was offered as output folder
        self._picked = ""  # the model that a person chose; until then it is the one that segments
        self.models = ModelChooser(ui.batchModelSelector, self._modelChanged, context.models)
        self._formats = {
            SEG_NRRD: ui.batchSegNrrdCheckBox,
            NIFTI: ui.batchNiftiCheckBox,
            DICOM_SEG: ui.batchDicomSegCheckBox,
            STL: ui.batchStlCheckBox,
            OBJ: ui.batchObjCheckBox,
        }
        self._read()
        ui.batchInputEdit.connect("textChanged(QString)", self._inputChanged)
        ui.batchOutputEdit.connect("textChanged(QString)", self._outputChanged)
        further = (ui.batchCertaintyCheckBox, ui.batchIdentifiersCheckBox, ui.batchOverwriteCheckBox)
        for box in (*self._formats.values(), *further):
            box.connect("toggled(bool)", self._changed)
        ui.batchFolderButton.connect("clicked()", self._chooseFolder)
        ui.batchListButton.connect("clicked()", self._chooseList)
        ui.batchOutputButton.connect("clicked()", self._chooseOutput)

    @property
    def output(self) -> Path | None:
        """Folder for the results; None where none is chosen."""
        text = str(self._ui.batchOutputEdit.text).strip()
        return Path(text).expanduser().absolute() if text else None

    @property
    def formats(self) -> tuple[str, ...]:
        """What each scan becomes."""
        return tuple(name for name in FORMATS if self._formats[name].checked)

    @property
    def purposes(self) -> tuple[str, ...]:
        """What packages are needed for; see :mod:`Install`."""
        wanted = self.formats
        further = ((DICOM, DICOM_SEG in wanted), (SURFACES, STL in wanted or OBJ in wanted))
        return BATCH, *(purpose for purpose, needed in further if needed)

    def refresh(self) -> None:
        """List the models that the library holds now."""
        chosen = self._context.chosenModel()
        self.models.refresh(self._picked or (modelKey(chosen) if chosen is not None else ""))

    def reason(self) -> str:
        """Why no batch can begin, as a sentence; "" when one can. No drive is asked: the batch itself does that."""
        if not str(self._ui.batchInputEdit.text).strip():
            return _("Choose the scans: a folder, or a list of cases.")
        if self.output is None:
            return _("Choose the folder for the results.")
        if self.models.card is None:
            return _("There is no model that can be used: import one into the library.")
        if not self.formats:
            return _("Tick what to write.")
        return ""

    def request(self) -> BatchRequest:
        """What is chosen; only where :meth:`reason` says nothing."""
        output = self.output
        assert output is not None  # for the type checker: the caller asked
        return BatchRequest(
            input=str(self._ui.batchInputEdit.text).strip(),
            output=output,
            model=self.models.key,
            formats=self.formats,
            certaintyMap=bool(self._ui.batchCertaintyCheckBox.checked),
            keepIdentifiers=bool(self._ui.batchIdentifiersCheckBox.checked),
            device=self._settings.device,
            precision=self._settings.precision,
            overwrite=bool(self._ui.batchOverwriteCheckBox.checked),
        )

    def adopt(self, run: RunFacts) -> None:
        """Choose what an earlier batch was given, so that it can go on; nobody is told."""
        ui = self._ui
        edits = (ui.batchInputEdit, ui.batchCertaintyCheckBox, ui.batchIdentifiersCheckBox)
        with quiet(*edits, *self._formats.values()):
            ui.batchInputEdit.text = run.input  # never other scans into the same folder without a word
            for name, box in self._formats.items():
                box.checked = name in run.formats
            ui.batchCertaintyCheckBox.checked = run.certaintyMap
            ui.batchIdentifiersCheckBox.checked = run.keepIdentifiers
        if self.models.find(run.model) is not None:
            self._picked = run.model
            self.models.select(run.model)

    def setOutput(self, folder: Path) -> None:
        """Choose the folder for the results."""
        self._ui.batchOutputEdit.text = str(folder)

    def keep(self) -> None:
        """Remember what is chosen until the next start of Slicer, but not that results may be replaced."""
        self._replaceNothing()
        settings = self._settings
        settings.batchInput = str(self._ui.batchInputEdit.text).strip()
        settings.batchOutput = str(self._ui.batchOutputEdit.text).strip()
        settings.batchFormats = " ".join(self.formats)

    def _read(self) -> None:
        ui, settings = self._ui, self._settings
        ui.batchInputEdit.text, ui.batchOutputEdit.text = settings.batchInput, settings.batchOutput
        for name, box in self._formats.items():
            box.checked = name in settings.batchFormats.split()

    def _inputChanged(self, text: str) -> None:
        """Offer a folder beside the scans, unless a person chose one."""
        given, output = str(text).strip(), self._ui.batchOutputEdit
        if output.text in ("", self._offered):
            place = Path(given)
            self._offered = str(place.parent / f"{place.stem} {RESULTS}") if place.is_absolute() else ""
            with quiet(output):
                output.text = self._offered
        self._changed()

    def _outputChanged(self, _text: str) -> None:
        self._replaceNothing()
        self._changed()

    def _replaceNothing(self) -> None:
        """What a person allowed holds for one folder and one run."""
        with quiet(self._ui.batchOverwriteCheckBox):
            self._ui.batchOverwriteCheckBox.checked = False

    def _modelChanged(self) -> None:
        self._picked = self.models.key
        self._changed()

    def _changed(self, _what: Any = None) -> None:
        self._onChanged()

    def _chooseFolder(self) -> None:
        self._choose(self._ui.batchInputEdit, _("Folder of scans"))

    def _chooseOutput(self) -> None:
        self._choose(self._ui.batchOutputEdit, _("Folder for all results, or that of an earlier batch"))

    def _choose(self, edit: Any, title: str) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, edit.text)
        if chosen:
            edit.text = str(chosen)

    def _chooseList(self) -> None:
        edit, title = self._ui.batchInputEdit, _("List of cases, or one scan")
        chosen = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, edit.text)
        path = chosen[0] if isinstance(chosen, tuple) else chosen
        if path:
            edit.text = str(path)
