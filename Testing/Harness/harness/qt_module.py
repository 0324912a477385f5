"""The module ``qt`` of Slicer: the names of QtCore, QtGui, QtWidgets and QtUiTools in one place.

What only PySide6 has (Signal, Slot, Property, ...) is not in it.
"""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from harness.loader import QUiLoader

# "Qt" itself and every class begin with Q; Signal, Slot, Property, SIGNAL and the like do not and stay out.


def make_module() -> types.ModuleType:
    """Build the module; the Qt classes must be patched already."""
    module = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(source):
            if name.startswith("Q") and not hasattr(module, name):
                setattr(module, name, getattr(source, name))
    module.QUiLoader = QUiLoader  # type: ignore[attr-defined]
    module.QSettings = QSettings  # type: ignore[attr-defined]
    return module


class QSettings(QtCore.QSettings):
    """Values come back as PythonQt gives them, without PySide6's third argument."""

    def value(self, key: str, default: Any = None) -> Any:
        return super().value(key, default)
