"""Q_PROPERTYs of the stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore


def stored(kind: Any, default: Any, after: str = "") -> tuple[Any, Callable[..., None]]:
    """A property that keeps its value, and its setter; the method `after` is called when the value changed."""
    key = object()
    convert = kind if isinstance(kind, type) else tuple

    def get(self: Any) -> Any:
        return self.__dict__.setdefault("_stored", {}).get(key, default)

    def put(self: Any, value: Any) -> None:
        value = convert(value)
        if value != get(self):
            self.__dict__["_stored"][key] = value
            if after:
                getattr(self, after)()

    return QtCore.Property(kind, get, put), put
