"""Dialogs made of a .ui file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer

UI = Path(__file__).resolve().parents[2] / "Resources" / "UI"
"""Beside the library, in a checkout as well as where Slicer installs extensions."""

WIDTH = 480


def makeDialog(name: str, title: str) -> tuple[Any, Any]:
    """A dialog around the widget of a .ui file.

    Args:
        name: of the .ui file, without ending.
        title: of the window.

    Returns:
        The QDialog and the widgets of the file by their names.
    """
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.windowTitle = title
    root = slicer.util.loadUI(str(UI / f"{name}.ui"))
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(root)
    if root.inherits("qMRMLWidget"):
        root.setMRMLScene(slicer.mrmlScene)
    dialog.resize(WIDTH, dialog.height)
    return dialog, slicer.util.childWidgetVariables(root)


def runDialog(dialog: Any) -> bool:
    """Show the dialog and wait; whether it was accepted. It can still be read, until the event loop takes it away."""
    try:
        return bool(dialog.exec_() == qt.QDialog.Accepted)
    finally:
        dialog.deleteLater()
