"""The review queue of *Batch*: one case after the other by keys, no work lost, and into the case store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

FIRST, SECOND, THIRD, LAST = ("hippocampus_011", "hippocampus_024", "hippocampus_067", "hippocampus_097")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished batch over four crops; the first one is the least certain."""
    from harness.batches import finishedBatch

    return finishedBatch(tmp_path / "batch")


@pytest.fixture
def panel(working_panel: Any, out: Path) -> Any:
    """The panel with a real worker, and the finished batch on its page."""
    from harness.panel import waitUntil

    working_panel.warmUp.begin = lambda _model: None
    working_panel.ui.batchSection.collapsed = False
    working_panel.batch.batch.ui.batchOutputEdit.text = str(out)
    assert waitUntil(lambda: len(working_panel.batch.batch.follower.rows.queue) == 4)
    return working_panel


@pytest.fixture
def queue(panel: Any) -> Any:
    """The review, begun."""
    part = panel.batch.queue
    click(part, part.ui.reviewButton)
    assert shown(part) == FIRST, status(part)
    return part


def click(part: Any, button: Any) -> None:
    """Click, and wait until a case is there."""
    from harness.panel import waitUntil

    assert button.enabled, (button.text, status(part))
    button.click()
    assert waitUntil(lambda: not part.control.running)


def shown(part: Any) -> str:
    """The case in the scene, ""."""
    return str(part.actions.case.case) if part.actions.case is not None else ""


def status(part: Any) -> str:
    return str(part.ui.reviewQueueStatusLabel.text).replace("\u200b", "")


def correct(part: Any) -> np.ndarray:
    """Paint into the case that is shown, as a person does."""
    from harness.batches import paintIn

    case = part.actions.case
    return np.asarray(paintIn(case.segmentation, case.volumes[0]) > 0)


def segments(part: Any) -> dict[str, np.ndarray]:
    from harness.panel import segmentArrays

    return segmentArrays(part.actions.case.segmentation, part.actions.case.volumes[0])


def press(widget: Any, key: str) -> None:
    """A key, as the keyboard sends it to what has the focus."""
    from PySide6 import QtCore, QtTest

    QtTest.QTest.keyClick(widget, getattr(QtCore.Qt.Key, f"Key_{key}"))
    slicer.app.processEvents()


def test_those_come_first_that_need_a_person_and_the_reason_is_said(queue: Any) -> None:
    assert "0 of 4 reviewed" in queue.ui.reviewCaseLabel.text
    assert "50% sure" in queue.ui.reviewReasonLabel.text
    for case in (SECOND, THIRD, LAST):
        click(queue, queue.ui.acceptButton)
        assert shown(queue) == case
    click(queue, queue.ui.acceptButton)
    assert queue.actions.session is None
    assert "4 of 4 reviewed" in status(queue)
    assert not queue.ui.reviewArea.visible


def test_verdicts_are_written_at_once_and_shown_in_the_table(queue: Any, panel: Any, out: Path) -> None:
    from harness.batches import reviewsOf

    queue.ui.reviewNoteEdit.text = "the tail is cut"
    click(queue, queue.ui.rejectButton)
    assert reviewsOf(out) == [(FIRST, "reject")]
    assert queue.ui.reviewNoteEdit.text == ""
    click(queue, queue.ui.acceptButton)
    assert reviewsOf(out) == [(FIRST, "reject"), (SECOND, "accept")]
    table = panel.batch.batch
    verdicts = {row[0]: row[6] for row in map(table.table.texts, range(4))}
    assert verdicts == {FIRST: "rejected", SECOND: "accepted", THIRD: "", LAST: ""}
    assert "2 reviewed" in table.ui.batchStatusLabel.text
    click(queue, queue.ui.previousCaseButton)
    assert shown(queue) == SECOND
    click(queue, queue.ui.previousCaseButton)
    assert queue.ui.reviewNoteEdit.text == "the tail is cut"
    assert "rejected" in queue.ui.reviewCaseLabel.text
    click(queue, queue.ui.acceptButton)  # on second thoughts
    assert reviewsOf(out)[-1] == (FIRST, "accept")
    assert shown(queue) == THIRD


