"""The table of all models: what they find, where they are, how much space they take, and what made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.cards import IMPORTED, CardSummary
from medcontext.disk import size_text
from MedContextSegmentLib.Panel.ModelChooser import modelTitles
from MedContextSegmentLib.Panel.QtHelpers import quiet
from MedContextSegmentLib.Run.Models import ENCODER, encoderToolTip, modelKey, modelToolTip

TITLE, ID, LABELS, MADE, PLACE, SIZE = range(6)
SHOWN_LABELS = 4
ID_PIXELS = 120
"""Ids that are made of file names are long; all of it is in the tooltip."""


class ModelsTable:
    """A row for each model.

    Args:
        table: a QTableWidget.
        onSelected: called when another model is selected.
    """

    def __init__(self, table: Any, onSelected: Callable[[], None]) -> None:
        self._table, self._cards = table, list[CardSummary]()
        titles = [_("Model"), _("Id"), _("Structures"), _("Made by"), _("Where"), _("Size")]
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(titles)
        table.verticalHeader().setVisible(False)
        header = table.horizontalHeader()
        for column in (MADE, PLACE, SIZE):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.resizeSection(ID, ID_PIXELS)
        for column in (TITLE, LABELS):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
        table.connect("itemSelectionChanged()", onSelected)

    def show(self, cards: Sequence[CardSummary], select: str = "") -> None:
        """Show models.

        Args:
            cards: of the library.
            select: the ``id@version`` to select; the one that was selected before where it is not there.
        """
        before = self.selected()
        wanted = select or (modelKey(before) if before is not None else "")
        self._cards = list(cards)
        names = modelTitles(self._cards)
        table = self._table
        with quiet(table):
            table.setRowCount(0)
            table.setRowCount(len(self._cards))
            for row, card in enumerate(self._cards):
                self._fill(row, card, names[modelKey(card)])
            for row, card in enumerate(self._cards):
                if modelKey(card) == wanted:
                    table.selectRow(row)
                    table.scrollToItem(table.item(row, TITLE))

    def showSizes(self, sizes: Mapping[Path, int]) -> None:
        """Say how much space the models take, by their folders."""
        with quiet(self._table):
            for row, card in enumerate(self._cards):
                if card.folder in sizes:
                    self._table.item(row, SIZE).setText(size_text(sizes[card.folder]))

    def selected(self) -> CardSummary | None:
        """The selected model, or None."""
        rows = [index.row() for index in self._table.selectionModel().selectedRows()]
        return self._cards[rows[0]] if rows and rows[0] < len(self._cards) else None

    def _fill(self, row: int, card: CardSummary, title: str) -> None:
        toolTip = encoderToolTip(card) if card.kind == ENCODER else modelToolTip(card)
        place = _("with MedContext") if card.bundled else _("library")
        for column, text in (
            (TITLE, title),
            (ID, card.id),
            (LABELS, labelsText(card)),
            (MADE, madeText(card)),
            (PLACE, place),
            (SIZE, ""),
        ):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(str(card.folder) if column == PLACE else toolTip)
            self._table.setItem(row, column, item)


def labelsText(card: CardSummary) -> str:
    """The structures that a model finds, or why it finds none."""
    if card.kind == ENCODER:
        return _("none: a start for trainings")
    names = ", ".join(card.labels[:SHOWN_LABELS])
    left = len(card.labels) - SHOWN_LABELS
    return _("{names} and {count} more").format(names=names, count=left) if left > 0 else names


def madeText(card: CardSummary) -> str:
    """What trained a model, and from which one it was made."""
    method = _("other software") if card.method == IMPORTED else card.method
    return (
        _("{method}, from {parent}").format(method=method, parent=card.parent_id)
        if card.parent_id
        else method
    )
