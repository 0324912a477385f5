"""The life of the panel: scenes that close, modules that are left and reloaded, settings, the first click."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def fresh_panel(load_module: Callable[[Path], Any]) -> Any:
    """The module's panel, which lets the worker get ready."""
    from harness.panel import MODULE

    return load_module(MODULE)


def test_a_volume_that_is_removed_leaves_its_selector(panel: Any) -> None:
    from harness.panel import loadSample, settle

    volume = loadSample()
    slicer.mrmlScene.RemoveNode(volume)
    settle()
    assert panel.segmentPanel.channels.nodes() == [None]
    assert not panel.ui.segmentButton.enabled


def test_the_scene_keeps_the_choices(panel: Any) -> None:
    import qt

    from harness.panel import loadSample

    volume = loadSample("T1")
    panel.ui.labelsList.item(1).setCheckState(qt.Qt.Unchecked)
    panel.ui.regionSelector.setCurrentIndex(1)
    panel.ui.redoMarginSpinBox.value = 7.0
    from MedContextSegmentLib.Panel.Parameters import parametersOf

    kept = parametersOf(panel.logic.getParameterNode())
    assert list(kept.channels) == [volume]
    assert kept.model.startswith("hippocampus@")
    assert list(kept.unwanted) == ["Posterior"]
    assert kept.region == "roi"
    assert kept.redoMargin == 7.0


def test_settings_belong_to_the_machine_and_outlive_the_panel(load_module: Callable[[Path], Any]) -> None:
    from harness import slicer_qt
    from harness.panel import MODULE

    first = slicer_qt.enter(slicer_qt.load_module(MODULE))
    first.ui.lowMemoryCheckBox.checked = True
    first.ui.certaintySelector.setCurrentIndex(1)
    slicer_qt.unload(first)
    slicer.mrmlScene.Clear(0)
    second = load_module(MODULE)
    assert second.ui.lowMemoryCheckBox.checked
    assert second.settings.certainty == "entropy"
    assert second.ui.certaintySelector.currentIndex == 1


