"""Parts of the segment editor widget: effects in name only, and rows of buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtWidgets

from harness.stored import stored

EFFECTS = ("Threshold", "Paint", "Draw", "Erase", "Grow from seeds", "Smoothing", "Scissors", "Islands")


class Effect(QtCore.QObject):
    """An effect in name only."""

    perSegment, setPerSegment = stored(bool, True)

    def __init__(self, name: str, parent: Any) -> None:
        super().__init__(parent)
        self.setObjectName(name)


def row(*widgets: Any) -> Any:
    layout = QtWidgets.QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def effect_buttons(choose: Callable[[str], None]) -> Any:
    """A frame with a button for each effect; `choose` gets the name, or "" when it is released."""
    grid = QtWidgets.QGridLayout()
    for index, name in enumerate(EFFECTS):
        button = QtWidgets.QToolButton()
        button.setText(name)
        button.setObjectName(name)
        button.setCheckable(True)
        button.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda on, name=name: choose(name if on else ""))
        grid.addWidget(button, index // 2, index % 2)
    frame = QtWidgets.QFrame()
    frame.setLayout(grid)
    return frame
