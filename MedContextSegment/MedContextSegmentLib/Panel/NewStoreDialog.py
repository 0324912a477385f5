"""The dialog that asks what a new case store is called, where it lies, and what its images are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from medcontext.case_list import is_store
from MedContextSegmentLib.Learn.CaseFacts import IMAGE, channelsFor
from MedContextSegmentLib.Panel.Dialogs import makeDialog, runDialog
from MedContextSegmentLib.Panel.Later import Later
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, showText

OTHER = "other"
MODALITIES = ("CT", "MR", "PET", "US", OTHER)

PAUSE_MS = 250
"""Between two keys that somebody types: the drive is asked once they have stopped."""

_NOT_IN_FILE_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True)
class NewStore:
    """A case store that is wanted.

    Attributes:
        folder: where it will lie; it need not be there.
        name: its title.
        channels: (name, modality) of each image of a case.
    """

    folder: Path
    name: str
    channels: tuple[tuple[str, str], ...]


class NewStoreDialog:
    """Asks for a new store.

    Args:
        folder: the folder that a person chose for it already, or None.
        volumes: the volumes that are chosen in the panel, whose names say what a case is made of.
        goesOn: whether another dialog follows, and the store is made after that.
    """

    def __init__(self, folder: Path | None, volumes: Sequence[Any], goesOn: bool = False) -> None:
        self.dialog, self.ui = makeDialog("NewStore", _("New case store"))
        ui, guessed = self.ui, channelsFor([node for node in volumes if node is not None])
        ui.storeNameEdit.text = folder.name if folder is not None else ""
        ui.storeParentEdit.currentPath = str(folder.parent if folder is not None else documents())
        ui.storeParentEdit.filters = ctk.ctkPathLineEdit.Dirs
        kinds = {modality for _name, modality in guessed}
        titles = [(_("Choose..."), "", "")] + [
            (_("other") if name == OTHER else name, name, "") for name in MODALITIES
        ]
        fillCombo(ui.storeModalitySelector, titles, kinds.pop() if len(kinds) == 1 else "")
        ui.storeChannelsEdit.text = ", ".join(name for name, _modality in guessed) or IMAGE
        self._later = Later(self._looked)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.connect("timeout()", self._look)
        # Which folder the drive was asked about, and whether it is a store; None while there is no answer.
        self._asked: Path | None = None
        self._taken: bool | None = None
        self._ok = ui.newStoreButtonBox.button(qt.QDialogButtonBox.Ok)
        self._ok.text = _("Continue") if goesOn else _("Create")
        for edit in (ui.storeNameEdit, ui.storeChannelsEdit):
            edit.connect("textChanged(QString)", self._changed)
        ui.storeParentEdit.connect("currentPathChanged(QString)", self._changed)
        ui.storeModalitySelector.connect("currentIndexChanged(int)", self._changed)
        ui.newStoreButtonBox.connect("accepted()", self.dialog.accept)
        ui.newStoreButtonBox.connect("rejected()", self.dialog.reject)
        self._look()
        self._show()

    def ask(self) -> NewStore | None:
        """Show the dialog; None when the person gave up."""
        try:
            return self.store() if runDialog(self.dialog) else None
        finally:
            self._soon.stop()
            self._later.stop()

    def store(self) -> NewStore:
        """What the dialog says now."""
        name = self.ui.storeNameEdit.text.strip()
        kind = comboData(self.ui.storeModalitySelector)
        folder = Path(self.ui.storeParentEdit.currentPath) / _NOT_IN_FILE_NAMES.sub("_", name).strip(". ")
        return NewStore(folder, name, tuple((channel, kind) for channel in self._channels()))

    def reason(self) -> str:
        """Why it cannot be created like this, as a sentence; "" when it can."""
        ui, channels = self.ui, self._channels()
        if not ui.storeNameEdit.text.strip(" ."):
            return _("Give the case store a name.")
        if not ui.storeParentEdit.currentPath.strip():
            return _("Choose the folder in which it will lie.")
        folder = self.store().folder
        known = folder == self._asked and self._taken is not None
        if known and self._taken:
            return _("{folder} is a case store already: open it, or choose another name.").format(
                folder=folder
            )
        if not channels:
            return _("Name the images that belong to a case, such as T1.")
        if len({channel.casefold() for channel in channels}) < len(channels):
            return _("Each channel needs a name of its own.")
        if not comboData(ui.storeModalitySelector):
            return _("Choose the modality of the images.")
        return "" if known else _("Looking at {folder}...").format(folder=folder)

    def _channels(self) -> list[str]:
        parts = (part.strip() for part in self.ui.storeChannelsEdit.text.split(","))
        return [part for part in parts if part]

    def _changed(self, _what: Any = None) -> None:
        if self.store().folder != self._asked:
            self._soon.start()
        self._show()

    def _look(self) -> None:
        """Ask the drive, which may let wait, whether the folder is a store."""
        folder = self.store().folder
        self._asked, self._taken = folder, None
        self._later.begin(lambda: (folder, is_store(folder)))

    def _looked(self, answer: Any) -> None:
        folder, taken = answer
        if folder == self._asked:
            self._taken = taken
            self._show()

    def _show(self) -> None:
        reason = self.reason()
        self._ok.enabled = not reason
        text = _("The case store will lie in {folder}.")
        showText(self.ui.newStoreStatusLabel, reason or text.format(folder=self.store().folder))


def documents() -> Path:
    """Where case stores are offered to lie: in the person's documents."""
    found = qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation)
    return Path(found) if found else Path.home()
