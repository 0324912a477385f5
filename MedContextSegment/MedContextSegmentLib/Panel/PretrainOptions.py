"""What an encoder learns from, how and for how long: the choices of *Pre-train*, and why they cannot be followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.case_list import StoreSummary
from MedContextSegmentLib.Learn.PretrainCommand import MAE, VOCO, PretrainRequest
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet, showText
from MedContextSegmentLib.Panel.TrainingChoices import TimeBudget, offerNetworks

MINUTES = ("15", "60")
KINDS = ("annotated", "unlabelled")
"""Of the cases of a store that are learnt from; the others are only ever scored."""

FEWEST_SCANS = 4
"""With fewer, none is set aside to see on it whether the encoder learns anything."""

VISIBLE_ROWS = 4


class PretrainOptions:
    """Shows the choices and gives the request.

    Args:
        ui: the widgets of Pretrain.ui.
        settings: a :class:`Settings.Settings`.
        context: the panel around.
        onChanged: called when anything was chosen.
    """

    def __init__(self, ui: Any, settings: Any, context: LearnContext, onChanged: Callable[[], None]) -> None:
        self._ui, self._settings, self._context, self._onChanged = ui, settings, context, onChanged
        self._folders: list[Path] = []
        self._suggested = ""  # a name that no person typed
        methods = [
            (_("VoCo"), VOCO, _("The network finds out where in a scan a crop was taken.")),
            (_("Masked reconstruction"), MAE, _("The network fills in parts of a scan that are hidden.")),
        ]
        fillCombo(ui.methodSelector, methods, VOCO)
        ui.methodSelector.connect("currentIndexChanged(int)", self._changed)
        offerNetworks(ui, self._changed)
        self.budget = TimeBudget(ui.budgetSelector, settings, "pretrainingMinutes", MINUTES, onChanged)
        ui.storeScansCheckBox.connect("toggled(bool)", self._changed)
        ui.encoderNameEdit.connect("textChanged(QString)", self._changed)
        ui.addScanFolderButton.connect("clicked()", self._addFolder)
        ui.removeScanFolderButton.connect("clicked()", self._removeFolder)
        ui.scanFoldersList.connect("itemSelectionChanged()", self.update)
        self._showFolders()

    @property
    def name(self) -> str:
        """What a person calls the encoder."""
        return str(self._ui.encoderNameEdit.text).strip()

    @property
    def title(self) -> str:
        """What a person calls such a training."""
        return _("Pre-train {name}").format(name=self.name)

    def refresh(self) -> None:
        """Show what the store and the settings hold now."""
        self.budget.refresh()
        self.update()

    def update(self) -> None:
        """Show what is known of the scans."""
        ui, store = self._ui, self._usable()
        ui.storeScansCheckBox.enabled = store is not None
        ui.removeScanFolderButton.setVisible(bool(self._folders))
        ui.removeScanFolderButton.enabled = bool(ui.scanFoldersList.selectedItems())
        self._suggestName()
        showText(ui.scanCountLabel, self._countText())

    def reason(self) -> str:
        """Why nothing can be learnt, as a sentence; "" when it can."""
        if not self._data():
            return self._withoutScans()
        return "" if self.name else _("Give the encoder a name.")

    def request(self, output: Path) -> PretrainRequest:
        """What a click of *Start* asks for; :meth:`reason` must be "".

        Args:
            output: folder of the encoder.
        """
        ui = self._ui
        return PretrainRequest(
            data=tuple(self._data()),
            output=output,
            title=self.name,
            method=comboData(ui.methodSelector),
            network=comboData(ui.networkSelector),
            size=comboData(ui.sizeSelector),
            minutes=self.budget.minutes,
            device=self._settings.device,
            precision=self._settings.precision,
        )

    def _usable(self) -> StoreSummary | None:
        store = self._context.store()
        return store if store is not None and store.problem is None else None

    def _storeScans(self) -> int:
        """How many scans of the case store are learnt from."""
        store = self._usable()
        if store is None or not self._ui.storeScansCheckBox.checked:
            return 0
        return sum(case.kind in KINDS for case in store.cases)

    def _data(self) -> list[Path]:
        store = self._usable()
        return (
            [store.folder, *self._folders] if store is not None and self._storeScans() else [*self._folders]
        )

    def _withoutScans(self) -> str:
        store = self._context.store()
        if store is None:
            return _("Choose a case store above, or add a folder with scans.")
        if store.problem is not None:
            return store.problem
        if not self._ui.storeScansCheckBox.checked:
            return _("Tick the scans of the case store, or add a folder with scans.")
        return _(
            "The case store has no scan to learn from: add some, with labels or without, or add a folder."
        )

    def _countText(self) -> str:
        count, folders = self._storeScans(), len(self._folders)
        if folders and count:
            text = _("{count} scan(s) of the case store and those in {folders} folder(s) are learnt from.")
            return text.format(count=count, folders=folders)
        if folders or not count:
            return ""
        if count < FEWEST_SCANS:
            text = _(
                "Only {count} scan(s): little can be learnt, and none is set aside to see whether it is."
            )
            return text.format(count=count)
        text = _("{count} scans of the case store are learnt from; held-out and test cases are not.")
        return text.format(count=count)

    def _suggestName(self) -> None:
        """A name that follows the scans until a person types another one."""
        edit, store = self._ui.encoderNameEdit, self._usable()
        if edit.text and edit.text != self._suggested:
            return
        names = (
            [store.name]
            if store is not None and self._storeScans()
            else [path.name for path in self._folders]
        )
        suggested = _("{name} encoder").format(name=names[0]) if names else ""
        if suggested != self._suggested:
            self._suggested = suggested
            with quiet(edit):
                edit.text = suggested

    def _addFolder(self) -> None:
        title = _("Folder with scans")
        chosen = str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title) or "")
        if chosen and Path(chosen) not in self._folders:
            self._folders.append(Path(chosen))
            self._showFolders()
            self._onChanged()

    def _removeFolder(self) -> None:
        rows = {index.row() for index in self._ui.scanFoldersList.selectionModel().selectedRows()}
        self._folders = [path for row, path in enumerate(self._folders) if row not in rows]
        self._showFolders()
        self._onChanged()

    def _showFolders(self) -> None:
        folders = self._ui.scanFoldersList
        with quiet(folders):
            folders.clear()
            for row, path in enumerate(self._folders):
                folders.addItem(str(path))
                folders.item(row).setToolTip(str(path))
        height = folders.sizeHintForRow(0) if self._folders else 0
        folders.setFixedHeight(min(VISIBLE_ROWS, len(self._folders)) * height + 2 * folders.frameWidth)
        folders.setVisible(bool(self._folders))

    def _changed(self, _what: Any = None) -> None:
        self._onChanged()
