"""The table of structures of a model that is to be imported: names, colours and codes, which a person can change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.labels import Label, LabelSet, Terminology
from MedContextSegmentLib.Panel.QtHelpers import quiet
from MedContextSegmentLib.Setup.CodeTexts import codeText, readCode

VALUE, COLOR, NAME, CODE = range(4)
VISIBLE_ROWS = 8
ROW_PIXELS = 10
"""What a row needs beside the height of its text."""


class ImportLabels:
    """A row for each structure.

    Args:
        table: a QTableWidget.
        onChanged: called when a person changed something.
        onNamed: called with a label that a person gave another name, and that nobody coded by hand.
    """

    def __init__(self, table: Any, onChanged: Callable[[], None], onNamed: Callable[[Label], None]) -> None:
        self._table, self._onChanged, self._onNamed = table, onChanged, onNamed
        self._found: tuple[Label, ...] = ()
        self._labels: list[Label] = []
        self._problems: dict[int, str] = {}  # row: why its code cannot be read
        self._byHand: set[tuple[int, int]] = set()  # (value, column) that a person wrote
        table.setColumnCount(4)
        table.setHorizontalHeaderLabels([_("Value"), "", _("Name"), _("SNOMED CT code")])
        table.verticalHeader().setVisible(False)
        header = table.horizontalHeader()
        for column in (VALUE, COLOR):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        for column in (NAME, CODE):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
        table.connect("cellChanged(int,int)", self._edited)

    def show(self, labels: Sequence[Label]) -> None:
        """Show what was found; what a person wrote of the same values before stays."""
        before = {label.value: label for label in self._labels}
        self._found = tuple(labels)
        self._labels = [self._merged(label, before.get(label.value)) for label in labels]
        self._problems = {}
        table = self._table
        with quiet(table):
            table.setRowCount(0)
            table.setRowCount(len(self._labels))
            for row, label in enumerate(self._labels):
                self._fill(row, label)
        height = table.fontMetrics().height() + ROW_PIXELS
        table.verticalHeader().setDefaultSectionSize(height)
        shown = min(VISIBLE_ROWS, max(1, len(self._labels)))
        table.setFixedHeight(table.horizontalHeader().height + shown * height + 2 * table.frameWidth)

    def changed(self) -> tuple[Label, ...]:
        """All labels where a person changed any of them; else nothing."""
        return tuple(self._labels) if tuple(self._labels) != self._found else ()

    def problem(self) -> str:
        """Why the table cannot be taken like this, as a sentence; "" when it can."""
        for text in self._problems.values():
            return text
        try:
            LabelSet(tuple(self._labels))
        except InputError:
            return _("Each structure needs a name of its own.")
        return ""

    def propose(self, label: Label) -> None:
        """Show the colour and the codes of a name, where nobody chose others by hand; a name may have none."""
        for row, shown in enumerate(self._labels):
            if shown.value == label.value and shown.name == label.name:
                if label.terminology is None:
                    label = replace(label, color=shown.color)
                self._labels[row] = self._merged(label, shown)
                with quiet(self._table):
                    self._fill(row, self._labels[row])

    def _merged(self, label: Label, before: Label | None) -> Label:
        """A label with what a person wrote of it."""
        if before is None:
            return label
        if (label.value, NAME) in self._byHand:
            label = replace(label, name=before.name)
        if (label.value, COLOR) in self._byHand:
            label = replace(label, color=before.color)
        if (label.value, CODE) in self._byHand:
            label = replace(label, terminology=before.terminology)
        return label

    def _fill(self, row: int, label: Label) -> None:
        table = self._table
        value = qt.QTableWidgetItem(str(label.value))
        value.setFlags(qt.Qt.ItemIsEnabled)
        table.setItem(row, VALUE, value)
        table.setItem(row, NAME, qt.QTableWidgetItem(label.name))
        code = qt.QTableWidgetItem(codeText(label.terminology))
        code.setToolTip(_("Such as 64033007 Kidney, Left. Without a code Slicer calls the segment Tissue."))
        table.setItem(row, CODE, code)
        button = ctk.ctkColorPickerButton()
        button.displayColorName = False
        button.color = qt.QColor(*label.color)
        button.connect("colorChanged(QColor)", partial(self._colored, row))
        table.setCellWidget(row, COLOR, button)

    def _colored(self, row: int, color: Any) -> None:
        label = self._labels[row]
        self._byHand.add((label.value, COLOR))
        self._labels[row] = replace(label, color=(color.red(), color.green(), color.blue()))
        self._onChanged()

    def _edited(self, row: int, column: int) -> None:
        label = self._labels[row]
        text = self._table.item(row, column).text().strip()
        if column == NAME and text != label.name:
            self._byHand.add((label.value, NAME))
            self._labels[row] = label = replace(label, name=text)
            if text and (label.value, CODE) not in self._byHand:
                self._onNamed(label)
        elif column == CODE:
            self._problems.pop(row, None)
            try:
                self._code(row, readCode(text, label.terminology))
            except InputError as error:
                self._problems[row] = str(error)
        self._onChanged()

    def _code(self, row: int, terminology: Terminology | None) -> None:
        label = self._labels[row]
        if terminology != label.terminology:
            self._byHand.add((label.value, CODE))
            self._labels[row] = replace(label, terminology=terminology)
