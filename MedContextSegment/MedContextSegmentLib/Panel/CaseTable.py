"""The table of the cases of a store: filled in one go, filtered by words, sorted by a click on a column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from MedContextSegmentLib.Learn.NaturalOrder import natural
from MedContextSegmentLib.Panel.Later import Later
from MedContextSegmentLib.Panel.QtHelpers import quiet

VISIBLE_ROWS = 8
CELL_PIXELS = 8
"""What the frame of a cell adds to the width of its text."""

CASE, KIND, FINISHED, LABELS, MODELS = range(5)


class CaseTable:
    """Shows cases in a QTableWidget of five columns: case, kind, finished part, labels, models.

    Args:
        table: the widget.
        filterEdit: a QLineEdit for the words that a case must hold.
        onSelected: called when other cases were selected.
        onOpen: called with the case that was double clicked.
        onMenu: called with the place in the table where a menu was asked for.
    """

    def __init__(
        self,
        table: Any,
        filterEdit: Any,
        onSelected: Callable[[], None],
        onOpen: Callable[[CaseSummary], None],
        onMenu: Callable[[Any], None],
    ) -> None:
        self._table, self._filter, self._onSelected, self._onOpen = table, filterEdit, onSelected, onOpen
        self._store: StoreSummary | None = None
        self._models: Mapping[str, tuple[str, ...]] = {}
        self._shown: list[CaseSummary] = []
        self._missing: frozenset[str] = frozenset()
        self._order, self._descending = CASE, False
        self._checking = Later(self._found)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(CASE, qt.QHeaderView.Stretch)
        self._setWidths()
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.connect("sectionClicked(int)", self._sortBy)
        rows = table.verticalHeader()
        rows.setVisible(False)
        rows.setDefaultSectionSize(table.fontMetrics().height() + 6)
        rows.setSectionResizeMode(qt.QHeaderView.Fixed)
        table.mouseTracking = True
        table.connect("cellEntered(int,int)", self._entered)
        table.connect("itemSelectionChanged()", onSelected)
        table.connect("cellDoubleClicked(int,int)", self._doubleClicked)
        table.connect("customContextMenuRequested(QPoint)", onMenu)
        filterEdit.connect("textChanged(QString)", self._filterChanged)

    def show(self, store: StoreSummary | None, models: Mapping[str, tuple[str, ...]]) -> None:
        """Show the cases of a store.

        Args:
            store: the store; None for none.
            models: titles of the models that learnt from a case, by its id.
        """
        cases = store.cases if store is not None else ()
        if store is None or self._store is None or store.folder != self._store.folder:
            self._missing = frozenset()
        self._store, self._models = store, models
        self._fill()
        self._checking.begin(lambda: frozenset(case.id for case in cases if case.missing), patience=0.0)

    def selected(self) -> list[CaseSummary]:
        """The selected cases, from top to bottom."""
        rows = sorted(index.row() for index in self._table.selectionModel().selectedRows())
        return [self._shown[row] for row in rows]

    def select(self, caseId: str) -> None:
        """Select a case and scroll to it; a filter that hides it is emptied."""
        if all(case.id != caseId for case in self._shown) and self._filter.text:
            self._filter.text = ""
        for row, case in enumerate(self._shown):
            if case.id == caseId:
                self._table.selectRow(row)
                self._table.scrollToItem(self._table.item(row, CASE))

    def isMissing(self, case: CaseSummary) -> bool:
        """Whether a file of the case was not there when somebody last looked."""
        return case.id in self._missing

    def stop(self) -> None:
        """Look for missing files no more."""
        self._checking.stop()

    def _fill(self) -> None:
        table, kept = self._table, {case.id for case in self.selected()}
        place = table.verticalScrollBar().value
        words = self._filter.text.casefold().split()
        cases = self._store.cases if self._store is not None else ()
        found = [case for case in cases if not words or self._holds(case, words)]
        self._shown = sorted(found, key=self._sortKey, reverse=self._descending)
        table.updatesEnabled = False
        with quiet(table):
            table.setRowCount(0)  # fast: an empty table has nothing to move
            table.setRowCount(len(self._shown))
            for row, case in enumerate(self._shown):
                for column, text in enumerate(self._texts(case)):
                    table.setItem(row, column, qt.QTableWidgetItem(text))
                if case.id in kept:
                    self._selectRow(row)
        self._grey()
        table.updatesEnabled = True
        table.verticalScrollBar().value = place
        table.horizontalHeader().setSortIndicator(
            self._order, qt.Qt.DescendingOrder if self._descending else qt.Qt.AscendingOrder
        )
        self._setHeight()
        self._onSelected()

    def _setWidths(self) -> None:
        """As narrow as the texts allow; asking the header to fit them would look at each row."""
        table, metrics = self._table, self._table.fontMetrics()
        texts = {
            KIND: [kindTitle(kind) for kind in ("annotated", "unlabelled", "held_out", "test")],
            FINISHED: [_("whole"), _("a region"), _("{count} slices").format(count=88)],
            LABELS: [_("all"), _("{count} of {total}").format(count=8, total=8)],
            MODELS: ["88"],
        }
        for column, entries in texts.items():
            entries.append(table.horizontalHeaderItem(column).text())
            table.setColumnWidth(column, max(map(metrics.horizontalAdvance, entries)) + CELL_PIXELS)

    def _setHeight(self) -> None:
        table = self._table
        rows = min(VISIBLE_ROWS, max(1, len(self._shown)))
        height = table.horizontalHeader().height + rows * table.verticalHeader().defaultSectionSize
        table.setFixedHeight(height + 2 * table.frameWidth)

    def _selectRow(self, row: int) -> None:
        for column in range(MODELS + 1):
            self._table.item(row, column).setSelected(True)

    def _texts(self, case: CaseSummary) -> tuple[str, ...]:
        count = len(self._models.get(case.id, ()))
        return case.id, kindTitle(case.kind), finishedText(case), self._labelsText(case), str(count or "")

    def _labelsText(self, case: CaseSummary) -> str:
        if case.label is None or self._store is None:
            return ""
        if case.labels is None:
            return _("all")
        return _("{count} of {total}").format(count=len(case.labels), total=len(self._store.labels))

    def _labelNames(self, case: CaseSummary) -> list[str]:
        if case.label is None or self._store is None:
            return []
        return [
            label.name for label in self._store.labels if case.labels is None or label.value in case.labels
        ]

    def _holds(self, case: CaseSummary, words: Iterable[str]) -> bool:
        parts = [case.id, case.group, case.text, kindTitle(case.kind), *self._labelNames(case)]
        text = "\n".join(parts).casefold()
        return all(word in text for word in words)

    def _sortKey(self, case: CaseSummary) -> Any:
        keys: tuple[Callable[[], Any], ...] = (
            lambda: (),
            lambda: kindTitle(case.kind),
            lambda: (finishedText(case) == "", case.region, len(case.slices)),
            lambda: len(self._labelNames(case)),
            lambda: len(self._models.get(case.id, ())),
        )
        return keys[self._order](), natural(case.id)

    def _sortBy(self, column: int) -> None:
        self._descending = not self._descending if column == self._order else False
        self._order = column
        self._fill()

    def _filterChanged(self, _text: str) -> None:
        self._fill()

    def _doubleClicked(self, row: int, _column: int) -> None:
        self._onOpen(self._shown[row])

    def _entered(self, row: int, column: int) -> None:
        """The tooltip is made for what the pointer rests on, not for a thousand rows."""
        item = self._table.item(row, column)
        if item is not None and not item.toolTip():
            item.setToolTip(self._toolTip(self._shown[row]))

    def _toolTip(self, case: CaseSummary) -> str:
        rows = [
            (_("Image"), ", ".join(str(path) for path in case.images)),
            (_("Patient"), case.group),
            (_("Labels"), ", ".join(self._labelNames(case))),
            (_("Learnt by"), ", ".join(self._models.get(case.id, ()))),
            (_("Note"), case.text),
        ]
        lines = [case.id, *(_("{name}: {text}").format(name=name, text=text) for name, text in rows if text)]
        if case.linked:
            lines.append(_("The image lies outside the store and was not copied."))
        if self.isMissing(case):
            lines.append(
                _("A file of this case is not there (any more): it cannot be opened or learnt from.")
            )
        return "\n".join(lines)

    def _found(self, missing: frozenset[str]) -> None:
        if missing != self._missing:
            self._missing = missing
            self._fill()

    def _grey(self) -> None:
        brush = qt.QBrush(self._table.palette.color(qt.QPalette.Disabled, qt.QPalette.Text))
        for row, case in enumerate(self._shown):
            if self.isMissing(case):
                for column in range(MODELS + 1):
                    self._table.item(row, column).setForeground(brush)


def kindTitle(kind: str) -> str:
    """What a case is for, in words."""
    titles = {
        "annotated": _("annotated"),
        "unlabelled": _("unlabelled"),
        "held_out": _("held out"),
        "test": _("test"),
    }
    return titles.get(kind, kind)


def finishedText(case: CaseSummary) -> str:
    """Which part of the image is annotated; "" where nothing is."""
    if case.label is None:
        return ""
    if case.region == "slices":
        count = len(case.slices)
        return _("1 slice") if count == 1 else _("{count} slices").format(count=count)
    return _("a region") if case.region == "mask" else _("whole")
