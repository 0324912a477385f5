"""Start the MRML part of Slicer (slicer-core) without Qt: the scene, the module logics and a stand-in for slicer.app.

Real here: MRML nodes, module logics, storage, the functions of slicer.util. Standing in: ``slicer.app``,
``slicer.modules`` and the subject hierarchy observers (:mod:`harness.hierarchy`), which are Qt code in Slicer.
"""

from __future__ import annotations

import atexit
import colorsys
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk

from harness import dialogs, packaging
from harness.files import CoreIOManager
from harness.hierarchy import SubjectHierarchy
from harness.terminology import write_terminologies

# Here and not in start(): test files import modules of the extension before anything is started.
slicer.__path__.append(str(Path(__file__).parent / "slicer_python"))

# slicer.modules.<name> -> class of its logic. In Slicer these names are imported from libraries of their own.
LOGICS = {
    "annotations": "vtkSlicerAnnotationModuleLogic",
    "cameras": "vtkSlicerCamerasModuleLogic",
    "colors": "vtkSlicerColorLogic",
    "cropvolume": "vtkSlicerCropVolumeLogic",
    "data": "vtkSlicerDataModuleLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "models": "vtkSlicerModelsLogic",
    "plots": "vtkSlicerPlotsLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "tables": "vtkSlicerTablesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "texts": "vtkSlicerTextsLogic",
    "transforms": "vtkSlicerTransformLogic",
    "units": "vtkSlicerUnitsLogic",
    "volumerendering": "vtkSlicerVolumeRenderingLogic",
    "volumes": "vtkSlicerVolumesLogic",
}
# Registration of node classes depends on it: a logic may use nodes that another one registers.
FIRST = ("colors", "units", "terminologies", "subjecthierarchy", "tables", "volumes", "transforms", "markups")
SHARE = "share/Slicer-5.13"
# Names under which modules import the libraries in Slicer.
LIBRARIES = {
    "vtkITK": "vtkITK",
    "vtkSegmentationCorePython": "vtkSegmentationCore",
    "vtkSegmentationCore": "vtkSegmentationCore",
    "vtkSlicerSegmentationsModuleLogicPython": "vtkSlicerSegmentationsModuleLogic",
    "vtkSlicerSegmentationsModuleMRMLPython": "vtkSlicerSegmentationsModuleMRML",
    "vtkAddonPython": "vtkAddonPython",
}


