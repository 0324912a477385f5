"""Which widget can show which type: the pairs Slicer supports, exactly those, and no subclasses of the widgets."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer
from slicer.parameterNodeWrapper.annotations import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    SingleStep,
    WithinRange,
    first,
    split,
)
from slicer.parameterNodeWrapper.codecs import PATHS


class Connector:
    """Joins a widget to a value: `get` and `put` work on the widget, `signal` tells about changes."""

    def __init__(self, signal: Any, get: Callable[[], Any], put: Callable[[Any], None]) -> None:
        self._signal, self.read, self._put = signal, get, put
        self._callback: Callable[[], None] | None = None

    def write(self, value: Any) -> None:
        self._put(value)

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        if callback is None:
            self._signal.disconnect(self._changed)
        else:
            self._signal.connect(self._changed)
        self._callback = callback

    def _changed(self, *_values: Any) -> None:
        if self._callback:
            self._callback()


def _attribute(
    widget: Any, name: str, signal: str, convert: Callable[[Any], Any] = lambda value: value
) -> Connector:
    def put(value: Any) -> None:
        setattr(widget, name, value)

    return Connector(getattr(widget, signal), lambda: convert(getattr(widget, name)), put)


def _limit(widget: Any, annotations: list[Any], low: float, high: float) -> None:
    decimals, step = first(annotations, Decimals), first(annotations, SingleStep)
    if decimals:
        widget.decimals = decimals.value
    if step:
        widget.singleStep = step.value
    both, minimum, maximum = (first(annotations, kind) for kind in (WithinRange, Minimum, Maximum))
    if type(widget) in (qt.QSlider, ctk.ctkSliderWidget) and not (both or (minimum and maximum)):
        raise RuntimeError("Cannot have a connection to a slider where the number is unbounded.")
    widget.minimum = both.minimum if both else minimum.minimum if minimum else low
    widget.maximum = both.maximum if both else maximum.maximum if maximum else high


def _combo(widget: Any, entries: list[tuple[str, Any]]) -> Connector:
    widget.clear()
    for label, _value in entries:
        widget.addItem(label)
    values = [value for _label, value in entries]

    def put(value: Any) -> None:
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return Connector(widget.currentIndexChanged, lambda: values[widget.currentIndex], put)


def _choices(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda entry: entry.name)
        return _combo(widget, [(label(entry), entry) for entry in kind])
    choice = first(annotations, Choice)
    if choice is None:
        raise RuntimeError("A QComboBox can show numbers and texts with the Choice annotation only.")
    return _combo(widget, [(str(value), value) for value in choice.choices])


def _node_types(kind: Any) -> tuple[str, ...]:
    members = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)
    plain = [split(entry)[0] for entry in members]
    nodes = [entry for entry in plain if isinstance(entry, type) and issubclass(entry, slicer.vtkMRMLNode)]
    if not nodes or len(nodes) + plain.count(type(None)) != len(plain):
        return ()
    return tuple(entry().GetClassName() for entry in nodes)


def _nodes(widget: Any, kind: Any) -> Connector:
    widget.nodeTypes = _node_types(kind)
    return Connector(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)


def _number(widget: Any, annotations: list[Any], low: float, high: float) -> Connector:
    _limit(widget, annotations, low, high)
    return _attribute(widget, "value", "valueChanged")


def createGuiConnector(widget: Any, datatype: Any) -> Connector:
    """RuntimeError when Slicer has no connector for the pair."""
    kind, annotations = split(datatype)
    exact = type(widget)
    if kind is bool and exact is qt.QCheckBox:
        return _attribute(widget, "checked", "toggled")
    if kind is bool and exact is qt.QPushButton and widget.checkable:
        return _attribute(widget, "checked", "toggled")
    if kind is int and exact in (qt.QSlider, qt.QSpinBox):
        return _number(widget, annotations, -(2**31), 2**31 - 1)
    if kind is float and exact in (qt.QDoubleSpinBox, ctk.ctkSliderWidget):
        return _number(widget, annotations, -1e300, 1e300)
    if exact is qt.QComboBox and (kind in (int, float, str, bool) or issubclass(kind, enum.Enum)):
        return _choices(widget, kind, annotations)
    if kind is str and exact is qt.QLineEdit:
        return _attribute(widget, "text", "textChanged")
    if kind is str and exact is qt.QTextEdit:
        return Connector(widget.textChanged, widget.toPlainText, widget.setPlainText)
    if kind in PATHS and exact in (ctk.ctkPathLineEdit, ctk.ctkDirectoryButton):
        name = "currentPath" if exact is ctk.ctkPathLineEdit else "directory"
        connector = _attribute(widget, name, f"{name}Changed", kind)
        return Connector(
            getattr(widget, f"{name}Changed"), connector.read, lambda value: connector.write(str(value))
        )
    if exact is slicer.qMRMLNodeComboBox and _node_types(kind):
        return _nodes(widget, kind)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{exact}'")
