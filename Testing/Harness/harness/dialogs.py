"""What a person would see and answer: dialogs are recorded and never wait.

Tests read `shown` and put answers into `answers`. Without an answer a question of slicer.util gets what Slicer gives
in testing mode (OK, Yes, Close), a dialog is rejected and a file dialog is canceled.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import slicer
from PySide6 import QtWidgets


@dataclass
class Shown:
    """One message, question or dialog. `kind`: info, warning, error, question, delay, dialog or file."""

    kind: str
    text: str
    details: dict[str, Any] = field(default_factory=dict)


shown: list[Shown] = []
answers: list[Any] = []


def reset() -> None:
    """Forget all messages and answers."""
    shown.clear()
    answers.clear()


def texts(kind: str | None = None) -> list[str]:
    """The texts shown so far, of one kind or of all."""
    return [entry.text for entry in shown if kind in (None, entry.kind)]


def _answer(default: Any) -> Any:
    return answers.pop(0) if answers else default


def _message(logLevel: int, text: str, testingReturnValue: Any, **details: Any) -> Any:
    """In place of slicer.util._messageDisplay. An answer of True or False means the positive or negative button."""
    logging.log(logLevel, text)
    question = testingReturnValue is not None
    level = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}[logLevel]
    shown.append(Shown("question" if question else level, text, details))
    if not question:
        return None
    buttons = QtWidgets.QMessageBox.StandardButton
    offered = details["standardButtons"]
    positive = next(button for button in (buttons.Ok, buttons.Yes, buttons.Retry) if button & offered)
    return positive if _answer(testingReturnValue) else buttons.Cancel


def _delay(message: str, *_args: Any, **_kwargs: Any) -> None:
    """In place of slicer.util.delayDisplay, which shows a window for a time."""
    shown.append(Shown("delay", message))
    slicer.app.processEvents()


def _run(dialog: Any) -> Any:
    """In place of exec_() of a dialog: the answer is the result; a function is called with the dialog first."""
    text = dialog.text if isinstance(dialog, QtWidgets.QMessageBox) else dialog.windowTitle
    shown.append(Shown("dialog", text, {"dialog": dialog}))
    answer = _answer(0)
    return answer(dialog) if callable(answer) else answer


def _file_dialog(default: Any) -> Any:
    def ask(_parent: Any = None, caption: str = "", *_args: Any) -> Any:
        shown.append(Shown("file", caption))
        return _answer(default)

    return staticmethod(ask)


def _message_box(kind: str, default: Any) -> Any:
    def ask(_parent: Any, _title: str, text: str, *_args: Any) -> Any:
        shown.append(Shown(kind, text))
        return _answer(default)

    return staticmethod(ask)


def install() -> None:
    """Replace what would wait for a person."""
    slicer.util._messageDisplay = _message
    slicer.util.delayDisplay = _delay
    QtWidgets.QDialog.exec_ = _run
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, _file_dialog(""))
    QtWidgets.QFileDialog.getOpenFileNames = _file_dialog(())
    buttons = QtWidgets.QMessageBox.StandardButton
    for name, kind, default in (
        ("information", "info", buttons.Ok),
        ("warning", "warning", buttons.Ok),
        ("critical", "error", buttons.Ok),
        ("question", "question", buttons.Yes),
    ):
        setattr(QtWidgets.QMessageBox, name, _message_box(kind, default))
    QtWidgets.QMenu.exec_ = lambda _menu, *_args: _answer(None)
