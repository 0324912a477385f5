"""The cases of *Learn*: which case store, what is in it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from MedContextSegmentLib.Panel.CaseActions import CaseActions
from MedContextSegmentLib.Panel.CaseTable import CaseTable
from MedContextSegmentLib.Panel.CaseWork import CaseWork
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.StoreChooser import StoreChooser
from MedContextSegmentLib.Panel.StoreReader import StoreReader

HELD_OUT = "held_out"
UNLABELLED = "unlabelled"


class CasesPanel:
    """Shows the chosen case store.

    Args:
        ui: the widgets of LearnCases.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker changes stores.
        settings: a :class:`Settings.Settings`, which keeps the store.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.
    """

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        self._ui, self._settings, self._context = ui, settings, context
        self._outcome = ""
        self._wanted = ""  # the case to select once the store was read
        self._read: Path | None = None
        self.onStoreChanged: Callable[[], None] = lambda: None
        icon = ui.storeProblemLabel.style().standardIcon(qt.QStyle.SP_MessageBoxWarning)
        ui.storeProblemIconLabel.setPixmap(icon.pixmap(16, 16))
        self.reader = StoreReader(self._onRead)
        self.work = CaseWork(ui, self.update)
        self.actions = CaseActions(logic, install, context, self.work, self._say)
        self.chooser = StoreChooser(ui, settings, self._onChosen, self.actions.newStore)
        self.actions.onStore = self.chooser.choose
        self.table = CaseTable(ui.casesTable, ui.caseFilterEdit, self.update, self._open, self._showMenu)
        ui.openCaseButton.connect("clicked()", self._openSelected)
        ui.holdOutButton.connect("clicked()", self._holdOut)
        ui.removeCaseButton.connect("clicked()", self._remove)
        ui.addCaseButton.connect("clicked()", self.addCase)
        ui.addUnlabelledButton.connect("clicked()", self.actions.addUnlabelled)
        self._onRead()

    def store(self) -> StoreSummary | None:
        """The chosen store as it was read last; None where none is chosen or its drive has not answered yet."""
        self._choose()
        return self.reader.summary

    def storeFolder(self) -> Path | None:
        """Folder of the chosen store; None where none is."""
        return self.chooser.folder

    def reread(self, select: str = "") -> None:
        """Read the store anew, and select a case."""
        self._wanted = select
        if not self._choose():
            self.reader.reread()
        self._selectWanted()

    def addCase(self) -> None:
        """Open *Add case* for what is chosen in the panel."""
        self.actions.addCase()

    def openCase(self, caseId: str) -> tuple[Any, Any] | None:
        """Bring a case into the scene; see :class:`LearnContext.LearnContext`."""
        store = self.store()
        case = next((case for case in store.cases if case.id == caseId), None) if store is not None else None
        return self.actions.openCase(case) if case is not None else None

    def refresh(self) -> None:
        """Show what the settings and the store hold now."""
        self.chooser.show()
        if not self._choose():
            self.reader.look()
        self.reader.watch(True)
        self.update()

    def leave(self) -> None:
        """Nobody looks."""
        self.reader.watch(False)

    def update(self) -> None:
        """Show what can be done now, and why not."""
        ui, running = self._ui, self.work.running
        store = self.reader.summary
        usable = store is not None and store.problem is None
        writable = usable and store is not None and store.writable
        selected = self.table.selected() if usable else []
        free = not running and not self._context.busy()
        self.chooser.setEnabled(not running)
        ui.openCaseButton.enabled = bool(selected) and free
        ui.holdOutButton.enabled = writable and free and any(case.kind != HELD_OUT for case in selected)
        ui.removeCaseButton.enabled = writable and free and bool(selected)
        reason = self._addReason()
        ui.addCaseButton.enabled = free and not reason
        ui.addUnlabelledButton.enabled = free and (writable or self.storeFolder() is None)
        ui.addCaseButton.toolTip = reason or _(
            "Put the image and the segments on screen into the case store."
        )
        showText(ui.casesStatusLabel, self.work.text or "\n".join([self._outcome, *self.work.notes]).strip())

    def setParameters(self, _parameters: Any) -> None:
        """Nothing of the cases belongs to the scene."""

    def sceneCloses(self) -> None:
        """What is being read from the scene cannot go on."""
        self.actions.sceneCloses()

    def stop(self) -> None:
        """The panel goes away."""
        self.reader.stop()
        self.table.stop()
        self.work.forget()

    def menu(self) -> Any:
        """What can be done with the selected cases, as a QMenu."""
        ui = self._ui
        menu = qt.QMenu(ui.casesTable)
        for button in (ui.openCaseButton, ui.holdOutButton, ui.removeCaseButton):
            action = menu.addAction(button.text)
            action.enabled = button.enabled
            action.connect("triggered()", button.click)
        return menu

    def _choose(self) -> bool:
        """Read the store of the settings where that is another one; whether it is."""
        folder = self.chooser.folder
        if folder == self._read:
            return False
        self._read = folder
        self.reader.choose(folder)
        return True

    def _onChosen(self, _folder: Path | None) -> None:
        self._outcome = ""
        self._choose()

    def _onRead(self) -> None:
        """Another store was chosen, or it holds something else now."""
        ui, folder = self._ui, self.chooser.folder
        store = self.reader.summary
        usable = store is not None and store.problem is None
        shown = store if usable else None
        self.table.show(shown, self.actions.modelsOf(shown))
        ui.casesArea.setVisible(shown is not None and bool(shown.cases))
        showText(ui.storeSummaryLabel, self._summary(shown, folder))
        problem = _problem(store)
        ui.storeProblemArea.setVisible(bool(problem))
        showText(ui.storeProblemLabel, problem)
        self._selectWanted()
        self.update()
        self.onStoreChanged()

    def _summary(self, store: StoreSummary | None, folder: Path | None) -> str:
        if folder is None:
            return _(
                "A case store is a folder for the scans that you segmented. Models learn from it. "
                "Click Add case to start one with what is on screen."
            )
        if store is None:
            return _("Reading {folder}...").format(folder=folder) if self.reader.reading else ""
        counts = dict.fromkeys(("annotated", UNLABELLED, HELD_OUT, "test"), 0)
        for case in store.cases:
            counts[case.kind] = counts.get(case.kind, 0) + 1
        parts = [
            _("{count} annotated").format(count=counts["annotated"]),
            _("{count} unlabelled").format(count=counts[UNLABELLED]),
            _("{count} held out").format(count=counts[HELD_OUT]),
        ]
        if counts["test"]:
            parts.append(_("{count} for testing").format(count=counts["test"]))
        lines = [store.name] if store.name != store.folder.name else []
        lines.append(" · ".join(parts))
        if store.labels:
            names = ", ".join(label.name for label in store.labels)
            lines.append(_("Labels: {names}").format(names=names))
        return "\n".join(lines)

    def _addReason(self) -> str:
        store = self.reader.summary
        if store is not None and (store.problem or not store.writable):
            return _problem(store)
        if self._context.volume() is None:
            return _("Choose the volume in Segment above first.")
        if self._context.segmentation() is None:
            return _("Segment the image, or choose a segmentation as output above.")
        return ""

    def _selectWanted(self) -> None:
        store = self.reader.summary
        if self._wanted and store is not None and any(case.id == self._wanted for case in store.cases):
            self.table.select(self._wanted)
            self._wanted = ""

    def _say(self, text: str) -> None:
        self._outcome = text
        self.update()

    def _open(self, case: CaseSummary) -> None:
        if self._ui.openCaseButton.enabled:
            self.actions.openCase(case)

    def _openSelected(self) -> None:
        for case in self.table.selected():
            if self.actions.openCase(case) is None:
                break

    def _holdOut(self) -> None:
        self.actions.holdOut([case for case in self.table.selected() if case.kind != HELD_OUT])

    def _remove(self) -> None:
        self.actions.remove(self.table.selected())

    def _showMenu(self, place: Any) -> None:
        if self.table.selected():
            self.menu().popup(self._ui.casesTable.viewport().mapToGlobal(place))


def _problem(store: StoreSummary | None) -> str:
    if store is None:
        return ""
    if store.problem is not None:
        return store.problem
    return (
        ""
        if store.writable
        else _("{folder} cannot be written to: no case can be added.").format(folder=store.folder)
    )
