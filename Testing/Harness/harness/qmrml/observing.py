"""VTK observations that end with the widget."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import vtk

# VTK tells Python's garbage collector about observers: one that only a collected wrapper of the observed object knows
# would be cleared although VTK still calls it.
_alive: set[_Observer] = set()


class _Observer:
    """Calls a method of a Qt object, which it does not keep alive, until the object is deleted."""

    def __init__(self, target: Any, event: Any, method: Callable[[Any], None], with_object: bool) -> None:
        self._target, self._with_object = target, with_object
        self._method = weakref.WeakMethod(method, lambda _reference: self.release())
        if with_object:
            self.CallDataType = vtk.VTK_OBJECT
        self._tag = target.AddObserver(event, self)
        _alive.add(self)

    def __call__(self, caller: Any, _event: Any, data: Any = None) -> None:
        bound = self._method()
        owner = getattr(bound, "__self__", None)
        if bound is None or not shiboken6.isValid(owner):
            return
        try:
            bound(data if self._with_object else caller)
        except RuntimeError:
            if shiboken6.isValid(owner):  # otherwise it was deleted meanwhile
                raise

    def release(self) -> None:
        if self in _alive:
            _alive.remove(self)
            self._target.RemoveObserver(self._tag)
            self._target = None


class Observations:
    """Adds observers and removes them all at once."""

    def __init__(self) -> None:
        self._observers: list[_Observer] = []

    def add(self, target: Any, event: Any, method: Callable[[Any], None], with_object: bool = False) -> None:
        """Call ``method(target)`` on `event`, or with the object that comes with the event."""
        if target is not None:
            self._observers.append(_Observer(target, event, method, with_object))

    def clear(self) -> None:
        for observer in self._observers:
            observer.release()
        self._observers.clear()
