"""What a person would see and answer: dialogs are recorded and never wait.

Tests read `shown` and put answers into `answers`. Without an answer a question of slicer.util gets what Slicer gives
in testing mode (OK, Yes, Close), a dialog is rejected and a file dialog is canceled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import slicer


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


def _show(kind: str, level: int) -> Callable[..., None]:
    def show(text: str, windowTitle: str | None = None, **details: Any) -> None:
        logging.log(level, text)
        shown.append(Shown(kind, text, {"windowTitle": windowTitle, **details}))

    return show


def _ask(default: bool) -> Callable[..., bool]:
    def ask(text: str, windowTitle: str | None = None, **details: Any) -> bool:
        logging.info(text)
        shown.append(Shown("question", text, {"windowTitle": windowTitle, **details}))
        return bool(_answer(default))

    return ask


def _delay(message: str, *_args: Any, **_kwargs: Any) -> None:
    """In place of slicer.util.delayDisplay, which shows a window for a time."""
    shown.append(Shown("delay", message))
    slicer.app.processEvents()


def _run(dialog: Any) -> Any:
    """In place of exec_() of a dialog: the answer is the result; a function is called with the dialog first."""
    text = dialog.text if dialog.inherits("QMessageBox") else dialog.windowTitle
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
    """Replace the functions of slicer.util that would wait for a person."""
    slicer.util.infoDisplay = _show("info", logging.INFO)
    slicer.util.warningDisplay = _show("warning", logging.WARNING)
    slicer.util.errorDisplay = _show("error", logging.ERROR)
    slicer.util.confirmOkCancelDisplay = slicer.util.confirmYesNoDisplay = _ask(True)
    slicer.util.confirmRetryCloseDisplay = _ask(False)
    slicer.util.delayDisplay = _delay


def install_qt() -> None:
    """Replace the dialogs of Qt that would wait for a person."""
    from PySide6 import QtWidgets

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
