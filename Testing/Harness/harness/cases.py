"""What the tests of case stores share: painted scans, answers to the dialogs, and what the panel shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from harness import dialogs
from harness.panel import loadSample, settle, waitUntil


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


def newStore(folder: Path) -> None:
    """Answers the dialog of a new store: *Hippocampus* in that folder."""

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        ui.storeNameEdit.text = "Hippocampus"
        ui.storeParentEdit.currentPath = str(folder)
        return ok(ui.newStoreButtonBox, dialog)

    dialogs.answers.append(answer)


def finish(panel: Any) -> None:
    """Wait until the store was changed and read."""
    cases = panel.learn.cases
    assert waitUntil(lambda: not cases.control.running and not cases.reader.reading)


def ok(box: Any, dialog: Any) -> int:
    """Click OK as a person does, once that can be done, and give what the dialog says then."""
    import qt

    assert waitUntil(lambda: box.button(qt.QDialogButtonBox.Ok).enabled, 10)
    box.button(qt.QDialogButtonBox.Ok).click()
    return int(dialog.result())


def addCase(panel: Any, change: Callable[[Any], None], *answers: Any) -> None:
    """Click *Add case*, answer the dialog, and wait for the end.

    Args:
        panel: the panel.
        change: called with the widgets of the dialog once the segments were read.
        answers: to the questions after it.
    """

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        change(ui)
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.extend([answer, *answers])
    panel.learn.cases.addCase()
    finish(panel)


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


def choice(ui: Any, segment: str) -> str:
    """What a person reads behind a segment in the mapping table."""
    table = ui.mappingTable
    rows = (row for row in range(table.rowCount) if table.item(row, 0).text() == segment)
    return str(table.cellWidget(next(rows), 1).currentText)


def index(folder: Path) -> dict[str, Any]:
    """The content of dataset.json."""
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
    """The line below the buttons."""
    return str(panel.learn.cases.ui.casesStatusLabel.text).replace("\u200b", "")


def otherScan(panel: Any, name: str = "scan 2") -> Any:
    """Another scan, painted, chosen in the panel."""
    volume = loadSample(name)
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[:, ::-1].copy())
    panel.segmentPanel.channels.selectors[0].setCurrentNode(volume)
    segmentation = paint(volume, {"POSTERIOR": (10, 14), "Cyst": (15, 19)}, slices=(7,))
    panel.ui.segmentationSelector.setCurrentNode(segmentation)
    settle()
    return volume


def nothing(_ui: Any) -> None:
    """Leave the dialog as it is."""


def problem(panel: Any) -> str:
    """Why the store cannot be used, as the panel says it; "" where it does not."""
    ui = panel.learn.cases.ui
    return str(ui.storeProblemLabel.text).replace("\u200b", "") if ui.storeProblemArea.visible else ""


def manyCases(folder: Path, count: int) -> Path:
    """A store with so many cases; only what lists them."""
    folder.mkdir()
    training = [
        {
            "id": f"case {number}",
            "image": f"images/{number}.nii.gz",
            "label": f"labels/{number}.nii.gz",
            "held_out": number % 10 == 0,
            "annotated": {
                "labels": [1],
                "region": "slices",
                "axis": "k",
                "slices": list(range(number % 7 + 1)),
            },
        }
        for number in range(count)
    ]
    data = {
        "name": "many",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "spleen"},
        "training": training,
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(data), encoding="utf-8")
    return folder
