"""Start the Qt harness, PySide6 widgets over the real MRML of :mod:`harness.application`, and load modules into it."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtWidgets

from harness import application, ctk_module, dialogs, loader, pythonqt, qt_module
from harness.qmrml.classes import CLASSES
from harness.scripted import ModuleManager, qSlicerScriptedLoadableModule

errors: list[str] = []  # tracebacks of exceptions in slots and observers, which Slicer prints to its console

_started: list[Any] = []


class HarnessApplication(QtWidgets.QApplication, application.CoreApplication):
    """``slicer.app`` with Qt: a QApplication that knows the scene."""

    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    def adopt(self) -> None:
        """Start the MRML part unless it was, and become slicer.app in its place."""
        self.__dict__.update(application.core().__dict__)
        slicer.app = self
        self._qtModules = ModuleManager(self)
        self._window: Any = None
        self._layouts: Any = None
        self._testing = False

    def moduleManager(self) -> Any:
        return self._qtModules

    def layoutManager(self) -> Any:
        return self._layouts

    def commandOptions(self) -> Any:
        return SimpleNamespace(noMainWindow=self._window is None, testingEnabled=self._testing, noSplash=True)

    def userSettings(self) -> Any:
        return sys.modules["qt"].QSettings()

    def settings(self) -> Any:
        return self.userSettings()

    def useMainWindow(self, used: bool) -> None:
        """Harness only: with a main window and slice views, or as under --no-main-window."""
        from harness.qmrml.layout import LayoutManager

        if used and self._window is None:
            self._window = QtWidgets.QMainWindow()
            self._window.setObjectName("qSlicerMainWindow")
            self._layouts = LayoutManager(self._window)
        elif not used and self._window is not None:
            self._layouts.close()
            self._window.deleteLater()
            self._window = self._layouts = None
            self.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)


def _isolate_settings() -> None:
    folder = tempfile.mkdtemp(prefix="SlicerHarnessSettings", dir=slicer.app.temporaryPath)
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, folder)


def _record(kind: Any, error: BaseException, trace: Any) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    errors.append(text)
    sys.stderr.write(text)


def start() -> Any:
    """Start once per process; returns ``slicer.app``. The modules ``qt`` and ``ctk`` can be imported afterwards."""
    if _started:
        slicer.app = _started[0]
        return slicer.app
    pythonqt.install()
    app = HarnessApplication(["Slicer"])
    app.setOrganizationName("SlicerHarness")
    app.setApplicationName("Slicer")
    app.setApplicationVersion(application.CoreApplication.applicationVersion)
    for kind in (*ctk_module.CLASSES, *CLASSES):
        loader.WIDGETS[kind.__name__] = kind
    for kind in CLASSES:
        setattr(slicer, kind.__name__, kind)
    sys.modules["qt"] = qt_module.make_module()
    sys.modules["ctk"] = ctk_module.make_module()
    app.adopt()
    _isolate_settings()
    dialogs.install_qt()
    sys.excepthook = _record
    app.useMainWindow(True)
    _started.append(app)
    return app


def load_module(path: Path | str) -> Any:
    """Load a scripted module as Slicer does and return its widget, set up.

    Args:
        path: the module's .py file. Its folder is put on sys.path, as Slicer does.
    """
    path = Path(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    source = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = source
    spec.loader.exec_module(source)
    module = qSlicerScriptedLoadableModule(path)
    module.setInstance(getattr(source, path.stem)(module))
    return module.widgetRepresentation().self()


def enter(widget: Any) -> Any:
    """Show the module's panel, as a person does who selects the module."""
    widget.parent.show()
    widget.parent.enter()
    slicer.app.processEvents()
    return widget


def leave(widget: Any) -> None:
    """Select another module."""
    widget.parent.exit()
    widget.parent.hide()
    slicer.app.processEvents()


def unload(widget: Any) -> None:
    """What happens when Slicer quits: cleanup() is called and the panel deleted."""
    slicer.app.moduleManager().unload(widget)
    slicer.app.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    slicer.app.processEvents()
