"""The review queue of *Batch*: one case after the other by keys, no work lost, and into the case store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

FIRST, SECOND, THIRD, LAST = ("hippocampus_011", "hippocampus_024", "hippocampus_067", "hippocampus_097")


def test_those_come_first_that_need_a_person_and_the_reason_is_said(queue: Any, finished: Path) -> None:
    from harness.reviews import click, reviewStatus, shownCase

    assert "0 of 4 reviewed" in queue.ui.reviewCaseLabel.text
    assert "50% sure" in queue.ui.reviewReasonLabel.text
    for case in (SECOND, THIRD, LAST):
        click(queue, queue.ui.acceptButton)
        assert shownCase(queue) == case
    click(queue, queue.ui.acceptButton)
    assert queue.actions.session is None
    assert "4 of 4 reviewed" in reviewStatus(queue)
    table = (finished / "ledger.csv").read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[:3] for line in table[1:]] == [
        [case, "done", "accept"] for case in (FIRST, SECOND, THIRD, LAST)
    ]
    assert not queue.ui.reviewArea.visible


def test_verdicts_are_written_at_once_and_shown_in_the_table(
    queue: Any, reviewing: Any, finished: Path
) -> None:
    from harness.batches import reviewsOf
    from harness.reviews import click, shownCase

    queue.ui.reviewNoteEdit.text = "the tail is cut"
    click(queue, queue.ui.rejectButton)
    assert reviewsOf(finished) == [(FIRST, "reject")]
    assert queue.ui.reviewNoteEdit.text == ""
    click(queue, queue.ui.acceptButton)
    assert reviewsOf(finished) == [(FIRST, "reject"), (SECOND, "accept")]
    table = reviewing.batch.batch
    verdicts = {row[0]: row[6] for row in map(table.table.texts, range(4))}
    assert verdicts == {FIRST: "rejected", SECOND: "accepted", THIRD: "", LAST: ""}
    assert "2 reviewed" in table.ui.batchStatusLabel.text
    click(queue, queue.ui.previousCaseButton)
    assert shownCase(queue) == SECOND
    click(queue, queue.ui.previousCaseButton)
    assert queue.ui.reviewNoteEdit.text == "the tail is cut"
    assert "rejected" in queue.ui.reviewCaseLabel.text
    click(queue, queue.ui.acceptButton)  # on second thoughts
    assert reviewsOf(finished)[-1] == (FIRST, "accept")
    assert shownCase(queue) == THIRD


def test_what_a_person_has_in_the_scene_stays_and_is_chosen_again_afterwards(reviewing: Any) -> None:
    from harness.cases import paint
    from harness.panel import loadSample, settle
    from harness.reviews import click

    own = loadSample("own scan")
    painted = paint(own, {"Lesion": (5, 9)})
    reviewing.segmentPanel.channels.selectors[0].setCurrentNode(own)
    reviewing.ui.segmentationSelector.setCurrentNode(painted)
    settle()
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    part = reviewing.batch.queue
    click(part, part.ui.reviewButton)
    case = part.actions.case
    assert reviewing.ui.segmentationSelector.currentNode() is case.segmentation
    assert reviewing.editor.editor.segmentationNode() is case.segmentation  # editable in Review
    assert reviewing.segmentPanel.channels.nodes() == [case.volumes[0]]
    click(part, part.ui.nextCaseButton)
    part.ui.reviewButton.click()
    settle()
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")} == before
    assert reviewing.ui.segmentationSelector.currentNode() is painted
    assert reviewing.segmentPanel.channels.nodes() == [own]


def test_a_correction_is_kept_and_the_next_case_comes(queue: Any, finished: Path) -> None:
    from harness.batches import reviewsOf
    from harness.reviews import click, correct, reviewStatus, shownCase, shownSegments

    queue.ui.correctButton.click()
    assert "Nothing was changed" in reviewStatus(queue)
    assert reviewsOf(finished) == []
    painted = correct(queue)
    click(queue, queue.ui.correctButton)
    assert reviewsOf(finished) == [(FIRST, "correct")]
    assert (finished / "corrected" / f"{FIRST}.seg.nrrd").exists()
    assert shownCase(queue) == SECOND
    click(queue, queue.ui.previousCaseButton)
    assert np.array_equal(shownSegments(queue)["Anterior"], painted)


def test_accepting_what_was_changed_asks(queue: Any, finished: Path) -> None:
    from harness import dialogs
    from harness.batches import reviewsOf
    from harness.reviews import click, correct, shownCase

    correct(queue)
    dialogs.answers.append(False)
    queue.ui.acceptButton.click()
    assert "You changed" in dialogs.texts("question")[-1]
    assert shownCase(queue) == FIRST
    assert reviewsOf(finished) == []
    dialogs.answers.append(True)
    click(queue, queue.ui.acceptButton)
    assert reviewsOf(finished) == [(FIRST, "correct")]


@pytest.mark.parametrize("how", ["next", "reject", "end", "scene", "slicer"])
def test_no_way_of_going_on_loses_a_change(queue: Any, reviewing: Any, finished: Path, how: str) -> None:
    from harness import dialogs
    from harness.reviews import click, correct
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
        reviewing.batch.stop()
    assert dialogs.texts("question") == []
    volume, _labels = read_segmentation(finished / "corrected" / f"{FIRST}.seg.nrrd")
    assert (volume.array == 1).sum() == painted.sum()


def test_changes_are_taken_back_only_after_asking(queue: Any) -> None:
    from harness import dialogs
    from harness.reviews import click, correct, shownCase, shownSegments

    before = shownSegments(queue)["Anterior"]
    painted = correct(queue)
    assert not np.array_equal(before, painted)
    dialogs.answers.append(False)
    queue.ui.revertCaseButton.click()
    assert np.array_equal(shownSegments(queue)["Anterior"], painted)
    dialogs.answers.append(True)
    click(queue, queue.ui.revertCaseButton)
    assert shownCase(queue) == FIRST
    assert np.array_equal(shownSegments(queue)["Anterior"], before)
    correct(queue)
    click(queue, queue.ui.correctButton)
    click(queue, queue.ui.previousCaseButton)
    dialogs.answers.append(True)
    click(queue, queue.ui.revertCaseButton)
    click(queue, queue.ui.nextCaseButton)
    click(queue, queue.ui.previousCaseButton)
    assert "corrected" not in queue.ui.reviewCaseLabel.text
    assert np.array_equal(shownSegments(queue)["Anterior"], before)  # it was taken back for good


def test_keys_judge_where_nothing_else_takes_letters(queue: Any, reviewing: Any, finished: Path) -> None:
    from harness import slicer_qt
    from harness.batches import reviewsOf
    from harness.panel import waitUntil
    from harness.reviews import press, shownCase

    slicer.util.mainWindow().show()  # as Slicer's is
    reviewing.parent.activateWindow()
    table = reviewing.batch.batch.ui.batchTable
    batch, view = reviewing.batch.batch, queue.ui.reviewArea  # as a slice view does, it takes no letters
    batch.table.select(SECOND)
    table.setFocus()
    slicer.app.processEvents()
    batch.ui.openBatchCaseButton.click()
    assert waitUntil(lambda: shownCase(queue) == SECOND and not queue.control.running)
    press(slicer.app.focusWidget(), "A")  # the keys are for the case that was opened
    assert waitUntil(lambda: shownCase(queue) == THIRD and not queue.control.running)
    assert reviewsOf(finished) == [(SECOND, "accept")]
    note = queue.ui.reviewNoteEdit
    for widget in (note, table, reviewing.batch.batch.ui.batchModelSelector, batch.ui.batchFilterEdit):
        widget.setFocus()
        slicer.app.processEvents()
        for key in "ACRSNP":
            press(widget, key)
        assert shownCase(queue) == THIRD
        assert reviewsOf(finished) == [(SECOND, "accept")]
    assert note.text.upper() == "ACRSNP"
    batch.ui.batchFilterEdit.text = ""
    view.setFocus()
    slicer.app.processEvents()
    press(view, "N")
    assert waitUntil(lambda: shownCase(queue) == LAST and not queue.control.running)
    press(view, "P")
    assert waitUntil(lambda: shownCase(queue) == THIRD and not queue.control.running)
    press(view, "R")
    assert waitUntil(lambda: shownCase(queue) == LAST and not queue.control.running)
    assert reviewsOf(finished)[-1] == (THIRD, "reject")
    slicer_qt.leave(reviewing)  # another module: the keys are its own
    assert not any(shortcut.enabled for shortcut in queue.keys._shortcuts.values())


def test_keys_are_off_outside_of_a_review_and_an_effect_keeps_its_own(queue: Any, reviewing: Any) -> None:
    shortcuts = queue.keys._shortcuts
    assert all(shortcut.enabled for shortcut in shortcuts.values())
    assert not any(shortcut.autoRepeat for shortcut in shortcuts.values())
    reviewing.editor.node.SetActiveEffectName("Draw")  # closes its outline by A
    assert [key for key, shortcut in shortcuts.items() if not shortcut.enabled] == ["A"]
    reviewing.editor.node.SetActiveEffectName("Paint")
    assert shortcuts["A"].enabled
    queue.ui.reviewButton.click()
    assert not any(shortcut.enabled for shortcut in shortcuts.values())


def test_a_case_is_opened_from_the_table_and_one_that_is_not_finished_is_not(
    reviewing: Any, finished: Path
) -> None:
    from harness.batches import runningRow, writeRows
    from harness.panel import waitUntil
    from harness.reviews import click, reviewStatus, shownCase

    writeRows(finished, [runningRow("begun")])
    batch, part = reviewing.batch.batch, reviewing.batch.queue
    batch.follower.lookNow()
    assert waitUntil(lambda: batch.ui.batchTable.rowCount == 5)
    batch.table._onOpen("begun")
    assert "'begun' is not finished yet" in reviewStatus(part)
    assert part.actions.session is None
    batch.table.select(THIRD)
    batch.ui.openBatchCaseButton.click()
    assert waitUntil(lambda: shownCase(part) == THIRD)
    click(part, part.ui.acceptButton)
    assert shownCase(part) == FIRST  # the review goes on with what needs a person most


def test_a_scan_that_moved_is_one_sentence_and_the_review_goes_on(reviewing: Any, finished: Path) -> None:
    from harness.reviews import click, reviewStatus, shownCase

    (finished.parent / "scans" / f"{FIRST}.nii.gz").unlink()
    part = reviewing.batch.queue
    click(part, part.ui.reviewButton)
    assert shownCase(part) == ""
    assert FIRST in reviewStatus(part)
    assert "\n" not in reviewStatus(part)
    assert not part.ui.acceptButton.enabled
    click(part, part.ui.nextCaseButton)
    assert shownCase(part) == SECOND
    assert FIRST not in reviewStatus(part)


def test_another_batch_on_the_page_ends_the_review_of_this_one(
    queue: Any, reviewing: Any, finished: Path, tmp_path: Path
) -> None:
    from harness.panel import waitUntil
    from harness.reviews import correct

    correct(queue)
    reviewing.batch.batch.ui.batchOutputEdit.text = str(tmp_path / "other")
    assert waitUntil(lambda: queue.actions.session is None)
    assert (finished / "corrected" / f"{FIRST}.seg.nrrd").exists()
    assert not queue.ui.reviewButton.enabled


def test_a_case_that_somebody_deleted_from_the_scene_can_be_opened_again(queue: Any) -> None:
    from harness.reviews import click, reviewStatus, shownCase

    slicer.mrmlScene.RemoveNode(queue.actions.case.segmentation)
    queue.update()
    assert shownCase(queue) == ""
    assert "taken out of the scene" in reviewStatus(queue)
    click(queue, queue.ui.nextCaseButton)
    click(queue, queue.ui.previousCaseButton)
    assert shownCase(queue) == FIRST
