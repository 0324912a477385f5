"""Files and folders that a person drags from the desktop onto a widget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from harness.panel import settle

_NONE = QtCore.Qt.KeyboardModifier.NoModifier
_LEFT = QtCore.Qt.MouseButton.LeftButton


def drop(widget: Any, *paths: Path) -> bool:
    """Drag over a widget and let go there; whether the widget took it.

    Args:
        widget: where it is dropped.
        paths: what is dragged.
    """
    mime = QtCore.QMimeData()
    mime.setUrls([QtCore.QUrl.fromLocalFile(str(path)) for path in paths])
    copy = QtCore.Qt.DropAction.CopyAction
    enter = QtGui.QDragEnterEvent(QtCore.QPointF(5, 5), copy, mime, _LEFT, _NONE)
    enter.ignore()
    QtWidgets.QApplication.sendEvent(widget, enter)
    if not enter.isAccepted():
        return False
    event = QtGui.QDropEvent(QtCore.QPointF(5, 5), copy, mime, _LEFT, _NONE)
    event.ignore()
    QtWidgets.QApplication.sendEvent(widget, event)
    settle()
    return bool(event.isAccepted())