def test_closing_the_scene_empties_the_panel_and_it_works_again(panel: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    slicer.mrmlScene.Clear(0)
    settle()
    assert panel.segmentPanel.channels.nodes() == [None]
    assert not panel.ui.segmentButton.enabled
    volume = loadSample()
    assert panel.segmentPanel.channels.nodes() == [volume]
    assert panel.ui.segmentButton.enabled


def test_two_panels_show_the_same_choices(panel: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    parent = slicer.modules.medcontextsegment.createNewWidgetRepresentation()
    other = parent.self()
    other.warmUp.begin = lambda _model: None
    try:
        settle()
        assert other.segmentPanel.channels.nodes() == panel.segmentPanel.channels.nodes()
        assert other.ui.segmentButton.enabled
    finally:
        other.cleanup()
        parent.deleteLater()
        settle()
    assert panel.ui.segmentButton.enabled


def test_leaving_deactivates_the_editor(panel: Any) -> None:
    from harness.panel import loadSample

    volume = loadSample()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("", "a")
    panel.ui.segmentationSelector.setCurrentNode(node)
    editor = panel.ui.segmentEditorWidget
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is volume
    editor.setActiveEffectByName("Paint")
    panel.exit()
    assert editor.activeEffect() is None
    panel.enter()
    assert editor.segmentationNode() is node


def test_the_editor_has_a_parameter_node_of_its_own(panel: Any) -> None:
    node = panel.ui.segmentEditorWidget.mrmlSegmentEditorNode()
    assert node.GetSingletonTag() == "MedContextSegment"
    slicer.mrmlScene.Clear(0)
    assert panel.ui.segmentEditorWidget.mrmlSegmentEditorNode().GetScene() is slicer.mrmlScene


def test_the_panel_works_without_a_main_window(app: Any, load_module: Callable[[Path], Any]) -> None:
    from harness.panel import MODULE, loadSample

    app.useMainWindow(False)
    panel = load_module(MODULE)
    panel.warmUp.begin = lambda _model: None
    loadSample()
    panel.exit()
    panel.enter()
    assert panel.ui.segmentButton.enabled


def test_reload_gives_a_fresh_panel_of_fresh_code(panel: Any) -> None:
    from harness.panel import loadSample, settle

    loadSample()
    before = sys.modules["MedContextSegmentLib.Panel.Widget"]
    panel.onReload()
    settle()
    fresh = slicer.modules.MedContextSegmentWidget
    fresh.warmUp.begin = lambda _model: None
    assert fresh is not panel
    assert sys.modules["MedContextSegmentLib.Panel.Widget"] is not before
    fresh.enter()
    assert fresh.ui.segmentButton.enabled
    fresh.cleanup()


def test_install_is_asked_for_before_the_first_run_and_refusing_starts_nothing(panel: Any) -> None:
    from harness.panel import loadSample

    loadSample()
    asked: list[bool] = []

    def refuse() -> bool:
        asked.append(True)
        return False

    panel.actions._install = SimpleNamespace(ensureInstalled=refuse)
    panel.ui.segmentButton.click()
    assert asked == [True]
    assert not panel.control.running


def test_doctor_shows_a_report(panel: Any) -> None:
    import qt

    asked: list[str] = []

    def send(kind: str) -> Any:
        asked.append(kind)
        return SimpleNamespace(ended=False)

    panel.logic.worker.send = send
    panel.ui.doctorButton.click()
    windows = [window for window in qt.QApplication.topLevelWidgets() if "Doctor" in window.windowTitle]
    assert len(windows) == 1
    assert "Slicer" in windows[0].findChild("QPlainTextEdit").toPlainText()
    assert asked in ([], ["doctor"])
    windows[0].close()


def test_install_and_offline_pack_are_asked_for_by_their_buttons(panel: Any) -> None:
    from harness import dialogs

    called: list[str] = []

    def ensure() -> bool:
        called.append("install")
        return True

    panel._with.install = SimpleNamespace(
        ensureInstalled=ensure,
        installFromPack=lambda: called.append("pack"),
        missingPackages=list,
    )
    panel.ui.installButton.click()
    panel.ui.offlinePackButton.click()
    assert called == ["install", "pack"]
    assert "installed" in dialogs.texts("info")[0]


def test_a_setting_changed_elsewhere_stays_when_another_is_chosen(panel: Any) -> None:
    panel.settings.lowMemory = True  # as after the offer when memory ran out
    panel.ui.precisionSelector.setCurrentIndex(1)
    assert panel.settings.lowMemory
    assert panel.settings.precision == "fp32"
    panel.exit()
    panel.enter()
    assert panel.ui.lowMemoryCheckBox.checked


def test_the_worker_gets_ready_as_a_click_would_use_it_once_a_run_could_begin(
    fresh_panel: Any,
) -> None:
    from harness.panel import loadSample, settle

    panel = fresh_panel
    panel.settings.device, panel.settings.precision = "cpu", "fp32"
    asked: list[tuple[str, dict[str, str]]] = []

    def send(kind: str, **fields: str) -> Any:
        asked.append((kind, fields))
        return SimpleNamespace(ended=True)

    panel.logic.worker.send = send
    settle()
    assert asked == []
    loadSample()
    panel.update()
    [(kind, fields)] = asked
    assert kind == "warm"
    assert fields.pop("model").startswith("hippocampus@")
    assert fields == {"device": "cpu", "precision": "fp32"}


def test_threads_get_their_turn_while_the_worker_gets_ready(
    fresh_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Slicer waits for events only callbacks of Python let its threads run."""
    from harness.panel import loadSample, waitUntil

    turns: list[float] = []
    clock = SimpleNamespace(sleep=turns.append)
    monkeypatch.setattr(sys.modules["MedContextSegmentLib.Panel.WarmUp"], "time", clock)
    request = SimpleNamespace(ended=False)
    fresh_panel.logic.worker.send = lambda _kind, **_fields: request
    loadSample()
    assert waitUntil(lambda: len(turns) >= 3, 10)
    assert all(seconds > 0 for seconds in turns)
    request.ended = True
    assert waitUntil(lambda: not fresh_panel.warmUp.waiting, 10)


@pytest.mark.usefixtures("sample")
def test_a_mistake_at_the_end_of_a_run_is_heard_of_and_leaves_the_panel_usable(panel: Any) -> None:
    from harness import slicer_qt
    from harness.panel import waitUntil

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")

    def start(request: Any, listener: Any, *_rest: Any) -> Any:
        run = SimpleNamespace(state="done", error=None, request=request, segmentationNode=node)
        run.poll = lambda: listener.ended(run)
        return run

    def fail(_run: Any) -> None:
        error = "no such widget"
        raise RuntimeError(error)

    panel.logic.start = start
    panel.actions._onDone = fail
    panel.ui.segmentButton.click()
    assert waitUntil(lambda: not panel.control.running, 10)
    assert panel.ui.segmentButton.text == "Segment"
    assert panel.ui.segmentButton.enabled
    assert len(slicer_qt.errors) == 1
    assert "no such widget" in slicer_qt.errors.pop()
