"""The row that says which case store is used: the recent ones, *New...* and *Open...*."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.case_list import is_store
from medcontext.dataset_form import INDEX
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo

MOST_RECENT = 8


class StoreChooser:
    """Keeps the chosen folder in the settings of this machine, not in the scene.

    Args:
        ui: widgets ``storeSelector``, ``newStoreButton`` and ``openStoreButton``.
        settings: a :class:`Settings.Settings`.
        onChosen: called with the folder that a person chose.
        onNew: called with a folder (or None) in which a new store is wanted.
    """

    def __init__(
        self,
        ui: Any,
        settings: Any,
        onChosen: Callable[[Path | None], None],
        onNew: Callable[[Path | None], None],
    ) -> None:
        self._ui, self._settings, self._onChosen, self._onNew = ui, settings, onChosen, onNew
        ui.storeSelector.connect("currentIndexChanged(int)", self._indexChanged)
        ui.newStoreButton.connect("clicked()", lambda: onNew(None))
        ui.openStoreButton.connect("clicked()", self._open)
        self.show()

    @property
    def folder(self) -> Path | None:
        """The chosen folder, which need not be there; None where none is chosen."""
        return Path(self._settings.caseStore) if self._settings.caseStore else None

    def show(self) -> None:
        """Show what the settings hold now."""
        folders = self._recent()
        names = Counter(Path(folder).name for folder in folders)
        items = [(_title(Path(folder), names), folder, folder) for folder in folders]
        if not items:
            items = [(_("none yet"), "", _("Start a new case store, or open one."))]
        fillCombo(self._ui.storeSelector, items, self._settings.caseStore)

    def choose(self, folder: Path) -> None:
        """Use a store from now on, and remember it."""
        kept = [str(folder), *(other for other in self._recent() if other != str(folder))]
        self._settings.caseStore = str(folder)
        self._settings.recentStores = json.dumps(kept[:MOST_RECENT])
        self.show()
        self._onChosen(folder)

    def setEnabled(self, enabled: bool) -> None:
        """Whether another store can be chosen; not while something is written into this one."""
        for name in ("storeSelector", "newStoreButton", "openStoreButton"):
            getattr(self._ui, name).enabled = enabled

    def _recent(self) -> list[str]:
        """The folders used before, the chosen one included, whatever somebody wrote into the settings."""
        try:
            stored = json.loads(self._settings.recentStores or "[]")
        except ValueError:
            stored = []
        folders = [entry for entry in stored if isinstance(entry, str)] if isinstance(stored, list) else []
        chosen = self._settings.caseStore
        return folders if not chosen or chosen in folders else [chosen, *folders]

    def _indexChanged(self, _index: int) -> None:
        folder = comboData(self._ui.storeSelector)
        if folder and folder != self._settings.caseStore:
            self._settings.caseStore = folder
            self._onChosen(Path(folder))

    def _open(self) -> None:
        start = str(self.folder.parent) if self.folder is not None else ""
        title = _("Open a case store")
        chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, start)
        if not chosen:
            return
        folder = Path(str(chosen))
        if is_store(folder):
            self.choose(folder)
            return
        text = _("{folder} holds no {file}. Start a new case store there?")
        if slicer.util.confirmOkCancelDisplay(text.format(folder=folder, file=INDEX), title):
            self._onNew(folder)


def _title(folder: Path, names: Counter[str]) -> str:
    if names[folder.name] > 1:
        return _("{name} in {folder}").format(name=folder.name, folder=folder.parent)
    return folder.name or str(folder)
