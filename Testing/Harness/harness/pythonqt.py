"""Make PySide6 objects behave as PythonQt shows them to a Slicer module, strict where PythonQt is strict.

* Qt properties are attributes: ``button.text``; calling one (``button.text()``) fails, as it does in Slicer.
* An attribute that does not exist cannot be set on a Qt object.
* ``object.connect("signal(args)", function)`` and ``disconnect``; an unknown signal raises.
* ``exec_`` exists and shows nothing: see :mod:`harness.dialogs`.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
# Qt calls these itself in classes written in Python: a property in their place would be taken for an override.
VIRTUAL = {"sizeHint", "minimumSizeHint"}

_generic_set = ctypes.pythonapi.PyObject_GenericSetAttr
_generic_set.argtypes = [ctypes.py_object, ctypes.py_object, ctypes.py_object]
_generic_set.restype = ctypes.c_int


def qt_classes() -> list[type]:
    """All QObject classes of the four Qt modules, bases first."""
    found = {
        value
        for module in MODULES
        for value in (getattr(module, name) for name in dir(module))
        if isinstance(value, type) and issubclass(value, QtCore.QObject)
    }
    return sorted(found, key=lambda kind: len(kind.__mro__))


class QtProperty:
    """A Q_PROPERTY as an attribute; access through the class still gives the method of that name."""

    def __init__(self, name: str, owner: type) -> None:
        self.name = name
        capital = name[0].upper() + name[1:]
        self.method = owner.__dict__.get(name) or getattr(owner, name, None)
        readers = (self.method, getattr(owner, f"is{capital}", None), getattr(owner, f"has{capital}", None))
        self.reader = next((reader for reader in readers if callable(reader)), None)
        self.writer = getattr(owner, f"set{capital}", None)
        if issubclass(owner, QtCore.QCoreApplication):  # static functions there
            self.reader = self.writer = None

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self.method
        value = self.reader(instance) if self.reader else QtCore.QObject.property(instance, self.name)
        return tuple(value) if isinstance(value, list) else value

    def __set__(self, instance: Any, value: Any) -> None:
        if self.writer:
            self.writer(instance, value)
        elif not QtCore.QObject.setProperty(instance, self.name, value):
            raise AttributeError(f"{type(instance).__name__}.{self.name} is read-only or takes another type")


properties: dict[type, frozenset[str]] = {}
"""Names of the properties of each class of Qt, read once: PySide6 may delete its wrapper of a meta object later."""


def _add_properties(kind: type) -> None:
    meta = kind.staticMetaObject  # type: ignore[attr-defined]
    names = [meta.property(index).name() for index in range(meta.propertyCount())]
    properties[kind] = frozenset(names)
    for index, name in enumerate(names):
        own = index >= meta.propertyOffset() or name in kind.__dict__  # a method that hides the one of a base
        if own and name not in VIRTUAL and name != "objectName":
            setattr(kind, name, QtProperty(name, kind))


def _set_attribute(instance: Any, name: str, value: Any) -> None:
    kind = type(instance)
    declared = getattr_static(kind, name)
    if isinstance(declared, QtCore.Property):
        if declared.fset is None:
            raise AttributeError(f"{kind.__name__}.{name} is read-only")
        declared.fset(instance, value)
        return
    stand_in = kind.__module__.startswith("harness.") and name.startswith("_")
    if (
        not hasattr(declared, "__set__")
        and not isinstance(value, QtCore.SignalInstance)  # PySide6 keeps those in the object
        and not stand_in
        and kind.__module__.startswith(("PySide6.", "harness."))
    ):
        if _dropping:
            return
        raise AttributeError(
            f"'{name}' is no property of {kind.__name__}; attributes cannot be added to Qt objects"
        )
    _generic_set(instance, name, value)


_dropping: list[bool] = []


@contextlib.contextmanager
def drop_new_attributes() -> Iterator[None]:
    """While PySide6 loads a .ui file it sets the children as attributes of the widget, which PythonQt does not."""
    _dropping.append(True)
    try:
        yield
    finally:
        _dropping.pop()


def getattr_static(kind: type, name: str) -> Any:
    """The raw class attribute `name`, or None."""
    return next((base.__dict__[name] for base in kind.__mro__ if name in base.__dict__), None)


def find_signal(instance: Any, signature: str) -> Any:
    """The bound signal behind a signature in C++ types; RuntimeError when the object has none.

    Stand-ins whose signals carry MRML objects list them in ``SIGNALS`` under Slicer's signature.
    """
    compact = signature.replace(" ", "").replace("const", "").replace("&", "")
    for kind in type(instance).__mro__:
        name = kind.__dict__.get("SIGNALS", {}).get(compact)
        if name:
            return getattr(instance, name)
    meta = instance.metaObject()
    if meta.indexOfSignal(compact) < 0 or "PyObject" in compact:
        raise RuntimeError(f"{meta.className()} has no signal {signature}")
    return None


def _connect(instance: Any, signature: str, slot: Callable[..., Any]) -> bool:
    if not callable(slot):
        raise TypeError(f"cannot connect {signature} to {slot!r}")
    signal = find_signal(instance, signature)
    if signal is not None:
        connection = signal.connect(slot)
    else:
        connection = QtCore.QObject.connect(instance, QtCore.SIGNAL(signature.replace(" ", "")), slot)
    table = instance.__dict__.setdefault("_connections", [])
    table.append((signature, slot, connection))
    return True


def _disconnect(instance: Any, signature: str, slot: Callable[..., Any] | None = None) -> bool:
    table = instance.__dict__.setdefault("_connections", [])
    found = [entry for entry in table if entry[0] == signature and slot in (None, entry[1])]
    for entry in found:
        QtCore.QObject.disconnect(entry[2])
        table.remove(entry)
    return bool(found)


class _Connector:
    """``object.connect(signature, function)``; PySide6's own calls, whose signatures start with 2, pass through."""

    def __init__(self, instance: Any, original: Any, ours: Callable[..., Any]) -> None:
        self.instance, self.original, self.ours = instance, original, ours

    def __call__(self, *args: Any) -> Any:
        if args and isinstance(args[0], str) and not args[0].startswith("2"):
            return self.ours(self.instance, *args)
        return self.original(*args)