def test_what_a_person_has_in_the_scene_stays_and_is_chosen_again_afterwards(panel: Any, out: Path) -> None:
    from harness.cases import paint
    from harness.panel import loadSample, settle

    assert out
    own = loadSample("own scan")
    painted = paint(own, {"Lesion": (5, 9)})
    panel.segmentPanel.channels.selectors[0].setCurrentNode(own)
    panel.ui.segmentationSelector.setCurrentNode(painted)
    settle()
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    part = panel.batch.queue
    click(part, part.ui.reviewButton)
    case = part.actions.case
    assert panel.ui.segmentationSelector.currentNode() is case.segmentation
    assert panel.editor.editor.segmentationNode() is case.segmentation  # editable in Review
    assert panel.segmentPanel.channels.nodes() == [case.volumes[0]]
    click(part, part.ui.nextCaseButton)
    part.ui.reviewButton.click()
    settle()
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")} == before
    assert panel.ui.segmentationSelector.currentNode() is painted
    assert panel.segmentPanel.channels.nodes() == [own]


def test_a_correction_is_kept_and_the_next_case_comes(queue: Any, out: Path) -> None:
    from harness.batches import reviewsOf

    queue.ui.correctButton.click()
    assert "Nothing was changed" in status(queue)
    assert reviewsOf(out) == []
    painted = correct(queue)
    click(queue, queue.ui.correctButton)
    assert reviewsOf(out) == [(FIRST, "correct")]
    assert (out / "corrected" / f"{FIRST}.seg.nrrd").exists()
    assert shown(queue) == SECOND
    click(queue, queue.ui.previousCaseButton)
    assert np.array_equal(segments(queue)["Anterior"], painted)


def test_accepting_what_was_changed_asks(queue: Any, out: Path) -> None:
    from harness import dialogs
    from harness.batches import reviewsOf

    correct(queue)
    dialogs.answers.append(False)
    queue.ui.acceptButton.click()
    assert "You changed" in dialogs.texts("question")[-1]
    assert shown(queue) == FIRST
    assert reviewsOf(out) == []
    dialogs.answers.append(True)
    click(queue, queue.ui.acceptButton)
    assert reviewsOf(out) == [(FIRST, "correct")]


@pytest.mark.parametrize("how", ["next", "reject", "end", "scene", "slicer"])
def test_no_way_of_going_on_loses_a_change(queue: Any, panel: Any, out: Path, how: str) -> None:
    from harness import dialogs
    from medcontext.io import read_segmentation

    painted = correct(queue)
    if how == "next":
        click(queue, queue.ui.nextCaseButton)
    elif how == "reject":
        click(queue, queue.ui.rejectButton)
    elif how == "end":
        queue.ui.reviewButton.click()
    elif how == "scene":
        slicer.mrmlScene.Clear(0)
        slicer.app.processEvents()
        assert queue.actions.session is None
    else:
        panel.batch.stop()
    assert dialogs.texts("question") == []
    volume, _labels = read_segmentation(out / "corrected" / f"{FIRST}.seg.nrrd")
    assert (volume.array == 1).sum() == painted.sum()


def test_changes_are_taken_back_only_after_asking(queue: Any) -> None:
    from harness import dialogs

    before = segments(queue)["Anterior"]
    painted = correct(queue)
    assert not np.array_equal(before, painted)
    dialogs.answers.append(False)
    queue.ui.revertCaseButton.click()
    assert np.array_equal(segments(queue)["Anterior"], painted)
    dialogs.answers.append(True)
    click(queue, queue.ui.revertCaseButton)
    assert shown(queue) == FIRST
    assert np.array_equal(segments(queue)["Anterior"], before)


