"""The cases of *Learn*: which case store, what is in it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from MedContextSegmentLib.Learn.TrainedOn import modelsByHash, trainedOn
from MedContextSegmentLib.Panel.CaseActions import CaseActions
from MedContextSegmentLib.Panel.CaseEdits import CaseEdits
from MedContextSegmentLib.Panel.CaseTable import CaseTable
from MedContextSegmentLib.Panel.CaseTexts import storeProblem, storeText
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Panel.StoreChooser import StoreChooser
from MedContextSegmentLib.Panel.StoreReader import StoreReader

ANNOTATED = "annotated"
"""Kind of the cases that are learnt from: only they can be held out."""


class CasesPanel:
    """Shows the chosen case store.

    Args:
        ui: the widgets of LearnCases.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker changes stores.
        settings: a :class:`Settings.Settings`, which keeps the store.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around, complete when :meth:`show` is called for the first time.

    Attributes:
        onStoreChanged: called when a store was read or chosen.
        onBusyChanged: called when a change of the store begins or ends; updates this part, too.
    """

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        self._ui, self._settings, self._context = ui, settings, context
        self._outcome = ""
        self._wanted = ""  # the case to select once the store was read
        self._read: Path | None = None
        self._models: dict[str, tuple[str, ...]] = {}
        self.onStoreChanged: Callable[[], None] = lambda: None
        self.onBusyChanged: Callable[[], None] = self.update
        self._addToolTip = ui.addCaseButton.toolTip
        icon = ui.storeProblemLabel.style().standardIcon(qt.QStyle.SP_MessageBoxWarning)
        ui.storeProblemIconLabel.setPixmap(icon.pixmap(16, 16))
        self.reader = StoreReader(self.show)
        self.control = RunControl(ui.casesProgressBar, lambda: self.onBusyChanged(), self.update)
        self.actions = CaseActions(logic, install, context, self.readStore, self.control, self._say)
        self.edits = CaseEdits(self.actions, context)
        self.chooser = StoreChooser(ui, settings, self._onChosen, self.actions.newStore)
        self.actions.onStore = self.chooser.choose
        self.table = CaseTable(ui.casesTable, ui.caseFilterEdit, self.update, self._open, self._showMenu)
        ui.openCaseButton.connect("clicked()", self._openSelected)
        ui.holdOutButton.connect("clicked()", self._holdOut)
        ui.removeCaseButton.connect("clicked()", self._remove)
        ui.addCaseButton.connect("clicked()", self.addCase)
        ui.casesCancelButton.connect("clicked()", self.control.cancel)
        self._unlabelledMenu = qt.QMenu(ui.addUnlabelledButton)
        for text, do in (
            (_("Scans in a folder..."), self.actions.addFolder),
            (_("Volumes of the scene..."), self.actions.addVolumes),
        ):
            self._unlabelledMenu.addAction(text).connect("triggered()", do)
        ui.addUnlabelledButton.setMenu(self._unlabelledMenu)

    def store(self) -> StoreSummary | None:
        """The chosen store as it was read last; nothing is read for a section that nobody looks at."""
        if self._context.shown():
            self._choose()
        return self.reader.summary

    def readStore(self) -> StoreSummary | None:
        """The chosen store as it is now; None where none is chosen or its drive does not answer."""
        if not self._choose():
            self.reader.look()
        return self.reader.summary

    def storeFolder(self) -> Path | None:
        """Folder of the chosen store; None where none is."""
        return self.chooser.folder

    def reread(self, select: str = "") -> None:
        """Read the store anew, and select a case."""
        self._wanted = select
        if self._context.shown() and not self._choose():
            self.reader.reread()

    def addCase(self) -> None:
        """Open *Add case* for what is chosen in the panel."""
        self.actions.addCase()

    def openCase(self, caseId: str) -> tuple[Any, Any] | None:
        """Bring a case into the scene; see :class:`LearnContext.LearnContext`."""
        store = self.readStore()
        case = next((case for case in store.cases if case.id == caseId), None) if store is not None else None
        return self.actions.openCase(case) if case is not None else None

    def refresh(self) -> None:
        """Show what the settings and the store hold now."""
        self.chooser.show()
        if not self._choose():
            self.reader.look()
        shown = self._usable()
        if self._modelsOf(shown) != self._models:  # the library has changed
            self._fill(shown)
        self.reader.watch(True)
        self.update()

    def show(self) -> None:
        """Show what was read: another store was chosen, or it holds something else now."""
        ui, folder = self._ui, self.chooser.folder
        store, shown = self.reader.summary, self._usable()
        self._fill(shown)
        ui.casesArea.setVisible(shown is not None and bool(shown.cases))
        showText(ui.storeSummaryLabel, self._summary(shown, folder))
        problem = storeProblem(store)
        ui.storeProblemArea.setVisible(bool(problem))
        showText(ui.storeProblemLabel, problem)
        self._selectWanted()
        self.update()
        self.onStoreChanged()

    def leave(self) -> None:
        """Nobody looks."""
        self.reader.watch(False)

    def update(self) -> None:
        """Show what can be done now, and why not."""
        ui, store, running = self._ui, self._usable(), self.control.running
        free = not running and not self._context.busy()
        change = free and store is not None and store.writable
        selected = self.table.selected() if store is not None else []
        self.chooser.setEnabled(not running)
        ui.openCaseButton.enabled = bool(selected) and free
        ui.holdOutButton.enabled = change and any(case.kind == ANNOTATED for case in selected)
        ui.removeCaseButton.enabled = change and bool(selected)
        reason = self._addReason()
        ui.addCaseButton.enabled = free and not reason
        ui.addCaseButton.toolTip = reason or self._addToolTip
        ui.addUnlabelledButton.enabled = change or (free and self.storeFolder() is None)
        ui.casesCancelButton.setVisible(running)
        ui.casesCancelButton.enabled = not self.control.cancelling
        said = self._outcome or (
            "" if storeProblem(self.reader.summary) else reason
        )  # a problem is shown above already
        lines = [self.control.text] if running else [said, *self.control.notes]
        showText(ui.casesStatusLabel, "\n".join(line for line in lines if line))

    def setParameters(self, _parameters: Any) -> None:
        """Nothing of the cases belongs to the scene."""

    def sceneCloses(self) -> None:
        """What is being read from the scene cannot go on."""
        self.control.cancel()

    def stop(self) -> None:
        """The panel goes away."""
        self.reader.stop()
        self.table.stop()
        self.control.forget()

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

    def _summary(self, store: StoreSummary | None, folder: Path | None) -> str:
        if store is not None:
            return storeText(store)
        if folder is None:
            return _(
                "A case store is a folder for the scans that you segmented. Models learn from it. "
                "Click Add case to start one with what is on screen."
            )
        return _("Reading {folder}...").format(folder=folder) if self.reader.reading else ""

    def _usable(self) -> StoreSummary | None:
        store = self.reader.summary
        return store if store is not None and store.problem is None else None

    def _fill(self, store: StoreSummary | None) -> None:
        self._models = self._modelsOf(store)
        self.table.show(store, self._models)

    def _modelsOf(self, store: StoreSummary | None) -> dict[str, tuple[str, ...]]:
        """Titles of the models that learnt from each case, by its id."""
        models = modelsByHash(self._context.models()) if store is not None else {}
        cases = store.cases if store is not None and models else ()
        return {case.id: tuple(trainedOn(case, models)) for case in cases}

    def _addReason(self) -> str:
        store = self.reader.summary
        if store is not None and (store.problem or not store.writable):
            return storeProblem(store)
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
        self.edits.holdOut([case for case in self.table.selected() if case.kind == ANNOTATED])

    def _remove(self) -> None:
        self.edits.remove(self.table.selected())

    def _showMenu(self, place: Any) -> None:
        if self.table.selected():
            self.menu().popup(self._ui.casesTable.viewport().mapToGlobal(place))
