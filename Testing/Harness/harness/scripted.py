"""What holds a scripted module in Slicer: its module object, its widget and the module manager."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from harness import application
from harness.qmrml.widget import qMRMLWidget
from harness.stored import stored


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel a scripted module fills; its layout is there before the module's widget is made."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module = module
        self._instance: Any = None
        self._entered = False
        QtWidgets.QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)

    def self(self) -> Any:
        return self._instance

    def build(self) -> None:
        """Harness only: make the module's widget object and call setup()."""
        name = self._module.name
        self._instance = getattr(sys.modules[name], name + "Widget")(self)
        setattr(slicer.modules, name + "Widget", self._instance)
        self._instance.setup()

    def reload(self) -> None:
        self.build()

    def module(self) -> Any:
        return self._module

    def moduleName(self) -> str:
        return self._module.name

    def isEntered(self) -> bool:
        return self._entered

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._instance, "enter"):
            self._instance.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._instance, "exit"):
            self._instance.exit()


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """``slicer.modules.<name>`` of a scripted module; the module's class fills its properties in."""

    title, setTitle = stored(str, "")
    categories, setCategories = stored("QStringList", ())
    contributors, setContributors = stored("QStringList", ())
    dependencies, setDependencies = stored("QStringList", ())
    associatedNodeTypes, setAssociatedNodeTypes = stored("QStringList", ())
    helpText, setHelpText = stored(str, "")
    acknowledgementText, setAcknowledgementText = stored(str, "")
    hidden, setHidden = stored(bool, False)
    widgetRepresentationCreationEnabled, setWidgetRepresentationCreationEnabled = stored(bool, True)
    index, setIndex = stored(int, -1)
    icon, setIcon = stored(QtGui.QIcon, QtGui.QIcon())
    path = QtCore.Property(str, lambda self: str(self._path))

    def __init__(self, path: Path) -> None:
        super().__init__(slicer.app)
        self._path = path
        self._instance: Any = None
        self._widget: Any = None
        self.setObjectName(path.stem)
        setattr(slicer.modules, path.stem.lower(), self)

    def setInstance(self, instance: Any) -> None:
        """Harness only: the object of the module's class."""
        self._instance = instance
        setattr(slicer.modules, self.name + "Instance", instance)

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
            self._widget.build()
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        widget = qSlicerScriptedLoadableModuleWidget(self)
        widget.build()
        return widget

    def logic(self) -> Any:
        return None

    def close(self) -> None:
        """Harness only: the module is gone."""
        if self._widget is not None:
            self._widget.deleteLater()
            self._widget = None
        if getattr(slicer.modules, self.name.lower(), None) is not self:
            return  # another one of that name was loaded after it
        for name in (self.name.lower(), self.name + "Widget", self.name + "Instance"):
            if hasattr(slicer.modules, name):
                delattr(slicer.modules, name)


class ModuleManager(QtCore.QObject, application.ModuleManager):
    """``slicer.app.moduleManager()`` with its signals."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def unload(self, widget: Any) -> None:
        """Harness only: unload the module of this widget and no other, also where two have the same name."""
        module = widget.parent.module()
        if widget.parent.isEntered():
            widget.parent.exit()
        # The signal carries a name only and would reach the other one too.
        widget._onModuleAboutToBeUnloaded(module.name)
        module.close()