def test_keys_judge_wherever_the_focus_is_but_not_while_somebody_types(
    queue: Any, panel: Any, out: Path
) -> None:
    from harness import slicer_qt
    from harness.batches import reviewsOf
    from harness.panel import waitUntil

    slicer.util.mainWindow().show()  # as Slicer's is
    panel.parent.activateWindow()
    table = panel.batch.batch.ui.batchTable
    table.setFocus()
    slicer.app.processEvents()
    press(table, "A")
    assert waitUntil(lambda: shown(queue) == SECOND)
    assert reviewsOf(out) == [(FIRST, "accept")]
    note = queue.ui.reviewNoteEdit
    note.setFocus()
    slicer.app.processEvents()
    for key in "ACRSNP":
        press(note, key)
    assert note.text.upper() == "ACRSNP"
    assert shown(queue) == SECOND
    table.setFocus()
    slicer.app.processEvents()
    press(table, "N")
    assert waitUntil(lambda: shown(queue) == THIRD)
    press(table, "P")
    assert waitUntil(lambda: shown(queue) == SECOND)
    press(table, "R")
    assert waitUntil(lambda: shown(queue) == THIRD)
    assert reviewsOf(out)[-1] == (SECOND, "reject")
    slicer_qt.leave(panel)  # another module: the keys are its own
    assert not any(shortcut.enabled for shortcut in queue.keys._shortcuts.values())


def test_keys_are_off_outside_of_a_review_and_an_effect_keeps_its_own(queue: Any, panel: Any) -> None:
    shortcuts = queue.keys._shortcuts
    assert all(shortcut.enabled for shortcut in shortcuts.values())
    assert not any(shortcut.autoRepeat for shortcut in shortcuts.values())
    panel.editor.node.SetActiveEffectName("Draw")  # closes its outline by A
    assert [key for key, shortcut in shortcuts.items() if not shortcut.enabled] == ["A"]
    panel.editor.node.SetActiveEffectName("Paint")
    assert shortcuts["A"].enabled
    queue.ui.reviewButton.click()
    assert not any(shortcut.enabled for shortcut in shortcuts.values())


def test_a_case_is_opened_from_the_table_and_one_that_is_not_finished_is_not(panel: Any, out: Path) -> None:
    from harness.batches import runningRow, writeRows
    from harness.panel import waitUntil

    writeRows(out, [runningRow("begun")])
    batch, part = panel.batch.batch, panel.batch.queue
    batch.follower.lookNow()
    assert waitUntil(lambda: batch.ui.batchTable.rowCount == 5)
    batch.table._onOpen("begun")
    assert "'begun' is not finished yet" in status(part)
    assert part.actions.session is None
    batch.table.select(THIRD)
    batch.ui.openBatchCaseButton.click()
    assert waitUntil(lambda: shown(part) == THIRD)
    click(part, part.ui.acceptButton)
    assert shown(part) == FIRST  # the review goes on with what needs a person most


def test_a_scan_that_moved_is_one_sentence_and_the_review_goes_on(panel: Any, out: Path) -> None:
    (out.parent / "scans" / f"{FIRST}.nii.gz").unlink()
    part = panel.batch.queue
    click(part, part.ui.reviewButton)
    assert shown(part) == ""
    assert FIRST in status(part)
    assert "\n" not in status(part)
    assert not part.ui.acceptButton.enabled
    click(part, part.ui.nextCaseButton)
    assert shown(part) == SECOND
    assert FIRST not in status(part)


def test_another_batch_on_the_page_ends_the_review_of_this_one(
    queue: Any, panel: Any, out: Path, tmp_path: Path
) -> None:
    from harness.panel import waitUntil

    correct(queue)
    panel.batch.batch.ui.batchOutputEdit.text = str(tmp_path / "other")
    assert waitUntil(lambda: queue.actions.session is None)
    assert (out / "corrected" / f"{FIRST}.seg.nrrd").exists()
    assert not queue.ui.reviewButton.enabled


def test_a_case_that_somebody_deleted_from_the_scene_can_be_opened_again(queue: Any) -> None:
    slicer.mrmlScene.RemoveNode(queue.actions.case.segmentation)
    queue.update()
    assert shown(queue) == ""
    assert "taken out of the scene" in status(queue)
    click(queue, queue.ui.nextCaseButton)
    click(queue, queue.ui.previousCaseButton)
    assert shown(queue) == FIRST


# Into the case store


@pytest.fixture
def cases(panel: Any, tmp_path: Path) -> Path:
    """A case store that knows both structures, chosen in Learn."""
    from harness.cases import addCase, finish, newStore, paint
    from harness.panel import loadSample, settle

    panel.ui.learnSection.collapsed = False
    volume = loadSample("T1 MR of another person")
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[:, ::-1].copy())
    painted = paint(volume, {"Anterior": (5, 9), "Posterior": (10, 14)})
    panel.learn.context.choose([volume], painted)
    settle()
    newStore(tmp_path)
    addCase(panel, lambda _ui: None)
    finish(panel)
    for node in (volume, painted):
        slicer.mrmlScene.RemoveNode(node)
    return tmp_path / "Hippocampus"


