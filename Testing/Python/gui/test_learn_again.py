"""The dialog *Add case* keeps what is known: of an opened case, of a held-out one, of what a person said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


def test_an_opened_held_out_case_is_offered_as_it_is_and_stays_held_out(
    learning: Any, painted: tuple[Any, Any], tmp_path: Path
) -> None:
    import qt

    from harness import dialogs
    from harness.cases import addCase, index, newStore, nothing, say, shown

    assert painted

    def first(ui: Any) -> None:
        say(ui, "Lesion", "Leave out")
        ui.finishedSlicesEdit.text = "9, 12, 16"
        ui.finishedList.item(1).setCheckState(qt.Qt.Unchecked)
        ui.patientEdit.text = "P7"
        ui.heldOutCheckBox.checked = True

    newStore(tmp_path)
    addCase(learning, first)
    folder = tmp_path / "Hippocampus"
    (before,) = index(folder)["training"]
    assert (before["annotated"]["slices"], before["annotated"]["labels"]) == ([9, 12, 16], [1])
    slicer.mrmlScene.Clear(0)
    learning.learn.cases.openCase(shown(learning)[0][0])
    seen: list[Any] = []

    def again(ui: Any) -> None:
        seen.append((ui.finishedSlicesEdit.text, ui.patientEdit.text))
        seen.append((ui.heldOutCheckBox.checked, ui.heldOutCheckBox.enabled))
        seen.append([ui.finishedList.item(row).checkState() == qt.Qt.Checked for row in range(1)])

    addCase(learning, again, False)
    assert "already" in dialogs.texts("question")[-1]
    assert seen == [("9, 12, 16", "P7"), (True, False), [True]]
    assert index(folder)["training"] == [before]
    addCase(learning, nothing, True)
    (after,) = index(folder)["training"]
    assert (after["annotated"], after["group"], after["held_out"]) == (before["annotated"], "P7", True)


def test_an_opened_case_without_ticks_of_its_own_keeps_labels_that_are_absent(
    learning: Any, store: Path
) -> None:
    import qt

    from harness.cases import addCase, index, otherScan, say, shown

    otherScan(learning)

    def absent(ui: Any) -> None:
        say(ui, "Cyst", "Leave out")
        ui.finishedList.item(0).setCheckState(qt.Qt.Checked)  # looked for, and not there

    addCase(learning, absent)
    entry = index(store)["training"][1]
    assert entry["annotated"]["labels"] == [1, 2]
    assert len(shown(learning)) == 2
    slicer.mrmlScene.Clear(0)
    learning.learn.cases.openCase(entry["id"])
    addCase(learning, lambda _ui: None, True)
    assert index(store)["training"][1]["annotated"] == entry["annotated"]


def test_ticks_follow_names_and_slices_follow_ticks_until_a_person_types_some(
    learning: Any, store: Path
) -> None:
    import qt

    from harness.cases import addCase, index, otherScan, paint, say
    from harness.panel import settle

    volume = otherScan(learning)
    node = paint(volume, {"Aa": (5, 9)}, slices=(5,))
    other = paint(volume, {"Bb": (15, 19)}, slices=(9,))
    node.GetSegmentation().CopySegmentFromSegmentation(
        other.GetSegmentation(), other.GetSegmentation().GetNthSegmentID(0)
    )
    learning.ui.segmentationSelector.setCurrentNode(node)
    settle()

    def names(ui: Any) -> set[str]:
        items = [ui.finishedList.item(row) for row in range(ui.finishedList.count)]
        return {item.text() for item in items if item.checkState() == qt.Qt.Checked}

    def change(ui: Any) -> None:
        for name in ("Aa", "Bb"):
            say(ui, name, f"New label '{name}'")
        assert (names(ui), ui.finishedSlicesEdit.text) == ({"Aa", "Bb"}, "5, 9")
        ui.finishedList.item(3).setCheckState(qt.Qt.Unchecked)
        assert (names(ui), ui.finishedSlicesEdit.text) == ({"Aa"}, "5")
        for name in ("Aa", "Bb"):
            say(ui, name, "Leave out")
        for name in ("Bb", "Aa"):  # which swaps their values
            say(ui, name, f"New label '{name}'")
        assert (names(ui), ui.finishedSlicesEdit.text) == ({"Aa"}, "5")
        ui.finishedSlicesEdit.text = "5, 6"
        ui.finishedList.item(2).setCheckState(qt.Qt.Checked)
        assert ui.finishedSlicesEdit.text == "5, 6"
        ui.finishedList.item(2).setCheckState(qt.Qt.Unchecked)

    addCase(learning, change)
    assert index(store)["training"][1]["annotated"]["slices"] == [5, 6]


def test_channels_are_chosen_by_name_and_contradictions_are_told(
    learning: Any, painted: tuple[Any, Any]
) -> None:
    from harness.panel import loadSample, waitUntil
    from medcontext.case_list import StoreSummary
    from MedContextSegmentLib.Panel.AddCaseDialog import AddCaseDialog

    _volume, segmentation = painted
    t1, flair = loadSample("pat T1"), loadSample("pat FLAIR")
    store = StoreSummary(Path("/nowhere"), "two", (("FLAIR", "MR"), ("T1", "MR")), writable=True)
    dialog = AddCaseDialog(store, [t1, flair], segmentation)
    assert dialog.channels.nodes() == [flair, t1]
    assert waitUntil(lambda: not dialog.reading)
    assert "name says" not in dialog.ui.addCaseStatusLabel.text
    dialog.channels.setNodes([t1, flair])
    dialog._otherImages()
    assert waitUntil(lambda: not dialog.reading)
    assert "pat T1 is chosen as FLAIR" in dialog.ui.addCaseStatusLabel.text
    assert learning is not None


def test_the_drive_is_not_asked_at_each_key_of_a_new_store(
    learning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from harness.panel import waitUntil
    from MedContextSegmentLib.Panel import NewStoreDialog as module

    asked: list[str] = []
    gate = threading.Event()

    def slow(folder: Path) -> bool:
        asked.append(folder.name)
        gate.wait(10)
        return folder.name == "Liver"

    monkeypatch.setattr(module, "is_store", slow)
    dialog = module.NewStoreDialog(tmp_path / "L", [])
    ui = dialog.ui
    ui.storeModalitySelector.setCurrentIndex(ui.storeModalitySelector.findData("CT"))
    for end in range(2, 6):
        ui.storeNameEdit.text = "Liver"[:end]
    assert asked == ["L"]
    assert "Looking" in ui.newStoreStatusLabel.text
    assert not dialog._ok.enabled
    gate.set()
    assert waitUntil(lambda: "already" in ui.newStoreStatusLabel.text, 10)
    assert asked == ["L", "Liver"]
    ui.storeNameEdit.text = "Livers"
    assert waitUntil(lambda: dialog._ok.enabled, 10)
    assert learning is not None


def test_a_new_store_stays_chosen_with_its_title_when_its_first_case_fails(
    learning: Any, painted: tuple[Any, Any], tmp_path: Path
) -> None:
    import numpy as np

    from harness import dialogs
    from harness.cases import addCase, index, newStore

    volume, _segmentation = painted
    newStore(tmp_path)
    good = slicer.util.arrayFromVolume(volume).copy()
    bad = good.astype(np.float32)
    bad[0, 0, 0] = np.nan
    addCase(learning, lambda _ui: slicer.util.updateVolumeFromArray(volume, bad))
    assert "finite" in dialogs.texts("error")[-1]
    folder = tmp_path / "Hippocampus"
    assert learning.learn.context.storeFolder() == folder
    assert (index(folder)["name"], index(folder)["training"]) == ("Hippocampus", [])
    slicer.util.updateVolumeFromArray(volume, good)
    addCase(learning, lambda _ui: None)
    assert len(index(folder)["training"]) == 1
