"""The table of cases: open, hold out, remove, link; what others change; many of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")

# What is in the store


def test_a_double_click_opens_a_case_beside_what_is_there(learning: Any, store: Path) -> None:
    from harness.cases import otherScan
    from harness.panel import settle

    assert store
    other = otherScan(learning)
    nodes = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")}
    table = learning.learn.cases.ui.casesTable
    table.cellDoubleClicked.emit(0, 0)
    settle()
    opened = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")}
    assert nodes < opened
    assert other.GetScene() is not None
    chosen = learning.segmentPanel.channels.nodes()[0]
    assert chosen.GetID() in opened - nodes
    segmentation = learning.ui.segmentationSelector.currentNode()
    parts = segmentation.GetSegmentation()
    names = [parts.GetNthSegment(number).GetName() for number in range(parts.GetNumberOfSegments())]
    assert names == ["anterior", "Posterior"]


def test_a_case_is_held_out_and_removed_only_after_asking(learning: Any, store: Path) -> None:
    from harness import dialogs
    from harness.cases import finish, shown, status

    panel = learning.learn.cases
    name = shown(learning)[0][0]

    def click(button: Any, agreed: bool) -> None:
        panel.table.select(name)
        dialogs.answers.append(agreed)
        button.click()
        finish(learning)

    before = (store / "dataset.json").read_bytes()
    click(panel.ui.holdOutButton, False)
    click(panel.ui.removeCaseButton, False)
    assert (store / "dataset.json").read_bytes() == before
    click(panel.ui.holdOutButton, True)
    assert shown(learning)[0][1] == "held out"
    assert "ever" in dialogs.texts("question")[-1]
    assert not panel.ui.holdOutButton.enabled  # there is nothing left to hold out
    image = next((store / "images").iterdir()).read_bytes()
    click(panel.ui.removeCaseButton, True)
    assert shown(learning) == []
    assert str(store) in status(learning)
    kept = [path for path in store.rglob("*.nii.gz") if path.read_bytes() == image]
    assert kept  # a removed case can be brought back


def test_the_menu_of_a_case_offers_what_the_buttons_do(learning: Any, store: Path) -> None:
    from harness import dialogs
    from harness.cases import index, shown

    cases = learning.learn.cases
    cases.table.select(shown(learning)[0][0])
    actions = {action.text: action for action in cases.menu().actions()}
    assert list(actions) == ["Open", "Hold out...", "Remove..."]
    dialogs.answers.append(False)
    actions["Remove..."].trigger()
    assert "Remove" in dialogs.texts("question")[-1]
    assert len(index(store)["training"]) == 1


def test_what_another_program_adds_is_listed(learning: Any, store: Path) -> None:
    from harness.cases import index, shown
    from harness.panel import waitUntil

    data = index(store)
    data["unlabelled"].append({"id": "theirs", "image": "images/theirs.nii.gz"})
    (store / "dataset.json").write_text(json.dumps(data), encoding="utf-8")
    learning.learn.cases.reader.look()
    assert waitUntil(lambda: len(shown(learning)) == 2, 10)
    table = learning.learn.cases.table
    theirs = next(case for case in learning.learn.context.store().cases if case.id == "theirs")
    assert waitUntil(lambda: table.isMissing(theirs), 10)  # greyed: the file is not there
    table.select("theirs")
    learning.learn.cases.ui.openCaseButton.click()
    from harness import dialogs

    assert "is not there" in dialogs.texts("error")[-1]


def test_unlabelled_scans_in_a_folder_are_linked_not_copied(
    learning: Any, store: Path, tmp_path: Path
) -> None:
    import shutil

    from harness import dialogs
    from harness.cases import finish, shown, status
    from harness.panel import SAMPLE

    scans = tmp_path / "scans"
    scans.mkdir()
    for number, path in enumerate(sorted((SAMPLE / "images").glob("*.nii.gz"))[:2]):
        shutil.copyfile(path, scans / f"scan {number}.nii.gz")
    (scans / "broken.nii.gz").write_text("no scan")
    files = {path: path.stat().st_mtime_ns for path in scans.iterdir()}
    stored = set(store.rglob("*.nii.gz"))
    dialogs.answers.extend([str(scans), True])
    learning.learn.cases.actions.addFolder()
    finish(learning)
    assert "not copied" in dialogs.texts("question")[-1]
    assert set(store.rglob("*.nii.gz")) == stored
    assert {path: path.stat().st_mtime_ns for path in scans.iterdir()} == files
    added = [row for row in shown(learning) if row[1] == "unlabelled"]
    assert added
    assert "added" in status(learning)


def test_volumes_of_the_scene_are_copied_only_after_saying_how_much(learning: Any, store: Path) -> None:
    import qt

    from harness import dialogs
    from harness.cases import finish, index, ok, otherScan, shown

    volume = otherScan(learning, "only on screen")
    asked: list[str] = []

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        for row in range(ui.unlabelledList.count):
            if ui.unlabelledList.item(row).text() == volume.GetName():
                ui.unlabelledList.item(row).setCheckState(qt.Qt.Checked)
        asked.append(ui.unlabelledStatusLabel.text)
        return ok(ui.unlabelledButtonBox, dialog)

    dialogs.answers.append(answer)
    learning.learn.cases.actions.addVolumes()
    finish(learning)
    assert "copied" in asked[0]
    assert "MB" in asked[0]
    assert [row[1] for row in shown(learning)] == ["unlabelled", "annotated"]
    assert len(index(store)["unlabelled"]) == 1


# Many cases


def test_a_thousand_cases_are_listed_sorted_and_filtered(learning: Any, tmp_path: Path) -> None:
    from harness.cases import finish, manyCases, shown

    cases = learning.learn.cases
    cases.chooser.choose(manyCases(tmp_path / "many", 1000))
    finish(learning)
    assert len(shown(learning)) == 1000
    assert [row[0] for row in shown(learning)[:3]] == ["case 0", "case 1", "case 2"]  # 10 does not follow 1
    header = cases.ui.casesTable.horizontalHeader()
    header.sectionClicked.emit(0)
    assert shown(learning)[0][0] == "case 999"
    header.sectionClicked.emit(2)
    assert shown(learning)[0][2] == "1 slice"
    assert shown(learning)[-1][2] == "7 slices"
    cases.ui.caseFilterEdit.text = "held liver"
    assert len(shown(learning)) == 100
    assert {row[1] for row in shown(learning)} == {"held out"}
    cases.ui.caseFilterEdit.text = "no such case"
    assert shown(learning) == []
    cases.table.select("case 7")
    assert cases.ui.caseFilterEdit.text == ""
    assert [case.id for case in cases.table.selected()] == ["case 7"]
    cases.ui.caseFilterEdit.text = "case 7"
    assert [case.id for case in cases.table.selected()] == ["case 7"]
    assert "900 annotated" in cases.ui.storeSummaryLabel.text
