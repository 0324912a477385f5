"""The command that the panel runs, for a terminal or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

from MedContextSegmentLib.Learn.Command import terminalText


class CommandLine:
    """Shows a command and copies it.

    Args:
        ui: the widgets ``commandLabel``, ``commandEdit`` and ``copyCommandButton``.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        ui.copyCommandButton.connect("clicked()", self._copy)

    def show(self, arguments: Sequence[str]) -> None:
        """Show a command.

        Args:
            arguments: what follows ``medcontext``; nothing is shown without any.
        """
        text = terminalText(arguments) if arguments else ""
        if self._ui.commandEdit.text != text:
            self._ui.commandEdit.text = text
            self._ui.commandEdit.setCursorPosition(0)
        for name in ("commandLabel", "commandEdit", "copyCommandButton"):
            getattr(self._ui, name).setVisible(bool(arguments))

    def _copy(self) -> None:
        qt.QApplication.clipboard().setText(self._ui.commandEdit.text)
