"""The keys of the review queue: they work wherever the mouse is, and only while a case is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer
import vtk

from MedContextSegmentLib.Panel.EditorLink import EditorLink

KEYS_OF_EFFECTS = {"Draw": ("A",)}
"""Keys that an effect of the segment editor needs while it is active: Draw closes its outline by A."""


LETTERS = (
    "QAbstractItemView",
    "QComboBox",
    "QLineEdit",
    "QTextEdit",
    "QPlainTextEdit",
    "QAbstractSpinBox",
    "QKeySequenceEdit",
)
"""Widgets that take letters themselves: text, and lists in which a name is found by its first letters."""


class ReviewKeys:
    """Shortcuts that hold in all windows, but not while a widget has the focus that takes letters itself.

    Args:
        actions: what each key does.
        parent: a widget that is visible where Slicer has no main window.
        editor: the embedded segment editor.
        observer: a VTKObservationMixin, whose observers are removed when the panel goes away.
    """

    def __init__(
        self, actions: Mapping[str, Callable[[], None]], parent: Any, editor: EditorLink, observer: Any
    ) -> None:
        self._editor, self._observer = editor, observer
        self._active = False
        self._node: Any = None
        self._shortcuts: dict[str, Any] = {}
        slicer.app.connect("focusChanged(QWidget*,QWidget*)", self._focusChanged)
        for key, do in actions.items():
            shortcut = qt.QShortcut(slicer.util.mainWindow() or parent)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.setContext(qt.Qt.ApplicationShortcut)
            shortcut.setAutoRepeat(False)  # a key that is held down judges one case, not all
            shortcut.setEnabled(False)
            shortcut.connect("activated()", do)
            self._shortcuts[key] = shortcut

    def setActive(self, active: bool) -> None:
        """Whether the keys work."""
        self._active = active
        self._watch(self._editor.node if active else None)
        self._update()

    def close(self) -> None:
        """The panel goes away."""
        self.setActive(False)
        slicer.app.disconnect("focusChanged(QWidget*,QWidget*)", self._focusChanged)
        for shortcut in self._shortcuts.values():
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()

    def _watch(self, node: Any) -> None:
        """Follow which effect is active."""
        if node is self._node:
            return
        event = vtk.vtkCommand.ModifiedEvent
        if self._node is not None:
            self._observer.removeObserver(self._node, event, self._editorChanged)
        self._node = node
        if node is not None:
            self._observer.addObserver(node, event, self._editorChanged)

    def _focusChanged(self, _before: Any, _now: Any) -> None:
        self._update()

    def _editorChanged(self, _caller: Any, _event: Any) -> None:
        self._update()

    def _update(self) -> None:
        effect = self._node.GetActiveEffectName() if self._node is not None else ""
        taken = KEYS_OF_EFFECTS.get(effect or "", ())
        active = self._active and not takesLetters(slicer.app.focusWidget())
        for key, shortcut in self._shortcuts.items():
            shortcut.setEnabled(active and key not in taken)


def takesLetters(widget: Any) -> bool:
    """Whether letters are for a widget, None for none, and not for the review."""
    return widget is not None and any(widget.inherits(name) for name in LETTERS)
