"""``@parameterNodeWrapper``: typed attributes over a vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import typing
import weakref
from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.parameterNodeWrapper.codecs import Codec
from slicer.parameterNodeWrapper.making import make_codec, make_default
from slicer.parameterNodeWrapper.packs import data_type

SlicerParameterNamePropertyName = "SlicerParameterName"
RESERVED = (
    "AddObserver",
    "EndModify",
    "Modified",
    "RemoveObserver",
    "StartModify",
    "allParameters",
    "connectGui",
    "connectParametersToGui",
    "dataType",
    "default",
    "disconnectGui",
    "getValue",
    "isCached",
    "setValue",
)


class _Info:
    def __init__(self, owner: type, name: str, kind: Any) -> None:
        self.basename, self.unalteredType = name, kind
        self.codec = make_codec(kind)
        self.default = make_default(owner, name, kind, self.codec)


class _Value:
    """One parameter of one node, kept in memory until the node says it changed."""

    def __init__(self, node: Any, name: str, info: _Info) -> None:
        self.node, self.name, self.info = node, name, info
        self.codec: Codec = info.codec
        if not self.codec.has(node, name):
            self.codec.write(node, name, info.default.value)
        self._kept: Any = self._load()
        self._writing = False
        if self.codec.cached:
            me = weakref.ref(self)
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _reload(me))
            weakref.finalize(self, node.RemoveObserver, self._tag)

    def _load(self) -> Any:
        if not self.codec.has(self.node, self.name):  # as after closing the scene, which empties the node
            self.codec.write(self.node, self.name, self.info.default.value)
        return self.codec.read(self.node, self.name)

    def refresh(self) -> None:
        if not self._writing:
            self._kept = self._load()

    def read(self) -> Any:
        return self._kept if self.codec.cached else self._load()

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self.node):
                self.codec.write(self.node, self.name, value)
                self._kept = self._load()  # before observers ask for it
        finally:
            self._writing = False


def _reload(reference: Any) -> None:
    value = reference()
    if value is not None:
        value.refresh()


class _Base:
    """The methods every wrapper has."""

    allParameters: typing.ClassVar[dict[str, _Info]]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._updating = False
        self._parameters = {
            name: _Value(parameterNode, f"{prefix or ''}{name}", info)
            for name, info in self.allParameters.items()
        }

    def _info(self, name: str) -> _Info:
        data_type(self.allParameters, name)  # raises for unknown names
        return self.allParameters[name.partition(".")[0]]

    def getValue(self, name: str) -> Any:
        self._info(name)
        top, _, rest = name.partition(".")
        value = self._parameters[top].read()
        return value.getValue(rest) if rest else value

    def setValue(self, name: str, value: Any) -> None:
        self._info(name)
        top, _, rest = name.partition(".")
        if rest:
            self._parameters[top].read().setValue(rest, value)
        else:
            self._parameters[top].write(value)

    def default(self, name: str) -> Any:
        return self._info(name).default

    def isCached(self, name: str) -> bool:
        return self._info(name).codec.cached

    def connectGui(self, gui: Any) -> int:
        """Connect all widgets that have the dynamic property SlicerParameterName; returns a tag."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = _descendants(gui) if is_widget else vars(gui).values()
        named = {
            name: widget for widget in widgets if (name := widget.property(SlicerParameterNamePropertyName))
        }
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        from slicer.parameterNodeWrapper.connectors import createGuiConnector

        for name in mapping:
            self._info(name)
        connectors = {
            name: createGuiConnector(widget, data_type(self.allParameters, name))
            for name, widget in mapping.items()
        }
        tag = self._next
        self._next += 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._from_gui(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        return tag

    def _from_gui(self, name: str, connector: Any) -> Callable[[], None]:
        def changed() -> None:
            if not self._updating:
                with slicer.util.NodeModify(self):
                    self.setValue(name, connector.read())

        return changed

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def disconnectGui(self, tag: int) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.onChanged(None)

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: Any) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> Any:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: Any) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _descendants(widget: Any) -> list[Any]:
    import qt

    return list(widget.findChildren(qt.QWidget))


def _attribute(name: str) -> property:
    return property(
        lambda self: self._parameters[name].read(), lambda self, value: self._parameters[name].write(value)
    )


def isParameterNodeWrapper(thing: Any) -> bool:
    return bool(getattr(thing, "_is_parameter_node_wrapper", False))


def parameterNodeWrapper(cls: Any = None) -> Any:
    """Class decorator. Raises for members whose type Slicer cannot store and for reserved names."""
    if cls is None:
        return parameterNodeWrapper
    members = typing.get_type_hints(cls, include_extras=True)
    reserved = {name for name in (*members, *vars(cls)) if name in RESERVED}
    if reserved:
        raise ValueError(f"Cannot use reserved name '{reserved.pop()}' in a parameterNodeWrapper")
    infos = {name: _Info(cls, name, kind) for name, kind in members.items()}
    attributes: dict[str, Any] = {name: _attribute(name) for name in members}
    rest = {
        name: value
        for name, value in vars(cls).items()
        if name not in ("__dict__", "__weakref__", "__init__")
    }
    attributes["allParameters"] = infos
    attributes["dataType"] = staticmethod(lambda name: data_type(infos, name))
    return type(
        cls.__name__, (_Base, *(base for base in cls.__bases__ if base is not object)), {**rest, **attributes}
    )
