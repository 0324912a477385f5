"""VTK observations that end with the widget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import vtk


class Observations:
    """Adds observers and removes them all at once.

    Callbacks get the calldata where it is an object. One that is called after its widget was deleted does nothing.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[Any, int]] = []

    def add(
        self, target: Any, event: Any, callback: Callable[[Any], None], with_object: bool = False
    ) -> None:
        if target is None:
            return

        def called(_caller: Any, _event: Any, data: Any = None) -> None:
            with contextlib.suppress(_Deleted):
                guarded(callback, data)

        if with_object:
            called.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        self._entries.append((target, target.AddObserver(event, called)))

    def clear(self) -> None:
        for target, tag in self._entries:
            target.RemoveObserver(tag)
        self._entries.clear()


class _Deleted(Exception):
    """The Qt object behind a callback is gone."""


def guarded(callback: Callable[[Any], None], data: Any) -> None:
    """Call, but not the method of a Qt object that C++ has deleted."""
    import shiboken6

    owner = getattr(callback, "__self__", None)
    if isinstance(owner, shiboken6.Object) and not shiboken6.isValid(owner):
        raise _Deleted
    callback(data)
