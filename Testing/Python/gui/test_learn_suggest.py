"""*Suggest next* in the panel: a real worker ranks real scans; the chosen one is opened with the model's answer."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")

UNLABELLED = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the case store that comes with the package, with so many of the scans without labels."""
    from harness.runs import copySample

    return copySample(tmp_path / "cases", UNLABELLED)


@pytest.fixture
def learning(working_panel: Any, folder: Path) -> Any:
    """The panel with that store, and a real worker."""
    working_panel.learn.suggest.control.ignoredSeconds = 0.0
    choose(working_panel, folder)
    return working_panel


def choose(panel: Any, folder: Path) -> None:
    from harness.panel import waitUntil

    panel.ui.learnSection.collapsed = False
    panel.learn.cases.chooser.choose(folder)
    assert waitUntil(lambda: panel.learn.context.store() is not None)
    panel.learn.refresh()


def ui(panel: Any) -> Any:
    return panel.learn.suggest.ui


def status(panel: Any) -> str:
    return str(ui(panel).suggestStatusLabel.text).replace("\u200b", "")


def listed(panel: Any) -> list[str]:
    table = ui(panel).suggestionsTable
    return [table.item(row, 0).text() for row in range(table.rowCount)]


def search(panel: Any) -> None:
    from harness.panel import waitUntil

    assert ui(panel).suggestButton.enabled, status(panel)
    ui(panel).suggestButton.click()
    assert ui(panel).suggestButton.text == "Cancel"
    assert waitUntil(lambda: not panel.learn.suggest.control.running)
    assert listed(panel), status(panel)


def test_the_first_suggestion_is_opened_with_the_models_answer(learning: Any) -> None:
    from harness.panel import waitUntil

    search(learning)
    names = listed(learning)
    assert len(names) == UNLABELLED
    assert all(name.startswith("hippocampus_") for name in names)
    why = ui(learning).suggestionsTable.item(0, 1).text()
    assert why
    assert status(learning) == f"{names[0]}: {why}"
    assert not ui(learning).suggestProgressBar.visible
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    learning.ui.segmentationSelector.setCurrentNode(other)
    assert ui(learning).openSuggestionButton.enabled
    ui(learning).openSuggestionButton.click()
    assert learning.control.running, status(learning)
    assert not ui(learning).openSuggestionButton.enabled
    assert waitUntil(lambda: not learning.control.running)
    volume = learning.learn.context.volume()
    assert names[0] in volume.GetName()
    result = learning.learn.context.segmentation()
    assert result is not other
    assert result.GetSegmentation().GetNumberOfSegments() == 2
    assert other.GetSegmentation().GetNumberOfSegments() == 0
    assert "correct the model's answer" in status(learning)


def test_a_search_can_be_stopped(learning: Any) -> None:
    from harness.panel import waitUntil

    part = learning.learn.suggest
    ui(learning).suggestButton.click()
    assert waitUntil(lambda: "Looking at scans" in status(learning))
    assert ui(learning).suggestProgressBar.visible
    ui(learning).suggestButton.click()
    assert waitUntil(lambda: not part.control.running)
    assert listed(learning) == []
    assert status(learning) == "Stopped on request."
    assert ui(learning).suggestButton.text == "Suggest next"
    search(learning)


def test_a_segmentation_does_not_wait_for_a_search(learning: Any) -> None:
    from harness.panel import loadSample, runToEnd

    loadSample()
    ui(learning).suggestButton.click()
    runToEnd(learning)
    assert learning.learn.context.segmentation() is not None
    assert not learning.learn.suggest.control.running
    assert status(learning) == "Stopped, as something else was begun."
    search(learning)


def test_a_scan_that_was_annotated_or_removed_meanwhile_is_listed_no_more(learning: Any) -> None:
    search(learning)
    first, second = listed(learning)[:2]
    context, whole = learning.learn.context, learning.learn.context.store()
    left = tuple(case for case in whole.cases if case.id != first)
    context.store = lambda: dataclasses.replace(whole, cases=left)
    learning.learn.suggest.openSelected()  # before the panel has heard of it
    assert f"'{first}' is no longer" in status(learning)
    assert listed(learning)[0] == second
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_a_scan_whose_file_vanished_gives_a_sentence(learning: Any, folder: Path) -> None:
    from harness import dialogs

    search(learning)
    name = listed(learning)[0]
    (folder / "images" / f"{name}.nii.gz").unlink()
    ui(learning).openSuggestionButton.click()
    assert not learning.control.running
    assert f"'{name}' could not be opened." in status(learning)
    assert dialogs.texts("error")


def test_the_scene_may_close_while_scans_are_looked_at(learning: Any) -> None:
    from harness.panel import waitUntil

    ui(learning).suggestButton.click()
    slicer.mrmlScene.Clear(0)
    assert waitUntil(lambda: not learning.learn.suggest.control.running)
    assert len(listed(learning)) == UNLABELLED


def test_another_store_takes_the_list_away(learning: Any, folder: Path, tmp_path: Path) -> None:
    search(learning)
    choose(learning, Path(shutil.copytree(folder, tmp_path / "other")))
    assert listed(learning) == []
    assert not ui(learning).suggestionsTable.visible


def test_what_is_missing_is_said_and_nothing_begins(panel: Any, folder: Path) -> None:
    assert not ui(panel).suggestButton.enabled
    assert "case store" in status(panel)
    choose(panel, folder)
    assert ui(panel).suggestButton.enabled
    assert status(panel) == ""
    panel.learn.context.chosenModel = lambda: None
    panel.learn.suggest.update()
    assert not ui(panel).suggestButton.enabled
    assert "Choose a model" in ui(panel).suggestButton.toolTip
