"""The Qt harness behaves as Slicer does, on a tiny module of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

MODULE = """
import ctk, qt, slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _, translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

@parameterNodeWrapper
class TinyParameters:
    inputVolume: vtkMRMLScalarVolumeNode
    note: str = "first"

class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Tiny")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]

class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.calls = []
        self.parameters = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/Tiny.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)

    def enter(self):
        self.parameters = TinyParameters(TinyLogic().getParameterNode())
        self.tag = self.parameters.connectGui(self.ui)
        self.calls.append("enter")

    def exit(self):
        self.disconnect()
        self.calls.append("exit")

    def disconnect(self):
        if self.parameters:
            self.parameters.disconnectGui(self.tag)

    def cleanup(self):
        self.removeObservers()
        self.disconnect()
        self.calls.append("cleanup")

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Failed.")):
            raise ValueError("no volume")

class TinyLogic(ScriptedLoadableModuleLogic):
    pass

class TinyTest(ScriptedLoadableModuleTest):
    ran = []

    def test_one(self):
        self.delayDisplay("one")
        self.ran.append(1)
"""

UI = """<ui version="4.0"><class>Tiny</class>
<widget class="qMRMLWidget" name="Tiny"><layout class="QVBoxLayout" name="rows">
<item><widget class="ctkCollapsibleButton" name="section"><property name="text"><string>Inputs</string></property>
<layout class="QFormLayout" name="form">
<item row="0" column="1"><widget class="qMRMLNodeComboBox" name="inputSelector">
<property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
<property name="noneEnabled"><bool>true</bool></property><property name="addEnabled"><bool>false</bool></property>
<property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
<item row="1" column="1"><widget class="QLineEdit" name="noteEdit">
<property name="SlicerParameterName" stdset="0"><string>note</string></property></widget></item>
<item row="2" column="1"><widget class="QPushButton" name="applyButton">
<property name="text"><string>Apply</string></property></widget></item>
</layout></widget></item></layout></widget>
<connections><connection><sender>Tiny</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The file of the tiny module."""
    folder = tmp_path / "Tiny" / "Resources" / "UI"
    folder.mkdir(parents=True)
    (folder / "Tiny.ui").write_text(UI, encoding="utf-8")
    path = tmp_path / "Tiny" / "Tiny.py"
    path.write_text(MODULE, encoding="utf-8")
    return path


@pytest.fixture
def widget(module: Path, load_module: Callable[[Path], Any]) -> Any:
    return load_module(module)


def add_volume(name: str = "scan") -> Any:
    return slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.int16), name=name)


def test_panel_and_parameter_node_follow_each_other(widget: Any) -> None:
    volume = add_volume()
    widget.ui.inputSelector.setCurrentNode(volume)
    widget.ui.noteEdit.text = "typed"
    assert widget.parameters.inputVolume is volume
    assert widget.parameters.note == "typed"
    widget.parameters.note = "set"
    widget.parameters.inputVolume = None
    assert widget.ui.noteEdit.text == "set"
    assert widget.ui.inputSelector.currentNode() is None


def test_after_exit_the_panel_no_longer_writes(widget: Any) -> None:
    from harness import slicer_qt

    slicer_qt.leave(widget)
    widget.ui.noteEdit.text = "typed"
    assert widget.parameters.note == "first"
    assert widget.calls == ["enter", "exit"]


def test_error_is_shown_and_raised(widget: Any) -> None:
    from harness import dialogs, slicer_qt

    widget.ui.applyButton.click()
    assert dialogs.texts("error") == ["Failed.\n\nno volume"]
    assert "ValueError: no volume" in slicer_qt.errors.pop()


def test_reload_calls_cleanup_and_builds_a_new_panel(widget: Any) -> None:
    widget.onReload()
    again = slicer.modules.TinyWidget
    assert widget.calls == ["enter", "cleanup"]
    assert again is not widget
    assert again.ui.applyButton.text == "Apply"


def test_unloading_calls_cleanup_once(module: Path) -> None:
    from harness import slicer_qt

    widget = slicer_qt.enter(slicer_qt.load_module(module))
    slicer_qt.unload(widget)
    assert widget.calls == ["enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "tiny")


def test_of_two_panels_the_one_given_is_unloaded(module: Path) -> None:
    from harness import slicer_qt

    first, second = (slicer_qt.enter(slicer_qt.load_module(module)) for _ in range(2))
    slicer_qt.unload(first)
    assert (first.calls, second.calls) == (["enter", "exit", "cleanup"], ["enter"])
    assert hasattr(slicer.modules, "tiny")
    slicer_qt.unload(second)
    assert second.calls == ["enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "tiny")


def test_developer_section_appears_in_developer_mode(
    module: Path, load_module: Callable[[Path], Any]
) -> None:
    import qt

    qt.QSettings().setValue("Developer/DeveloperMode", True)
    assert load_module(module).reloadButton.text == "Reload"


@pytest.mark.usefixtures("widget")
def test_self_test_of_a_module_runs() -> None:
    slicer.selfTests["Tiny"](msec=0)
    assert sys.modules["Tiny"].TinyTest.ran == [1]


def test_closing_the_scene_resets_the_parameters(widget: Any) -> None:
    widget.ui.inputSelector.setCurrentNode(add_volume())
    widget.parameters.note = "set"
    slicer.mrmlScene.Clear(False)
    assert widget.ui.inputSelector.currentNode() is None
    assert widget.parameters.inputVolume is None


def test_calling_a_property_fails() -> None:
    import qt

    label = qt.QLabel("x")
    assert label.text == "x"
    with pytest.raises(TypeError, match="not callable"):
        label.text()


def test_attributes_cannot_be_added_to_qt_objects() -> None:
    import ctk
    import qt

    for thing in (qt.QLabel("x"), ctk.ctkCollapsibleButton(), slicer.qMRMLNodeComboBox()):
        with pytest.raises(AttributeError, match="enabld"):
            thing.enabld = False


def test_unknown_signal_raises() -> None:
    import qt

    with pytest.raises(RuntimeError, match="clickedTwice"):
        qt.QPushButton("x").connect("clickedTwice()", print)


def test_pyside_names_are_not_in_qt() -> None:
    import qt

    assert not [name for name in ("Signal", "Slot", "Property", "SIGNAL") if hasattr(qt, name)]


def test_connect_and_disconnect_by_signature() -> None:
    import qt

    calls: list[Any] = []
    button = qt.QPushButton("x")
    button.connect("clicked()", lambda: calls.append("none"))
    button.connect("clicked(bool)", calls.append)
    button.click()
    assert sorted(calls, key=str) == [False, "none"]
    button.disconnect("clicked(bool)", calls.append)
    button.click()
    assert calls.count(False) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('class="QLineEdit"', 'class="ctkNothing"', "ctkNothing"),
        ('<property name="noneEnabled">', '<property name="noneAllowed">', "noneAllowed"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "sceneMoved()", "sceneMoved"),
        ("setMRMLScene(vtkMRMLScene*)", "setMRMLScenes()", "setMRMLScenes"),
    ],
)
def test_faults_of_a_ui_file_raise(module: Path, old: str, new: str, message: str) -> None:
    from harness import slicer_qt

    path = module.parent / "Resources" / "UI" / "Tiny.ui"
    path.write_text(UI.replace(old, new), encoding="utf-8")
    with pytest.raises(RuntimeError, match=message):
        slicer_qt.load_module(module)
    slicer.modules.tiny.close()


def test_questions_are_answered_as_told() -> None:
    from harness import dialogs

    assert slicer.util.confirmOkCancelDisplay("Go on?")
    dialogs.answers.extend([False, True])
    assert not slicer.util.confirmYesNoDisplay("Go on?")
    assert slicer.util.confirmRetryCloseDisplay("Again?")
    assert dialogs.texts("question") == ["Go on?", "Go on?", "Again?"]


def test_main_window_can_be_missing(app: Any) -> None:
    assert slicer.util.mainWindow() is not None
    assert app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceNode().GetLayoutName() == "Red"
    app.useMainWindow(False)
    assert slicer.util.mainWindow() is None
    assert app.layoutManager() is None
    assert app.commandOptions().noMainWindow


def test_slice_views_show_a_volume() -> None:
    volume = add_volume()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volume.GetID()


def test_settings_are_of_this_process_only() -> None:
    import qt

    qt.QSettings().setValue("Some/Key", True)
    assert slicer.util.settingsValue("Some/Key", False, converter=slicer.util.toBool) is True
    assert qt.QSettings().fileName().startswith(slicer.app.temporaryPath)


def test_packaging_can_be_absent_as_in_older_versions() -> None:
    from harness import application, packaging

    packaging.pip_install("nothing-of-that-name")
    assert packaging.requested == [("pip_install", ["nothing-of-that-name"], {})]
    application.usePackaging(False)
    with pytest.raises(ImportError):
        importlib.import_module("slicer.packaging")
    slicer.util.pip_install("another")
    assert packaging.requested[-1][1] == ["another"]