def test_one_key_puts_the_corrected_case_into_the_store_and_shows_the_next(
    cases: Path, queue: Any, panel: Any, out: Path
) -> None:
    from harness import dialogs
    from harness.batches import reviewsOf
    from harness.cases import index
    from harness.panel import waitUntil
    from medcontext.io import read_labelmap

    painted = correct(queue)
    asked = len(dialogs.shown)
    queue.ui.addReviewedButton.click()
    assert not queue.ui.acceptButton.enabled  # not twice
    assert waitUntil(lambda: shown(queue) == SECOND), status(queue)
    assert len(dialogs.shown) == asked  # nothing was unclear
    assert reviewsOf(out) == [(FIRST, "correct")]
    entry = next(case for case in index(cases)["training"] if case["id"] == FIRST)
    assert entry["annotated"]["region"] == "whole"
    assert entry["annotated"]["labels"] == [1, 2]
    stored = read_labelmap(cases / entry["label"]).array[0]
    assert np.array_equal(stored == 1, painted)
    assert str(cases) in status(queue)
    assert waitUntil(lambda: any(case.id == FIRST for case in panel.learn.cases.store().cases))


def test_names_that_the_store_does_not_have_are_asked_for(
    cases: Path, queue: Any, panel: Any, out: Path
) -> None:
    from harness import dialogs
    from harness.batches import reviewsOf
    from harness.cases import choice, index, ok, say
    from harness.panel import waitUntil

    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetName("Tail")
    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetTerminology("")
    seen: list[str] = []

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        seen.append(choice(ui, "Tail"))
        assert ui.finishedRegionSelector.itemData(ui.finishedRegionSelector.currentIndex) == "whole"
        say(ui, "Tail", "Posterior")
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    queue.ui.addReviewedButton.click()
    assert waitUntil(lambda: shown(queue) == SECOND), status(queue)
    assert seen == ["Choose..."]
    assert [case["id"] for case in index(cases)["training"]][-1] == FIRST
    dialogs.answers.append(0)  # given up
    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetName("Tail")
    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetTerminology("")
    queue.ui.addReviewedButton.click()
    assert waitUntil(lambda: not panel.learn.cases.control.running and queue.ui.acceptButton.enabled)
    assert shown(queue) == SECOND
    assert len(index(cases)["training"]) == 2
    assert reviewsOf(out)[-1] == (SECOND, "correct")  # what was said of the result stays


def test_without_a_store_one_is_made_first(queue: Any, panel: Any, tmp_path: Path) -> None:
    from harness import dialogs
    from harness.cases import index, ok
    from harness.learning import answerNewStore
    from harness.panel import waitUntil

    panel.ui.learnSection.collapsed = False
    answerNewStore("Hippocampus", tmp_path)

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    queue.ui.addReviewedButton.click()
    assert waitUntil(lambda: shown(queue) == SECOND), status(queue)
    (entry,) = index(tmp_path / "Hippocampus")["training"]
    assert entry["id"] == FIRST
    assert entry["annotated"]["region"] == "whole"


def test_a_structure_that_is_not_there_is_learnt_to_be_absent(
    cases: Path, panel: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cases import index
    from harness.panel import waitUntil
    from medcontext.geometry import Volume
    from medcontext.io import read_labelmap, write_labelmap

    assert monkeypatch
    path = out / "segmentations" / f"{FIRST}.nii.gz"
    labels = read_labelmap(path)
    write_labelmap(path, Volume(np.where(labels.array == 1, labels.array, 0), labels.geometry))
    part = panel.batch.queue
    click(part, part.ui.reviewButton)
    assert shown(part) == FIRST
    part.ui.addReviewedButton.click()
    assert waitUntil(lambda: shown(part) == SECOND), status(part)
    entry = index(cases)["training"][-1]
    assert entry["annotated"]["labels"] == [1, 2]