class Module:
    """What ``slicer.modules.<name>`` gives for a module written in C++: its name and its logic."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


class Modules(SimpleNamespace):
    """``slicer.modules``: an attribute for each module; a missing one raises AttributeError, as in Slicer."""


class ModuleManager:
    """``slicer.app.moduleManager()``."""

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(vars(slicer.modules))

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return self.modulesNames()

    def isLoaded(self, name: str) -> bool:
        return self.module(name) is not None


class Environment(dict):
    """The QProcessEnvironment that ``slicer.app.startupEnvironment()`` returns."""

    def value(self, name: str) -> str:
        return self.get(name, "")


class CoreApplication:
    """Stands in for qSlicerApplication; the Qt harness adds it to its QApplication."""

    applicationName = "Slicer"
    applicationVersion = "5.13.0-harness"
    majorVersion = 5
    minorVersion = 13
    revision = "0"
    os = "linux"

    def startCore(self) -> None:
        """Make the scene, the application logic and the module logics, and put them into the slicer namespace."""
        folder = Path(tempfile.mkdtemp(prefix="SlicerHarness"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self._folder = folder
        self._testing = True
        self._managers = (ModuleManager(), CoreIOManager())
        self._scene = slicer.vtkMRMLScene()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._keep = _set_up_scene(self._scene, self._logic, folder)
        slicer.app = self
        slicer.mrmlScene = self._scene
        slicer.modules = Modules()
        _add_modules(self._scene, self._logic, folder)
        self._hierarchy = SubjectHierarchy(self._scene)

    @property
    def temporaryPath(self) -> str:
        return str(self._folder / "temporary")

    @property
    def slicerHome(self) -> str:
        return str(self._folder / "home")

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def coreIOManager(self) -> CoreIOManager:
        return self._managers[1]

    def ioManager(self) -> CoreIOManager:
        return self._managers[1]

    def moduleManager(self) -> ModuleManager:
        return self._managers[0]

    def layoutManager(self) -> Any:
        return None

    def exit(self, code: int) -> None:
        """Slicer ends its loop of events with this code; there is none here."""
        self.exitCode = code

    def testingEnabled(self) -> bool:
        return self._testing

    def commandOptions(self) -> Any:
        return SimpleNamespace(noMainWindow=True, testingEnabled=self._testing, noSplash=True)

    def startupEnvironment(self) -> Environment:
        return Environment(os.environ)

    def processEvents(self) -> None:
        """Nothing to process without Qt."""

    def pauseRender(self) -> None:
        """Nothing to pause without views."""

    def resumeRender(self) -> None:
        """Nothing to resume without views."""

    def setRenderPaused(self, paused: bool) -> None:
        """Nothing to pause without views."""

    def topLevelWidgets(self) -> list[Any]:
        return []

    def userSettings(self) -> Any:
        raise RuntimeError("settings need the Qt harness")


def _set_up_scene(scene: Any, logic: Any, folder: Path) -> tuple[Any, Any]:
    colors = folder / "home" / SHARE / "ColorFiles"
    for path in (folder / "temporary", folder / "cache", colors):
        path.mkdir(parents=True)
    (colors / "GenericColors.txt").write_text(_color_table(), encoding="utf-8")
    logic.SetHomeDirectory(str(folder / "home"))
    logic.SetShareDirectory(SHARE)
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.GetCacheManager().SetRemoteCacheDirectory(str(folder / "cache"))
    data = slicer.vtkDataIOManagerLogic()
    data.SetMRMLApplicationLogic(logic)
    logic.SetTemporaryPath(str(folder / "temporary"))
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    logic.SetMRMLScene(scene)
    logic.SetMRMLSceneDataIO(scene, remote, data)
    scene.AddNode(slicer.vtkMRMLCrosshairNode()).SetCrosshairName("default")
    return remote, data


def _color_table() -> str:
    """A label colour table of our own in Slicer's format; Slicer's logic asks for one of this name."""
    lines = ["# Color", "0 background 0 0 0 0"]
    for value in range(1, 256):
        red, green, blue = (int(255 * c) for c in colorsys.hsv_to_rgb(value * 0.618 % 1, 0.6, 0.9))
        lines.append(f"{value} Label_{value} {red} {green} {blue} 255")
    return "\n".join(lines) + "\n"


def _add_modules(scene: Any, application_logic: Any, folder: Path) -> None:
    shares = folder / "share"
    for name in (*FIRST, *(name for name in LOGICS if name not in FIRST)):
        logic = getattr(slicer, LOGICS[name])()
        if isinstance(logic, slicer.vtkSlicerModuleLogic):
            share = shares / name
            share.mkdir(parents=True)
            if name == "terminologies":
                write_terminologies(share)
            logic.SetModuleShareDirectory(str(share))
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name.capitalize(), logic)
        setattr(slicer.modules, name, Module(name, logic))
    colors = slicer.modules.colors.logic()
    application_logic.SetColorLogic(colors)
    colors.AddDefaultColorNodes()


def clear() -> None:
    """Close the scene, as File > Close scene does: data nodes go, singletons and colour nodes stay."""
    slicer.mrmlScene.Clear(False)


def reset() -> None:
    """An empty scene for the next test: also without the parameter nodes, whose observers outlive a closed scene."""
    clear()
    for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        slicer.mrmlScene.RemoveNode(node)


def usePackaging(available: bool) -> None:
    """Whether ``slicer.packaging`` can be imported: from Slicer 5.12 on it can, in 5.10 it cannot."""
    sys.modules["slicer.packaging"] = packaging if available else None  # type: ignore[assignment]
    if available:
        slicer.packaging = packaging
    elif hasattr(slicer, "packaging"):
        del slicer.packaging


_started: list[CoreApplication] = []


def core() -> CoreApplication:
    """The application without Qt; started by the first call."""
    if not _started:
        slicer.util.pip_install, slicer.util.pip_uninstall = packaging.pip_install, packaging.pip_uninstall
        usePackaging(True)
        dialogs.install()
        for alias, library in LIBRARIES.items():
            sys.modules.setdefault(alias, __import__(f"slicer_core.{library}", fromlist=[library]))
        _started.append(CoreApplication())
        _started[0].startCore()
    return _started[0]


def start() -> Any:
    """Start once per process; returns ``slicer.app``, without Qt also where the Qt harness ran before."""
    slicer.app = core()
    return slicer.app
