"""Loading of .ui files: `qt.QUiLoader` with Slicer's widgets, strict about unknown classes, properties and signals."""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from harness import pythonqt
from harness.pythonqt import drop_new_attributes

WIDGETS: dict[str, type] = {}  # classes that stand in for those of CTK and Slicer, by name


def widget_class(name: str) -> type | None:
    """The class behind a name in a .ui file, None when neither Qt nor the stand-ins have it."""
    return WIDGETS.get(name) or getattr(QtWidgets, name, None)


class QUiLoader(QtUiTools.QUiLoader):
    """Creates the stand-ins, and applies the connections by name as Qt does."""

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
        if className in WIDGETS:
            widget = WIDGETS[className](parent)
            widget.setObjectName(name)
            return widget
        return super().createWidget(className, parent, name)

    def load(self, device: Any, parent: Any = None) -> Any:
        """The widget of the file; RuntimeError names what Slicer would not know."""
        text, connections = _checked(bytes(device.readAll().data()))
        buffer = QtCore.QBuffer()
        buffer.setData(text)
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with drop_new_attributes():
            widget = super().load(buffer, parent)
        for connection in connections:
            _connect(widget, *connection)
        return widget


@functools.cache
def _checked(content: bytes) -> tuple[bytes, list[list[str]]]:
    """A .ui file without its connections, and these; remembered, since every panel of every test asks for them."""
    root = ElementTree.fromstring(content)
    problems = [text for node in root.iter("widget") for text in _problems(node)]
    if problems:
        raise RuntimeError("; ".join(problems))
    connections = root.find("connections")
    if connections is None:
        return ElementTree.tostring(root), []
    root.remove(connections)
    ends = ("sender", "signal", "receiver", "slot")
    return ElementTree.tostring(root), [[entry.findtext(end, "") for end in ends] for entry in connections]


def _problems(node: ElementTree.Element) -> list[str]:
    kind = widget_class(node.get("class", ""))
    if kind is None:
        return [f"unknown widget class {node.get('class')}"]
    names = _properties(kind)
    return [
        f"{node.get('class')} {node.get('name')} has no property {entry.get('name')} (a dynamic one has stdset=0)"
        for entry in node.findall("property")
        if entry.get("name") not in names and entry.get("stdset") != "0"
    ]


@functools.cache
def _properties(kind: type) -> set[str]:
    names: set[str] = set()
    for base in kind.__mro__:
        names |= pythonqt.properties.get(base, frozenset())
        names |= {name for name, value in vars(base).items() if isinstance(value, QtCore.Property)}
    return names


def _connect(root: Any, sender: str, signal: str, receiver: str, slot: str) -> None:
    ends = []
    for name in (sender, receiver):
        found = root if root.objectName == name else root.findChild("QObject", name)
        if found is None:
            raise RuntimeError(f"a connection names {name}, which does not exist")
        ends.append(found)
    method = getattr(ends[1], slot.partition("(")[0], None)
    if not callable(method):
        raise RuntimeError(f"{receiver} has no slot {slot}")
    ends[0].connect(signal, method)
