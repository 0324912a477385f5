"""Stand-ins for CTK's widgets that hold a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from harness.stored import stored


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path with a history and a button that opens a file dialog."""

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    label, setLabel = stored(str, "")
    nameFilters, setNameFilters = stored("QStringList", ())
    settingKey, setSettingKey = stored(str, "")
    showBrowseButton, setShowBrowseButton = stored(bool, True, "_show")
    showHistoryButton, setShowHistoryButton = stored(bool, True, "_show")
    minimumContentsLength, setMinimumContentsLength = stored(int, 0)
    filters = QtCore.Property(int, lambda self: self._filters, lambda self, value: self.setFilters(value))

    # ctkPathLineEdit::Filter
    Dirs, AllDirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = (
        1,
        0x400,
        2,
        4,
        8,
        0x10,
        0x20,
        0x40,
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._filters = self.Files
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._button = QtWidgets.QToolButton()
        self._button.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        layout.addWidget(self._button)
        self._combo.editTextChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def _show(self) -> None:
        self._button.setVisible(self.showBrowseButton)

    def setFilters(self, value: Any) -> None:
        self._filters = int(getattr(value, "value", value))

    def setCurrentPath(self, path: str) -> None:
        if not isinstance(path, str):
            raise TypeError(f"a path must be a str, not {type(path).__name__}")
        self._combo.setEditText(path)

    currentPath = QtCore.Property(str, lambda self: self._combo.currentText, setCurrentPath)

    def addCurrentPathToHistory(self) -> None:
        if self.currentPath and self._combo.findText(self.currentPath) < 0:
            self._combo.addItem(self.currentPath)

    def browse(self) -> None:
        title = self.label or "Select a file"
        folder = self._filters & self.Dirs
        ask = QtWidgets.QFileDialog.getExistingDirectory if folder else QtWidgets.QFileDialog.getOpenFileName
        path = ask(self, title, self.currentPath)
        if path:
            self.setCurrentPath(path)


class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and opens a dialog to choose another."""

    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)
    caption, setCaption = stored(str, "")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._directory = str(Path.cwd())
        self._button = QtWidgets.QPushButton(self._directory)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(self.browse)

    def setDirectory(self, path: str) -> None:
        path = str(Path(path).absolute())
        if path != self._directory:
            self._directory = path
            self._button.setText(path)
            self.directoryChanged.emit(path)

    directory = QtCore.Property(str, lambda self: self._directory, setDirectory)

    def browse(self) -> None:
        path = QtWidgets.QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if path:
            self.setDirectory(path)
            self.directorySelected.emit(self._directory)