def _find(instance: Any, kind: Any, name: str, several: bool) -> Any:
    matches = [
        child
        for child in _all_children(instance)
        if (
            child.inherits(kind) or type(child).__name__ == kind
            if isinstance(kind, str)
            else isinstance(child, kind)
        )
        and name in ("", child.objectName)
    ]
    return tuple(matches) if several else (matches[0] if matches else None)


def _all_children(instance: Any) -> list[Any]:
    found = list(instance.children())
    for child in list(found):
        found.extend(_all_children(child))
    return found


def _hook_reading(kind: type) -> None:
    """`connect` cannot be replaced as an attribute: PySide6 looks it up in C++ first."""
    original = kind.__getattribute__

    def read(self: Any, name: str) -> Any:
        if name in ("connect", "disconnect"):
            return _Connector(self, original(self, name), _connect if name == "connect" else _disconnect)
        return original(self, name)

    kind.__getattribute__ = read  # type: ignore[method-assign]


class _Name:
    """PythonQt shows the object's name as `objectName` and `name`, both properties."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self.reader, self.writer = reader, writer

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.reader if instance is None else self.reader(instance)

    def __set__(self, instance: Any, value: str) -> None:
        self.writer(instance, value)


def keep_singletons_alive() -> None:
    """PySide6 6.12 does not count its references to these: right from Python 3.12 on; before, Python aborts."""
    if sys.version_info < (3, 12):
        for singleton in (None, True, False, NotImplemented):
            ctypes.c_ssize_t.from_address(id(singleton)).value += 1 << 40


def install() -> None:
    """Patch the Qt classes; once per process."""
    keep_singletons_alive()
    base = QtCore.QObject
    name = _Name(base.objectName, base.setObjectName)
    classes = qt_classes()
    for kind in classes:
        _add_properties(kind)
    for kind in classes:
        if "__setattr__" in kind.__dict__:
            kind.__setattr__ = _set_attribute  # type: ignore[method-assign]
        if kind in (base, QtCore.QProcess) or {"__getattribute__", "connect"} & set(kind.__dict__):
            _hook_reading(kind)
    base.name = name
    base.objectName = name
    base.className = lambda self: self.metaObject().className()
    base.findChild = lambda self, kind, name="": _find(self, kind, name, several=False)
    base.findChildren = lambda self, kind, name="": _find(self, kind, name, several=True)
