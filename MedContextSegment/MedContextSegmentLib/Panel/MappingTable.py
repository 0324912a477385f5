"""The table that says which label of the case store each segment is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.errors import MedContextError
from medcontext.labels import Label, LabelSet
from MedContextSegmentLib.Learn.LabelMapping import MappingRow, choose, leaveOut, makeNew, newLabels
from MedContextSegmentLib.Panel.LabelList import SWATCH_PIXELS
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo

VISIBLE_ROWS = 8
COMBO_PIXELS = 12
"""What the frame of a combo box adds to the height of its text."""

NEW, OUT = "new", "out"


class MappingTable:
    """A row for each segment with a combo box of what it can be; rows without an answer carry a warning sign.

    Args:
        table: a QTableWidget of two columns.
        onChanged: called when a person answered.
        onProblem: called with a sentence when an answer cannot be followed.
    """

    def __init__(self, table: Any, onChanged: Callable[[], None], onProblem: Callable[[str], None]) -> None:
        self._table, self._onChanged, self._onProblem = table, onChanged, onProblem
        self._rows: Sequence[MappingRow] = ()
        self._labels: LabelSet | None = None
        self._combos: list[Any] = []
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Stretch)
        header.setSectionsClickable(False)
        table.verticalHeader().setVisible(False)

    def show(self, rows: Sequence[MappingRow], labels: LabelSet | None) -> None:
        """Show rows, which answers change in place.

        Args:
            rows: one for each segment.
            labels: of the store.
        """
        table = self._table
        self._rows, self._labels, self._combos = rows, labels, []
        table.setRowCount(0)
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            item = qt.QTableWidgetItem(row.name)
            item.setIcon(qt.QIcon(swatch(row.source.color)))
            item.setToolTip(row.name)
            table.setItem(number, 0, item)
            combo = qt.QComboBox()
            combo.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
            combo.connect("currentIndexChanged(int)", partial(self._answered, number))
            table.setCellWidget(number, 1, combo)
            self._combos.append(combo)
        self._fill()
        height = table.fontMetrics().height() + COMBO_PIXELS
        table.verticalHeader().setDefaultSectionSize(height)
        shown = min(VISIBLE_ROWS, max(1, len(rows)))
        table.setFixedHeight(table.horizontalHeader().height + shown * height + 2 * table.frameWidth)

    def _fill(self) -> None:
        """What each segment can be now: also what another one was made."""
        declared = newLabels(self._rows, self._labels)
        for row, combo in zip(self._rows, self._combos, strict=True):
            known = [*row.candidates, *(self._labels or ()), *declared]
            own = row.target if row.how == NEW else None
            items = [("", "", "")] if row.needsAnswer else []
            items += [(label.name, str(label.value), "") for label in _once(known) if label != own]
            new = own.name if own is not None else row.name
            items.append((_("New label '{name}'").format(name=new), NEW, ""))
            items.append((_("Leave out"), OUT, _("The segment is not learnt from.")))
            fillCombo(combo, items, _answerOf(row))
            if row.needsAnswer:
                combo.setItemText(0, _("Choose..."))
                combo.setItemIcon(0, combo.style().standardIcon(qt.QStyle.SP_MessageBoxWarning))
            combo.toolTip = _why(row)

    def _answered(self, number: int, _index: int) -> None:
        row, answer = self._rows[number], comboData(self._combos[number])
        try:
            if answer == NEW:
                makeNew(self._rows, row, self._labels)
            elif answer == OUT:
                leaveOut(row)
            elif answer:
                known = [*(self._labels or ()), *newLabels(self._rows, self._labels)]
                choose(row, next(label for label in known if str(label.value) == answer))
        except MedContextError as error:
            self._onProblem(str(error))
        self._fill()
        self._onChanged()


def swatch(color: Sequence[int]) -> Any:
    """A little square of a label's colour, sRGB 0..255."""
    pixmap = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    pixmap.fill(qt.QColor(*color))
    return pixmap


def _answerOf(row: MappingRow) -> str:
    if row.how == NEW:
        return NEW
    if row.target is not None:
        return str(row.target.value)
    return "" if row.needsAnswer else OUT


def _once(labels: Sequence[Label]) -> list[Label]:
    """Each label once, in the order given."""
    return list({label.value: label for label in labels}.values())


def _why(row: MappingRow) -> str:
    texts = {
        "terminology": _("Found by its standard code."),
        "name": _("Found by its name."),
        "ambiguous": _("More than one label may be meant: choose one."),
        "none": _("The case store has no such label: choose one, or make a new one."),
    }
    return texts.get(row.how, "")
