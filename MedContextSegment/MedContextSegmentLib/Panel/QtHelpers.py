"""Small things that several panels do with Qt."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import qt
import slicer


@contextlib.contextmanager
def quiet(*widgets: Any) -> Iterator[None]:
    """Change widgets without their telling anybody."""
    before = [widget.blockSignals(True) for widget in widgets]
    try:
        yield
    finally:
        for widget, blocked in zip(widgets, before, strict=True):
            widget.blockSignals(blocked)


def fillCombo(combo: Any, items: list[tuple[str, str, str]], current: str) -> str:
    """Offer choices.

    Args:
        combo: a QComboBox.
        items: ``(title, data, tooltip)`` of each.
        current: data of the one to select.

    Returns:
        The data of the selected one: the first where ``current`` is not offered; "" where nothing is.
    """
    with quiet(combo):
        combo.clear()
        for index, (title, data, toolTip) in enumerate(items):
            combo.addItem(title, data)
            combo.setItemData(index, toolTip, qt.Qt.ToolTipRole)
        combo.setCurrentIndex(max(0, combo.findData(current)) if items else -1)
    return comboData(combo)


def comboData(combo: Any) -> str:
    """The data of the selected item of a combo box; "" where none is selected."""
    return str(combo.itemData(combo.currentIndex) or "") if combo.currentIndex >= 0 else ""


def selectData(combo: Any, data: str) -> None:
    """Select the item with that data, without telling; leaves the selection where there is none."""
    index = combo.findData(data)
    if index >= 0:
        with quiet(combo):
            combo.setCurrentIndex(index)


_LONG_WORD = re.compile(r"\S{25,}")
_BREAKABLE = re.compile(r"(?<=[/\\_.-])")
ZERO_WIDTH_SPACE = "\u200b"


def wrappable(text: str) -> str:
    """The text with places to break long words, such as paths, where a narrow label needs that."""
    return _LONG_WORD.sub(lambda word: _BREAKABLE.sub(ZERO_WIDTH_SPACE, word[0]), text)


def shortened(text: str, length: int = 32) -> str:
    """The text for a place that does not wrap, such as a button; without its middle where it is too long."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half].rstrip()}…{text[-half:].lstrip()}"


def showText(label: Any, text: str) -> None:
    """Show a text; without one the label takes no space."""
    label.text = wrappable(text)
    label.setVisible(bool(text))


def showRow(ui: Any, name: str, visible: bool) -> None:
    """Show or hide a row of a form: the widget ``name`` and its label, ``<first word>Label``."""
    getattr(ui, name).setVisible(visible)
    getattr(ui, name.removesuffix("Selector").removesuffix("SpinBox") + "Label").setVisible(visible)


def parameterWidgets(ui: Any) -> dict[str, Any]:
    """The widgets that stand for a parameter, by the name in their property ``SlicerParameterName``."""
    named = ((widget.property("SlicerParameterName"), widget) for widget in vars(ui).values())
    return {str(name): widget for name, widget in named if name}


def loadInto(place: Any, path: str) -> Any:
    """Put the widgets of a .ui file into a place of the panel; returns them by name.

    Args:
        place: a widget with a layout.
        path: of the file.
    """
    root = slicer.util.loadUI(path)
    place.layout().addWidget(root)
    root.setMRMLScene(slicer.mrmlScene)
    return slicer.util.childWidgetVariables(root)
