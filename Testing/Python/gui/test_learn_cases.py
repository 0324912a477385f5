"""The cases of *Learn*: a store is made, cases are added from segments, asked for, opened, held out and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def learning(working_panel: Any) -> Any:
    """The panel with a real worker and the section Learn open."""
    from harness.panel import settle

    working_panel.warmUp.begin = lambda _model: None
    working_panel.ui.learnSection.collapsed = False
    settle()
    return working_panel


@pytest.fixture
def painted(learning: Any) -> tuple[Any, Any]:
    """A scan and a segmentation painted in three slices, chosen in the panel: two known structures and another one."""
    from harness.panel import loadSample

    volume = loadSample()
    segmentation = paint(volume, {"anterior": (5, 9), "Posterior": (10, 14), "Lesion": (15, 19)})
    learning.ui.segmentationSelector.setCurrentNode(segmentation)
    return volume, segmentation


def paint(volume: Any, rows: dict[str, tuple[int, int]], slices: tuple[int, ...] = (12, 16, 20)) -> Any:
    """A segmentation with a block in those slices for each segment."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "painted")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, (low, high) in rows.items():
        array = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        array[list(slices), low:high, 5:20] = 1
        segmentId = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volume)
    return node


def newStore(panel: Any, folder: Path) -> None:
    """Answers the dialog of a new store: *Hippocampus* in that folder."""
    from harness import dialogs

    del panel

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        ui.storeNameEdit.text = "Hippocampus"
        ui.storeParentEdit.currentPath = str(folder)
        return ok(ui.newStoreButtonBox, dialog)

    dialogs.answers.append(answer)


def ok(box: Any, dialog: Any) -> int:
    """Click OK as a person does, and give what the dialog says then."""
    import qt

    box.button(qt.QDialogButtonBox.Ok).click()
    return int(dialog.result())


def addCase(panel: Any, change: Callable[[Any], None], *answers: Any) -> None:
    """Click *Add case*, answer the dialog, and wait for the end.

    Args:
        panel: the panel.
        change: called with the widgets of the dialog once the segments were read.
        answers: to the questions after it.
    """
    import qt

    from harness import dialogs
    from harness.panel import waitUntil

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        change(ui)
        assert ui.addCaseButtonBox.button(qt.QDialogButtonBox.Ok).enabled, ui.addCaseStatusLabel.text
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.extend([answer, *answers])
    panel.learn.cases.addCase()
    assert waitUntil(lambda: not panel.learn.cases.work.running)


def say(ui: Any, segment: str, answer: str) -> None:
    """Choose in the mapping table what a segment is, by the text that a person reads."""
    table = ui.mappingTable
    for row in range(table.rowCount):
        if table.item(row, 0).text() == segment:
            combo = table.cellWidget(row, 1)
            index = next(k for k in range(combo.count) if combo.itemText(k) == answer)
            combo.setCurrentIndex(index)
            return
    raise AssertionError(segment)


def index(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return data


def shown(panel: Any) -> list[tuple[str, ...]]:
    """The texts of the table, row by row."""
    table = panel.learn.cases.ui.casesTable
    return [
        tuple(table.item(row, column).text() for column in range(table.columnCount))
        for row in range(table.rowCount)
    ]


def status(panel: Any) -> str:
    return str(panel.learn.cases.ui.casesStatusLabel.text).replace("\u200b", "")


def test_a_first_case_makes_the_store_and_the_painted_slices_are_finished(
    learning: Any, painted: tuple[Any, Any], tmp_path: Path
) -> None:
    newStore(learning, tmp_path)
    addCase(learning, lambda ui: None)
    folder = tmp_path / "Hippocampus"
    entry = index(folder)["training"][0]
    assert entry["annotated"] == {
        "labels": [1, 2, 3],
        "region": "slices",
        "axis": "k",
        "slices": [12, 16, 20],
    }
    assert [label["name"] for label in index(folder)["label_table"]] == ["anterior", "Posterior", "Lesion"]
    assert shown(learning) == [(entry["id"], "annotated", "3 slices", "3 of 3", "")]
    assert [case.id for case in learning.learn.cases.table.selected()] == [entry["id"]]
    assert "is in the case store" in status(learning)
    assert learning.settings.caseStore == str(folder)
