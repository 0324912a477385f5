"""VTK observations that end with the widget."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import vtk


class Observations:
    """Adds observers and removes them all at once.

    Callbacks are methods of a Qt object, which they do not keep alive; after it was deleted nothing is called.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[Any, int]] = []

    def add(self, target: Any, event: Any, method: Callable[[Any], None], with_object: bool = False) -> None:
        """Call ``method(target)`` on `event`, or with the object that comes with the event."""
        if target is None:
            return
        reference = weakref.WeakMethod(method)

        def called(caller: Any, _event: Any, data: Any = None) -> None:
            bound = reference()
            owner = getattr(bound, "__self__", None)
            if bound is None or not shiboken6.isValid(owner):
                return
            try:
                bound(data if with_object else caller)
            except RuntimeError:
                if shiboken6.isValid(owner):  # otherwise it was deleted meanwhile
                    raise

        if with_object:
            called.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        self._entries.append((target, target.AddObserver(event, called)))

    def clear(self) -> None:
        for target, tag in self._entries:
            target.RemoveObserver(tag)
        self._entries.clear()
