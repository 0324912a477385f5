"""Case stores: remembered, made, broken, gone, read-only, slow; and the life of the panel around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")

# Stores


def test_the_store_is_remembered_by_the_machine_not_by_the_scene(
    learning: Any, store: Path, load_module: Callable[[Path], Any]
) -> None:
    from harness import slicer_qt
    from harness.cases import finish, shown
    from harness.panel import MODULE, settle

    slicer_qt.leave(learning)
    slicer.mrmlScene.Clear(0)
    settle()
    again = load_module(MODULE)
    again.warmUp.begin = lambda _model: None
    again.ui.learnSection.collapsed = False
    finish(again)
    assert again.learn.context.storeFolder() == store
    assert len(shown(again)) == 1


def test_settings_edited_by_hand_cost_nothing(learning: Any, store: Path) -> None:
    from harness.cases import finish, shown

    for stored in ("no json", "[1, 2]", "{}", '["/gone/elsewhere"]'):
        learning.settings.recentStores = stored
        learning.learn.refresh()
        finish(learning)
        assert learning.learn.context.storeFolder() == store
        assert len(shown(learning)) == 1


def test_a_folder_that_is_no_store_is_offered_as_a_new_one(learning: Any, tmp_path: Path) -> None:
    from harness import dialogs
    from harness.cases import finish, index, ok

    folder = tmp_path / "mine"
    folder.mkdir()

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert ui.storeNameEdit.text == "mine"
        assert "Modality" in ui.newStoreStatusLabel.text or "modality" in ui.newStoreStatusLabel.text
        ui.storeModalitySelector.setCurrentIndex(ui.storeModalitySelector.findData("CT"))
        return ok(ui.newStoreButtonBox, dialog)

    dialogs.answers.extend([str(folder), True, answer])
    learning.learn.cases.ui.openStoreButton.click()
    finish(learning)
    assert index(folder)["channels"] == [{"name": "image", "modality": "CT"}]
    assert learning.learn.context.storeFolder() == folder


def test_a_new_store_needs_a_name_a_folder_and_a_modality(learning: Any, store: Path) -> None:
    import qt

    from harness import dialogs
    from harness.panel import waitUntil

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        button = ui.newStoreButtonBox.button(qt.QDialogButtonBox.Ok)
        assert "name" in ui.newStoreStatusLabel.text
        ui.storeNameEdit.text = store.name
        ui.storeParentEdit.currentPath = str(store.parent)
        assert waitUntil(lambda: "already" in ui.newStoreStatusLabel.text, 10)
        assert not button.enabled
        ui.storeNameEdit.text = "Another"
        ui.storeChannelsEdit.text = "T1, t1"
        assert "own" in ui.newStoreStatusLabel.text
        ui.storeChannelsEdit.text = "T1"
        assert not ui.newStoreStatusLabel.text.startswith("Each")
        ui.storeParentEdit.currentPath = ""
        assert "folder" in ui.newStoreStatusLabel.text
        assert not button.enabled
        return 0

    dialogs.answers.append(answer)
    learning.learn.cases.ui.newStoreButton.click()
    assert learning.learn.context.storeFolder() == store


def test_a_store_that_is_broken_or_gone_gets_one_sentence_and_comes_back(learning: Any, store: Path) -> None:
    from harness.cases import problem, shown
    from harness.panel import waitUntil

    cases = learning.learn.cases
    good = (store / "dataset.json").read_bytes()
    (store / "dataset.json").write_text('{"training": [', encoding="utf-8")
    cases.reader.look()
    assert waitUntil(lambda: "dataset.json" in problem(learning), 10)
    assert not cases.ui.addCaseButton.enabled
    assert (store / "dataset.json").read_text(encoding="utf-8") == '{"training": ['
    moved = store.with_name("away")
    store.rename(moved)
    cases.reader.look()
    assert waitUntil(lambda: "dataset.json" not in problem(learning) or "not" in problem(learning), 10)
    assert problem(learning)
    assert not cases.ui.addUnlabelledButton.enabled
    (moved / "dataset.json").write_bytes(good)
    moved.rename(store)
    cases.reader.look()
    assert waitUntil(lambda: len(shown(learning)) == 1, 10)
    assert problem(learning) == ""
    assert cases.ui.addCaseButton.enabled


def test_a_read_only_store_can_be_opened_but_not_changed(learning: Any, store: Path) -> None:
    from dataclasses import replace

    from harness.cases import finish, problem, shown
    from medcontext.case_list import read_store

    cases = learning.learn.cases
    cases.reader._read = lambda folder: replace(read_store(folder), writable=False)
    cases.reread()
    finish(learning)
    assert "cannot be written" in problem(learning)
    assert str(store) in problem(learning)
    cases.table.select(shown(learning)[0][0])
    ui = cases.ui
    assert ui.openCaseButton.enabled
    for button in (ui.addCaseButton, ui.addUnlabelledButton, ui.removeCaseButton, ui.holdOutButton):
        assert not button.enabled


def test_a_drive_that_does_not_answer_keeps_nobody_waiting(learning: Any, store: Path) -> None:
    import threading

    from harness.cases import shown
    from harness.panel import settle, waitUntil
    from medcontext.case_list import read_store

    answers = threading.Event()
    cases = learning.learn.cases

    def slow(folder: Path) -> Any:
        answers.wait(20)
        return read_store(folder)

    cases.reader._read = slow
    cases.reader.choose(store)
    settle()
    assert cases.reader.reading
    assert "Reading" in cases.ui.storeSummaryLabel.text
    answers.set()
    assert waitUntil(lambda: len(shown(learning)) == 1, 10)


# The life of the panel


def test_a_closed_section_reads_no_store(load_module: Callable[[Path], Any], tmp_path: Path) -> None:
    from harness import slicer_qt
    from harness.cases import finish, manyCases, shown
    from harness.panel import MODULE
    from MedContextSegmentLib.Setup.Settings import Settings

    Settings().caseStore = str(manyCases(tmp_path / "many", 3))
    panel = load_module(MODULE)
    panel.warmUp.begin = lambda _model: None
    assert panel.learn.context.storeFolder() == tmp_path / "many"
    assert panel.learn.context.store() is None
    slicer_qt.leave(panel)
    slicer_qt.enter(panel)
    assert panel.learn.cases.reader.summary is None
    panel.ui.learnSection.collapsed = False
    finish(panel)
    assert len(shown(panel)) == 3


def test_while_a_case_is_added_nothing_else_begins(learning: Any, store: Path) -> None:
    from harness import dialogs
    from harness.cases import finish, index, shown

    learning.learn.cases.table.select(shown(learning)[0][0])
    ui = learning.learn.cases.ui
    assert ui.removeCaseButton.enabled
    assert not learning.learn.context.busy()
    dialogs.answers.append(True)
    ui.holdOutButton.click()
    assert learning.learn.context.busy()
    assert ui.casesCancelButton.visible
    for name in ("addCaseButton", "removeCaseButton", "openCaseButton", "newStoreButton"):
        assert not getattr(ui, name).enabled, name
    finish(learning)
    assert not ui.casesCancelButton.visible
    assert ui.removeCaseButton.enabled
    assert index(store)["training"][0]["held_out"] is True


def test_closing_the_scene_while_a_case_is_added_loses_nothing(learning: Any, store: Path) -> None:
    from harness import dialogs
    from harness.cases import index, ok, otherScan, say, shown
    from harness.panel import settle, waitUntil

    otherScan(learning)
    before = index(store)

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        say(ui, "Cyst", "Leave out")
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    learning.learn.cases.addCase()
    assert learning.learn.cases.control.running
    slicer.mrmlScene.Clear(0)
    assert waitUntil(lambda: not learning.learn.cases.control.running, 30)
    settle()
    assert len(index(store)["training"]) in (1, 2)  # it was added, or it was not: nothing in between
    assert index(store)["training"][0] == before["training"][0]
    assert not learning.learn.cases.ui.addCaseButton.enabled
    assert len(shown(learning)) == len(index(store)["training"])


def test_two_panels_change_one_store_and_one_goes_away_in_the_middle(
    learning: Any, store: Path, kept_worker: Any
) -> None:
    from harness import dialogs
    from harness.cases import addCase, finish, index, otherScan, say, shown
    from harness.panel import settle, waitUntil

    parent = slicer.modules.medcontextsegment.createNewWidgetRepresentation()
    other = parent.self()
    other.warmUp.begin = lambda _model: None
    other.logic._worker = kept_worker
    other.ui.learnSection.collapsed = False
    finish(other)
    cases = other.learn.cases
    assert len(shown(other)) == 1
    cases.table.select(shown(other)[0][0])
    dialogs.answers.append(True)
    cases.ui.holdOutButton.click()
    assert cases.control.running
    other.cleanup()
    parent.deleteLater()
    settle()
    otherScan(learning)
    addCase(learning, lambda ui: say(ui, "Cyst", "Leave out"))
    learning.learn.cases.reader.look()
    assert waitUntil(lambda: len(shown(learning)) == 2, 10)
    assert len(index(store)["training"]) == 2  # neither lost what the other did


def test_a_reloaded_module_shows_the_store_again(learning: Any, store: Path) -> None:
    from harness.cases import finish, shown
    from harness.panel import settle

    learning.onReload()
    settle()
    fresh = slicer.modules.MedContextSegmentWidget
    fresh.warmUp.begin = lambda _model: None
    fresh.enter()
    fresh.ui.learnSection.collapsed = False
    finish(fresh)
    assert fresh.learn.context.storeFolder() == store
    assert len(shown(fresh)) == 1
    fresh.cleanup()
