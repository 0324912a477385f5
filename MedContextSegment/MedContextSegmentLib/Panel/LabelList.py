"""Labels with their colours, to be seen and chosen before a run or a training."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _

from MedContextSegmentLib.Panel.QtHelpers import quiet

VISIBLE_ROWS = 6
SWATCH_PIXELS = 14


class Labelled(Protocol):
    """What has labels, such as a :class:`medcontext.cards.CardSummary`; all three are in the same order."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names."""

    @property
    def label_colors(self) -> tuple[tuple[int, int, int], ...]:
        """The colours, 0..255."""

    @property
    def label_values(self) -> tuple[int, ...]:
        """The numbers in label maps."""


class LabelList:
    """Tick boxes of labels.

    Args:
        ui: widgets ``labelsList``, ``labelsLabel``, ``allLabelsButton`` and ``noLabelsButton``.
        onChanged: called when a tick was set or removed.
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None]) -> None:
        self._ui, self._onChanged = ui, onChanged
        self._values: tuple[int, ...] = ()
        ui.labelsList.connect("itemChanged(QListWidgetItem*)", self._itemChanged)
        ui.allLabelsButton.connect("clicked()", lambda: self._tickAll(True))
        ui.noLabelsButton.connect("clicked()", lambda: self._tickAll(False))

    def show(self, card: Labelled | None, unwanted: Collection[str] = ()) -> None:
        """List the labels of a model or of cases.

        Args:
            card: the model; None lists nothing.
            unwanted: names of the labels that get no tick.
        """
        labels = self._ui.labelsList
        with quiet(labels):
            labels.clear()
            if card is not None:
                for row, name in enumerate(card.labels):
                    labels.addItem(name)
                    _dress(labels.item(row), card.label_colors[row], name not in unwanted)
        self._values = card.label_values if card is not None else ()
        rows = min(VISIBLE_ROWS, max(1, labels.count))
        height = labels.sizeHintForRow(0) if labels.count else 0
        labels.setFixedHeight(rows * height + 2 * labels.frameWidth)
        labels.setVisible(bool(labels.count))
        several = labels.count > 1
        self._ui.allLabelsButton.setVisible(several)
        self._ui.noLabelsButton.setVisible(several)
        self._showCount()

    def ticked(self) -> list[str]:
        """Names of the ticked labels."""
        return [item.text() for item in self._items() if item.checkState() == qt.Qt.Checked]

    def unticked(self) -> list[str]:
        """Names of the labels without a tick."""
        return [item.text() for item in self._items() if item.checkState() != qt.Qt.Checked]

    def values(self) -> tuple[int, ...] | None:
        """Values of the ticked labels; None for all."""
        ticked = [item.checkState() == qt.Qt.Checked for item in self._items()]
        if all(ticked):
            return None
        return tuple(value for value, wanted in zip(self._values, ticked, strict=True) if wanted)

    def setEnabled(self, enabled: bool) -> None:
        for widget in (self._ui.labelsList, self._ui.allLabelsButton, self._ui.noLabelsButton):
            widget.enabled = enabled

    def _items(self) -> list[Any]:
        return [self._ui.labelsList.item(row) for row in range(self._ui.labelsList.count)]

    def _itemChanged(self, _item: Any) -> None:
        self._showCount()
        self._onChanged()

    def _tickAll(self, ticked: bool) -> None:
        with quiet(self._ui.labelsList):
            for item in self._items():
                item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
        self._ui.labelsList.viewport().update()
        self._showCount()
        self._onChanged()

    def _showCount(self) -> None:
        total, ticked = self._ui.labelsList.count, len(self.ticked())
        if ticked == total:
            self._ui.labelsLabel.text = _("Labels ({total}):").format(total=total)
        else:
            text = _("Labels ({ticked} of {total}):")
            self._ui.labelsLabel.text = text.format(ticked=ticked, total=total)


def _dress(item: Any, color: tuple[int, int, int], ticked: bool) -> None:
    swatch = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    swatch.fill(qt.QColor(*color))
    item.setIcon(qt.QIcon(swatch))
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
    item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
    item.setToolTip(item.text())
