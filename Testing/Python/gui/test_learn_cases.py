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


def newStore(folder: Path) -> None:
    """Answers the dialog of a new store: *Hippocampus* in that folder."""
    from harness import dialogs

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        ui.storeNameEdit.text = "Hippocampus"
        ui.storeParentEdit.currentPath = str(folder)
        return ok(ui.newStoreButtonBox, dialog)

    dialogs.answers.append(answer)


def finish(panel: Any) -> None:
    """Wait until the store was changed and read."""
    from harness.panel import waitUntil

    cases = panel.learn.cases
    assert waitUntil(lambda: not cases.control.running and not cases.reader.reading)


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


@pytest.fixture
def store(learning: Any, painted: tuple[Any, Any], tmp_path: Path) -> Path:
    """A store of two labels with one case, annotated in three slices."""
    newStore(tmp_path)
    addCase(learning, lambda ui: say(ui, "Lesion", "Leave out"))
    assert painted is not None
    return tmp_path / "Hippocampus"


def otherScan(panel: Any, name: str = "scan 2") -> Any:
    """Another scan, painted, chosen in the panel."""
    from harness.panel import loadSample, settle

    volume = loadSample(name)
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[:, ::-1].copy())
    panel.segmentPanel.channels.selectors[0].setCurrentNode(volume)
    segmentation = paint(volume, {"POSTERIOR": (10, 14), "Cyst": (15, 19)}, slices=(7,))
    panel.ui.segmentationSelector.setCurrentNode(segmentation)
    settle()
    return volume


def nothing(_ui: Any) -> None:
    """Leave the dialog as it is."""


# Adding


@pytest.mark.usefixtures("painted")
def test_a_first_case_makes_the_store_and_the_painted_slices_are_finished(
    learning: Any, tmp_path: Path
) -> None:
    newStore(tmp_path)
    addCase(learning, nothing)
    folder = tmp_path / "Hippocampus"
    entry = index(folder)["training"][0]
    assert entry["annotated"] == {
        "labels": [1, 2, 3],
        "region": "slices",
        "axis": "k",
        "slices": [12, 16, 20],
    }
    names = [label["name"] for label in index(folder)["label_table"]]
    assert names == ["anterior", "Posterior", "Lesion"]
    # The bundled model has learnt from this very scan.
    assert shown(learning) == [(entry["id"], "annotated", "3 slices", "3 of 3", "1")]
    assert [case.id for case in learning.learn.cases.table.selected()] == [entry["id"]]
    assert "is in the case store" in status(learning)
    assert learning.settings.caseStore == str(folder)


def test_a_segment_that_the_store_does_not_know_has_to_be_answered(learning: Any, store: Path) -> None:
    import qt

    otherScan(learning)

    def change(ui: Any) -> None:
        button = ui.addCaseButtonBox.button(qt.QDialogButtonBox.Ok)
        assert choice(ui, "POSTERIOR") == "Posterior"
        assert choice(ui, "Cyst") == "Choose..."
        assert not button.enabled
        assert "Cyst" in ui.addCaseStatusLabel.text
        say(ui, "Cyst", "New label 'Cyst'")
        assert button.enabled
        assert ui.finishedSlicesEdit.text == "7"
        ui.heldOutCheckBox.checked = True
        ui.patientEdit.text = "P7"

    addCase(learning, change)
    first, second = index(store)["training"]
    assert [label["name"] for label in index(store)["label_table"]] == ["anterior", "Posterior", "Cyst"]
    assert second["annotated"]["labels"] == [2, 3]
    assert second["held_out"] is True
    assert second["group"] == "P7"
    assert first["annotated"]["labels"] == [1, 2]
    kinds = {row[0]: row[1] for row in shown(learning)}
    assert kinds == {first["id"]: "annotated", second["id"]: "held out"}


def test_two_segments_become_one_label_when_a_person_says_so(learning: Any, store: Path) -> None:
    otherScan(learning)

    def change(ui: Any) -> None:
        say(ui, "Cyst", "Posterior")
        assert "merged" in ui.addCaseStatusLabel.text

    addCase(learning, change)
    assert index(store)["training"][1]["annotated"]["labels"] == [2]


def test_a_store_that_vanishes_behind_the_dialog_is_not_made_anew(learning: Any, store: Path) -> None:
    from harness import dialogs

    otherScan(learning)

    def change(ui: Any) -> None:
        say(ui, "Cyst", "Leave out")
        store.rename(store.with_name("away"))

    addCase(learning, change)
    assert "no longer there" in dialogs.texts("error")[-1]
    assert not store.exists()
    assert problem(learning)
    store.with_name("away").rename(store)
    addCase(learning, lambda ui: say(ui, "Cyst", "Leave out"))  # nothing of what is on screen was lost
    assert len(index(store)["training"]) == 2


def test_the_same_image_again_is_replaced_only_after_asking(learning: Any, store: Path) -> None:
    from harness import dialogs

    before = (store / "dataset.json").read_bytes()

    def other(ui: Any) -> None:
        say(ui, "Lesion", "Leave out")
        ui.finishedSlicesEdit.text = "12"

    addCase(learning, other, False)
    assert "already" in dialogs.texts("question")[-1]
    assert (store / "dataset.json").read_bytes() == before
    assert "Nothing was added" in status(learning)
    addCase(learning, other, True)
    (entry,) = index(store)["training"]
    assert entry["annotated"]["slices"] == [12]
    assert list((store / "replaced").rglob("*.nii.gz"))


