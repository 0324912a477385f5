"""Cases are added from segments on screen: what is certain is taken over, everything else is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")

# Adding


@pytest.fixture
def _learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is a scan that the bundled model has learnt from."""
    monkeypatch.setattr("harness.panel.CASE", "hippocampus_067.nii.gz")


@pytest.mark.usefixtures("_learnt_from", "painted")
def test_a_first_case_makes_the_store_and_the_painted_slices_are_finished(
    learning: Any, tmp_path: Path
) -> None:
    from harness.cases import addCase, index, newStore, nothing, shown, status

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

    from harness.cases import addCase, choice, index, otherScan, say, shown

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
    from harness.cases import addCase, index, otherScan, say

    otherScan(learning)

    def change(ui: Any) -> None:
        say(ui, "Cyst", "Posterior")
        assert "merged" in ui.addCaseStatusLabel.text

    addCase(learning, change)
    assert index(store)["training"][1]["annotated"]["labels"] == [2]


def test_a_store_that_vanishes_behind_the_dialog_is_not_made_anew(learning: Any, store: Path) -> None:
    from harness import dialogs
    from harness.cases import addCase, index, otherScan, problem, say

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
    from harness.cases import addCase, index, say, status

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

    from harness.cases import addCase, index, otherScan, say, shown
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
    from harness.cases import addCase, otherScan, say

    assert store
    otherScan(learning)

    def change(ui: Any) -> None:
        say(ui, "Cyst", "Leave out")
        titles = [ui.finishedAxisSelector.itemText(k) for k in range(3)]
        assert [title.split(",")[0] for title in titles] == ["axial", "coronal", "sagittal"]
        ui.finishedAxisSelector.setCurrentIndex(1)
        assert ui.finishedSlicesEdit.text == "10-13"  # of the cyst, which is left out, nothing is learnt

    addCase(learning, change)


def test_a_volume_without_segments_cannot_be_added_and_the_panel_says_why(learning: Any) -> None:
    from harness.cases import status
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
    from harness.cases import otherScan, paint, shown
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
