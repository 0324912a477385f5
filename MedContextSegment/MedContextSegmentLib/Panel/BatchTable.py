"""The table of the cases of a batch: ten thousand rows, of which only those in view are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from MedContextSegmentLib.Batch import BatchRows as By
from MedContextSegmentLib.Batch.BatchRows import BatchRows, Order
from MedContextSegmentLib.Batch.BatchTexts import (
    certaintyText,
    noteLines,
    secondsText,
    stateTitle,
    verdictTitle,
    volumeText,
)
from MedContextSegmentLib.Batch.CaseRow import CaseRow
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet

VISIBLE_ROWS = 10
CELL_PIXELS = 8
"""What the frame of a cell adds to the width of its text."""

CASE = 0
COLUMNS = (By.CASE, By.STATE, By.SECONDS, By.VOLUME, By.CERTAINTY, By.NOTES, By.VERDICT)
DOWNWARDS = (By.SECONDS, By.VOLUME)
"""Columns whose largest numbers come first at the first click."""


class BatchTable:
    """Shows cases in a QTableWidget of seven columns. A cell has an item only once it was in view.

    Args:
        ui: widgets ``batchTable``, ``batchFilterEdit``, ``batchVolumeLabel`` and ``batchVolumeSelector``.
        onSelected: called when another case was selected.
        onOpen: called with the name of the case that was double clicked.
    """

    def __init__(self, ui: Any, onSelected: Callable[[], None], onOpen: Callable[[str], None]) -> None:
        self._ui, self._onSelected, self._onOpen = ui, onSelected, onOpen
        self._table = table = ui.batchTable
        self._rows = BatchRows()
        self._working = False
        self._order = Order()
        self._shown: list[CaseRow] = []
        self._filled = range(0)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(CASE, qt.QHeaderView.Stretch)
        header.setSectionsClickable(True)
        header.connect("sectionClicked(int)", self._sortBy)
        lines = table.verticalHeader()
        lines.setVisible(False)
        lines.setDefaultSectionSize(table.fontMetrics().height() + 6)
        lines.setSectionResizeMode(qt.QHeaderView.Fixed)
        self._setWidths()
        table.mouseTracking = True
        table.connect("cellEntered(int,int)", self._entered)
        table.connect("itemSelectionChanged()", onSelected)
        table.connect("cellDoubleClicked(int,int)", self._doubleClicked)
        table.verticalScrollBar().connect("valueChanged(int)", self._scrolled)
        ui.batchFilterEdit.connect("textChanged(QString)", self._filterChanged)
        ui.batchVolumeSelector.connect("currentIndexChanged(int)", self._labelChanged)

    def show(self, rows: BatchRows, working: bool) -> None:
        """Show cases.

        Args:
            rows: what is known of them.
            working: whether a batch goes on in their folder.
        """
        if rows is not self._rows:
            self._order = Order()
            self._table.clearSelection()
        self._rows, self._working = rows, working
        self._showLabels()
        self._fill(stays=True)

    def selected(self) -> str:
        """The name of the selected case, ""."""
        rows = [index.row() for index in self._table.selectionModel().selectedRows()]
        return self._shown[rows[0]].case if rows and rows[0] < len(self._shown) else ""

    def select(self, case: str) -> None:
        """Select a case and scroll to it; a filter that hides it is emptied."""
        if all(row.case != case for row in self._shown) and self._ui.batchFilterEdit.text:
            self._ui.batchFilterEdit.text = ""
        place = next((place for place, row in enumerate(self._shown) if row.case == case), None)
        if place is not None:
            self._table.selectRow(place)
            self._table.scrollTo(self._table.model().index(place, CASE))

    def texts(self, row: int) -> tuple[str, ...]:
        """What a person reads in a row."""
        return self._texts(self._shown[row])

    def _fill(self, stays: bool = False) -> None:
        """Find and sort, and make the items in view anew.

        Args:
            stays: whether the case on top of what is in view stays there, unless it is the first one.
        """
        table, kept = self._table, self.selected()
        first = table.rowAt(0) if stays else 0
        top = self._shown[first].case if 0 < first < len(self._shown) else ""
        self._shown = self._rows.find(self._ui.batchFilterEdit.text, self._order)
        places = {row.case: place for place, row in enumerate(self._shown)} if kept or top else {}
        table.updatesEnabled = False
        with quiet(table):
            table.clearContents()
            self._filled = range(0)
            if table.rowCount != len(self._shown):
                table.setRowCount(len(self._shown))
            if kept in places:
                if self.selected() != kept:
                    table.selectRow(places[kept])
            else:
                table.clearSelection()
        table.verticalScrollBar().setValue(places.get(top, 0))  # after selecting, which may scroll
        self._makeItems()
        table.updatesEnabled = True
        self._showOrder()
        self._setHeight()
        if kept != self.selected():
            self._onSelected()

    def _makeItems(self) -> None:
        """The items of the rows in view, where they are not there."""
        first = max(0, self._table.rowAt(0))
        wanted = range(first, min(first + VISIBLE_ROWS + 1, len(self._shown)))
        with quiet(self._table):
            for row in wanted:
                if row not in self._filled:
                    for column, text in enumerate(self._texts(self._shown[row])):
                        self._table.setItem(row, column, qt.QTableWidgetItem(text))
        self._filled = wanted

    def _texts(self, row: CaseRow) -> tuple[str, ...]:
        return (
            row.case,
            stateTitle(row.state, self._working),
            secondsText(row.seconds),
            volumeText(row.volume(self._order.label)),
            certaintyText(row.certainty),
            str(len(self._rows.notes(row.case)) or ""),
            verdictTitle(self._rows.verdict(row.case)),
        )

    def _setWidths(self) -> None:
        """As narrow as the texts allow; asking the header to fit them would look at each row."""
        table, metrics = self._table, self._table.fontMetrics()
        texts: dict[str, list[str]] = {
            By.STATE: [
                stateTitle(state, True) for state in ("running", "unfinished", "done", "failed", "skipped")
            ],
            By.SECONDS: [secondsText(888.8)],
            By.VOLUME: [volumeText(88.8), volumeText(8888.0)],
            By.CERTAINTY: [certaintyText(0.88)],
            By.NOTES: ["88"],
            By.VERDICT: [verdictTitle(verdict) for verdict in ("accept", "correct", "reject", "void")],
        }
        for column, name in enumerate(COLUMNS):
            if name in texts:
                entries = [*texts[name], table.horizontalHeaderItem(column).text()]
                table.setColumnWidth(column, max(map(metrics.horizontalAdvance, entries)) + CELL_PIXELS)

    def _setHeight(self) -> None:
        table = self._table
        rows = min(VISIBLE_ROWS, max(1, len(self._shown)))
        height = table.horizontalHeader().height + rows * table.verticalHeader().defaultSectionSize
        table.setFixedHeight(height + 2 * table.frameWidth)

    def _showOrder(self) -> None:
        header = self._table.horizontalHeader()
        sorted_ = self._order.by in COLUMNS
        header.setSortIndicatorShown(sorted_)
        if sorted_:
            way = qt.Qt.DescendingOrder if self._order.descending else qt.Qt.AscendingOrder
            header.setSortIndicator(COLUMNS.index(self._order.by), way)

    def _showLabels(self) -> None:
        labels = self._rows.labels
        combo = self._ui.batchVolumeSelector
        items = [(_("All together"), "", ""), *((name, name, "") for name in labels)]
        if [combo.itemData(index) for index in range(combo.count)] != [data for _title, data, _tip in items]:
            fillCombo(combo, items, self._order.label)
        for widget in (combo, self._ui.batchVolumeLabel):
            widget.setVisible(len(labels) > 1)

    def _sortBy(self, column: int) -> None:
        by = COLUMNS[column]
        descending = not self._order.descending if by == self._order.by else by in DOWNWARDS
        self._order = Order(by, descending, self._order.label)
        self._fill()

    def _labelChanged(self, _index: int) -> None:
        self._order = Order(self._order.by, self._order.descending, comboData(self._ui.batchVolumeSelector))
        self._fill()

    def _filterChanged(self, _text: str) -> None:
        self._fill()

    def _scrolled(self, _value: int) -> None:
        self._makeItems()

    def _doubleClicked(self, row: int, _column: int) -> None:
        self._onOpen(self._shown[row].case)

    def _entered(self, row: int, column: int) -> None:
        """The tooltip is made for what the pointer rests on."""
        item = self._table.item(row, column)
        if item is not None and not item.toolTip():
            item.setToolTip("\n".join(noteLines(self._rows, self._shown[row].case)))
