"""*Suggest next*: which unlabelled scan to annotate, opened with the model's answer for the person to correct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Learn.Suggestion import (
    SuggestedScan,
    SuggestedScans,
    SuggestionRequest,
    SuggestionRun,
    suggestionReason,
    summaryOf,
    unlabelledCases,
)
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import quiet, showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Run.RunListener import RunListener

SHOWN = 10
VISIBLE_ROWS = 5
SCAN, WHY = range(2)


class SuggestPanel:
    """A button, and the short list that it gives.

    Args:
        ui: the widgets of Suggest.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker looks at the scans.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.
    """

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        self._ui, self._logic, self._settings, self._install = ui, logic, settings, install
        self._context = context
        self._store: Path | None = None  # the one that the list is of
        self._found: SuggestedScans | None = None
        self._shown: list[SuggestedScan] = []
        self._outcome = ""
        self._run: SuggestionRun | None = None
        self.control = RunControl(ui.suggestProgressBar, self.update, self.update)
        table = ui.suggestionsTable
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(WHY, qt.QHeaderView.Stretch)
        rows = table.verticalHeader()
        rows.setVisible(False)
        rows.setDefaultSectionSize(table.fontMetrics().height() + 6)
        table.connect("itemSelectionChanged()", self.update)
        table.connect("cellDoubleClicked(int,int)", self._doubleClicked)
        ui.suggestButton.connect("clicked()", self._startOrCancel)
        ui.openSuggestionButton.connect("clicked()", self.openSelected)
        self._fill()

    def refresh(self) -> None:
        """The store or the library holds something else now: what was annotated meanwhile is listed no more."""
        store = self._context.store()
        if self._store is not None and self._context.storeFolder() != self._store:
            self._store, self._found, self._outcome = None, None, ""
        if self._found is None:
            self._shown = []
        elif store is not None and store.problem is None:  # else it may come back
            left = {case.id for case in unlabelledCases(store)}
            self._shown = [scan for scan in self._found.scans if scan.case in left][:SHOWN]
        self._fill()

    def update(self) -> None:
        """Show what can be done, and why not."""
        ui, running = self._ui, self.control.running
        if self._run is not None and self._context.busy():
            self._run.giveWay()  # a person waits for something else now, and the worker does one thing at a time
        reason = suggestionReason(self._context.store(), self._context.chosenModel())
        if not reason and self._context.busy():
            reason = _("Wait for what is running.")
        button = ui.suggestButton
        button.text = _("Cancel") if running else _("Suggest next")
        button.enabled = not self.control.cancelling if running else not reason
        tip = _(
            "Look at the unlabelled scans: where is the model unsure, and what is unlike the annotated cases?"
        )
        button.toolTip = _("Stop looking; nothing is changed.") if running else reason or tip
        ui.suggestionsTable.setVisible(bool(self._shown))
        ui.openSuggestionButton.setVisible(bool(self._shown))
        ui.openSuggestionButton.enabled = self._selected() is not None and not running and not reason
        text = "\n".join([self.control.text, *self.control.notes]) if running else reason or self._outcome
        showText(ui.suggestStatusLabel, text.strip() or self._selectionText())

    def setParameters(self, _parameters: Any) -> None:
        """Nothing of it belongs to the scene."""

    def sceneCloses(self) -> None:
        """Scans are looked at where they lie, not in the scene."""

    def stop(self) -> None:
        """The panel goes away."""
        self.control.forget()

    def openSelected(self) -> None:
        """Open the selected scan beside what is there and segment it with the chosen model."""
        scan = self._selected()
        if scan is None or self._context.busy() or self.control.running:
            return
        self._outcome = self._open(scan)
        self.update()

    def _open(self, scan: SuggestedScan) -> str:
        """What came of it, as a sentence."""
        store = self._context.store()
        if store is None or scan.case not in {case.id for case in unlabelledCases(store)}:
            self._context.refreshCases()
            self.refresh()
            return _("'{case}' is no longer among the unlabelled scans.").format(case=scan.case)
        opened = self._context.openCase(scan.case)
        if opened is None:
            return _("'{case}' could not be opened.").format(case=scan.case)
        if not self._context.segment():
            return _("'{case}' was opened, but could not be segmented.").format(case=scan.case)
        text = _("'{case}' was opened: correct the model's answer, then click Add case.")
        return text.format(case=scan.case)

    def _startOrCancel(self) -> None:
        if self.control.running:
            self.control.cancelByClick()
            return
        store, card = self._context.store(), self._context.chosenModel()
        if suggestionReason(store, card) or self._context.busy() or not self._install.ensureInstalled():
            self.update()
            return
        if store is None or card is None:  # for the type checker: there would have been a reason
            return
        request = SuggestionRequest(
            store=store.folder,
            model=card.folder,
            seed=len(store.cases) - len(unlabelledCases(store)),
            device=self._settings.device,
            precision=self._settings.precision,
        )

        def begin(listener: RunListener) -> SuggestionRun:
            self._run = SuggestionRun(self._logic.worker, request, listener)
            return self._run

        self._outcome = ""
        self.control.start(begin, self._ended)

    def _ended(self, run: SuggestionRun) -> None:
        self._run = None
        if run.error is not None:
            self._tell(run.error)
            return
        if run.request.store != self._context.storeFolder():
            return  # another store was chosen meanwhile
        self._store, self._found = run.request.store, run.result
        self._outcome = summaryOf(run.result)
        with quiet(self._ui.suggestionsTable):
            self._ui.suggestionsTable.clearSelection()
        self.refresh()
        if self._shown:
            self._ui.suggestionsTable.selectRow(0)

    def _tell(self, error: MedContextError) -> None:
        self._outcome = error.message
        if not isinstance(error, CancelledError):
            self._outcome = str(error)
            slicer.util.errorDisplay(str(error))

    def _selected(self) -> SuggestedScan | None:
        rows = [index.row() for index in self._ui.suggestionsTable.selectionModel().selectedRows()]
        return self._shown[rows[0]] if rows and rows[0] < len(self._shown) else None

    def _selectionText(self) -> str:
        """What the narrow list may have cut."""
        scan = self._selected()
        if scan is None or not scan.why:
            return ""
        return _("{case}: {why}").format(case=scan.case, why=scan.why)

    def _doubleClicked(self, _row: int, _column: int) -> None:
        if self._ui.openSuggestionButton.enabled:
            self.openSelected()

    def _fill(self) -> None:
        """The list, in the order of the ranking; the selected scan stays selected."""
        table, kept = self._ui.suggestionsTable, self._selected()
        with quiet(table):
            table.setRowCount(0)
            table.setRowCount(len(self._shown))
            for row, scan in enumerate(self._shown):
                for column, text in ((SCAN, scan.case), (WHY, scan.why)):
                    item = qt.QTableWidgetItem(text)
                    item.setToolTip("\n".join([text, scan.detail]))
                    table.setItem(row, column, item)
        rows = min(VISIBLE_ROWS, max(1, len(self._shown)))
        height = table.horizontalHeader().height + rows * table.verticalHeader().defaultSectionSize
        table.setFixedHeight(height + 2 * table.frameWidth)
        if kept is not None and kept in self._shown:
            table.selectRow(self._shown.index(kept))
        self.update()