def test_what_is_finished_can_be_chosen(learning: Any, store: Path) -> None:
    import qt

    from harness.panel import newRoi

    volume = otherScan(learning)
    roi = newRoi(volume, slice(3, 9))

    def change(ui: Any) -> None:
        say(ui, "Cyst", "Leave out")
        ok_ = ui.addCaseButtonBox.button(qt.QDialogButtonBox.Ok)
        for text, part in (("7, 4O", "no slice number"), ("7, 99", "slices 0 to"), ("", "which slices")):
            ui.finishedSlicesEdit.text = text
            assert part in ui.addCaseStatusLabel.text
            assert not ok_.enabled
        ui.finishedRegionSelector.setCurrentIndex(ui.finishedRegionSelector.findData("roi"))
        assert "ROI" in ui.addCaseStatusLabel.text
        ui.finishedRoiSelector.setCurrentNode(roi)
        # Looked for, and not there:
        ui.finishedList.item(0).setCheckState(qt.Qt.Checked)

    addCase(learning, change)
    entry = index(store)["training"][1]
    assert entry["annotated"]["region"] == "mask"
    assert entry["annotated"]["labels"] == [1, 2]
    assert {row[2] for row in shown(learning)} == {"3 slices", "a region"}


def test_slices_of_another_direction_are_offered_as_painted(learning: Any, store: Path) -> None:
    assert store
    otherScan(learning)

    def change(ui: Any) -> None:
        say(ui, "Cyst", "Leave out")
        titles = [ui.finishedAxisSelector.itemText(k) for k in range(3)]
        assert [title.split(",")[0] for title in titles] == ["axial", "coronal", "sagittal"]
        ui.finishedAxisSelector.setCurrentIndex(1)
        assert ui.finishedSlicesEdit.text == "10-13, 15-18"

    addCase(learning, change)


def test_a_volume_without_segments_cannot_be_added_and_the_panel_says_why(learning: Any) -> None:
    from harness.panel import loadSample, settle

    ui = learning.learn.cases.ui
    assert not ui.addCaseButton.enabled
    assert "Choose the volume" in status(learning)
    loadSample()
    settle()
    assert not ui.addCaseButton.enabled
    assert "choose a segmentation" in status(learning)


def test_an_empty_segmentation_gets_a_sentence_in_the_dialog(learning: Any, store: Path) -> None:
    import qt

    from harness import dialogs
    from harness.panel import waitUntil

    assert store
    volume = otherScan(learning)
    learning.ui.segmentationSelector.setCurrentNode(paint(volume, {}))

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        assert "no segment" in ui.addCaseStatusLabel.text
        assert not ui.addCaseButtonBox.button(qt.QDialogButtonBox.Ok).enabled
        return 0

    dialogs.answers.append(answer)
    learning.learn.cases.addCase()
    assert len(shown(learning)) == 1


# What is in the store


def test_a_double_click_opens_a_case_beside_what_is_there(learning: Any, store: Path) -> None:
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

    cases = learning.learn.cases
    cases.table.select(shown(learning)[0][0])
    actions = {action.text: action for action in cases.menu().actions()}
    assert list(actions) == ["Open", "Hold out...", "Remove..."]
    dialogs.answers.append(False)
    actions["Remove..."].trigger()
    assert "Remove" in dialogs.texts("question")[-1]
    assert len(index(store)["training"]) == 1


def test_what_another_program_adds_is_listed(learning: Any, store: Path) -> None:
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


# Stores


def test_the_store_is_remembered_by_the_machine_not_by_the_scene(
    learning: Any, store: Path, load_module: Callable[[Path], Any]
) -> None:
    from harness import slicer_qt
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
    for stored in ("no json", "[1, 2]", "{}", '["/gone/elsewhere"]'):
        learning.settings.recentStores = stored
        learning.learn.refresh()
        finish(learning)
        assert learning.learn.context.storeFolder() == store
        assert len(shown(learning)) == 1


def test_a_folder_that_is_no_store_is_offered_as_a_new_one(learning: Any, tmp_path: Path) -> None:
    from harness import dialogs

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

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        button = ui.newStoreButtonBox.button(qt.QDialogButtonBox.Ok)
        assert "name" in ui.newStoreStatusLabel.text
        ui.storeNameEdit.text = store.name
        ui.storeParentEdit.currentPath = str(store.parent)
        assert "already" in ui.newStoreStatusLabel.text
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


def problem(panel: Any) -> str:
    ui = panel.learn.cases.ui
    return str(ui.storeProblemLabel.text).replace("\u200b", "") if ui.storeProblemArea.visible else ""


def test_a_store_that_is_broken_or_gone_gets_one_sentence_and_comes_back(learning: Any, store: Path) -> None:
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


# Many cases


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


def test_a_thousand_cases_are_listed_sorted_and_filtered(learning: Any, tmp_path: Path) -> None:
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


# The life of the panel


def test_a_closed_section_reads_no_store(load_module: Callable[[Path], Any], tmp_path: Path) -> None:
    from harness import slicer_qt
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
