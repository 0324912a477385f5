"""*Batch* in the panel: what it says, starts, lists and finds again. The batch is a small one, in real jobs."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")


@pytest.fixture
def page(batch_session: Callable[..., Any], tmp_path: Path) -> Any:
    """The part Batch of the panel, with scans and a folder for the results chosen."""
    part = batch_session().batch.batch
    part.ui.batchInputEdit.text = str(tmp_path / "scans")
    part.ui.batchOutputEdit.text = str(tmp_path / "results")
    return part


def test_start_says_what_it_waits_for(batch_session: Callable[..., Any]) -> None:
    from harness.reviews import batchStatus

    part = batch_session().batch.batch
    ui = part.ui
    for edit, text, words in (
        (None, "", "Choose the scans"),
        (ui.batchInputEdit, "*.nii.gz", "folder for the results"),
        (ui.batchOutputEdit, "/data/out", ""),
    ):
        if edit is not None:
            edit.text = text
        assert (words in batchStatus(part)) if words else batchStatus(part) == ""
        assert ui.batchButton.enabled == (not words)
        assert ui.commandEdit.visible == (not words)
    ui.batchNiftiCheckBox.checked = ui.batchSegNrrdCheckBox.checked = False
    assert "Tick" in batchStatus(part)
    part.choices.models._models = list
    part.choices.refresh()
    part.update()
    assert "no model" in batchStatus(part)
    assert not ui.batchTableArea.visible


def test_a_folder_for_the_results_is_offered_until_a_person_chose_one(
    batch_session: Callable[..., Any],
) -> None:
    ui = batch_session().batch.batch.ui
    ui.batchInputEdit.text = "/data/study 1"
    assert Path(ui.batchOutputEdit.text) == Path("/data/study 1 segmented")
    ui.batchInputEdit.text = "/data/cases.csv"
    assert Path(ui.batchOutputEdit.text) == Path("/data/cases segmented")
    ui.batchOutputEdit.text = "/elsewhere"
    ui.batchInputEdit.text = "/data/study 2"
    assert ui.batchOutputEdit.text == "/elsewhere"


def test_the_choices_become_the_command(page: Any, tmp_path: Path) -> None:
    import qt

    from harness import dialogs

    ui, card = page.ui, page.choices.models.card
    words = shlex.split(ui.commandEdit.text)
    given = ["medcontext", "batch", str(tmp_path / "scans"), "-m", f"{card.id}@{card.version}"]
    assert words[:7] == [*given, "-o", str(tmp_path / "results")]
    assert words[7:] == ["--format", "nii.gz", "--format", "seg.nrrd"]
    for box in (ui.batchNiftiCheckBox, ui.batchSegNrrdCheckBox):
        box.checked = False
    for box in (
        ui.batchDicomSegCheckBox,
        ui.batchObjCheckBox,
        ui.batchCertaintyCheckBox,
        ui.batchIdentifiersCheckBox,
    ):
        box.checked = True
    dialogs.answers.append(str(tmp_path / "list.csv"))
    ui.batchListButton.click()
    dialogs.answers.append(str(tmp_path / "other"))
    ui.batchOutputButton.click()
    words = shlex.split(ui.commandEdit.text)
    assert words[2] == str(tmp_path / "list.csv")
    assert words[6:] == [
        str(tmp_path / "other"),
        *("--format", "dicom-seg", "--format", "obj", "--certainty-map", "--keep-identifiers"),
    ]
    assert page.choices.purposes == ("batch", "dicom", "surfaces")
    ui.copyCommandButton.click()
    assert qt.QApplication.clipboard().text() == ui.commandEdit.text


def test_a_batch_runs_as_the_job_that_was_shown_and_the_table_fills(
    page: Any, batch_runner: Any, own_home: Path
) -> None:
    from harness.learning import commandOf, jobFolders
    from harness.reviews import batchStatus, tableTexts, untilEnded, untilListed

    batch_runner(cases=40)
    words = shlex.split(page.ui.commandEdit.text)
    page.ui.batchButton.click()
    untilListed(page, 3)
    assert page.working
    assert page.ui.batchButton.text == "Stop"
    assert not page.ui.batchChoicesArea.visible
    assert page.ui.batchProgressBar.maximum > 0
    assert "of 40" in batchStatus(page)
    assert "about 2 min left" in batchStatus(page)  # of all cases, not of the one that is being read
    assert shlex.split(page.ui.commandEdit.text) == words
    untilListed(page, 40)
    untilEnded(page)
    (folder,) = jobFolders(own_home)
    command = commandOf(folder.parent)
    assert command[command.index("medcontext") + 1 :] == [*words[1:], "--json"]
    assert "40 done" in batchStatus(page)
    assert tableTexts(page)[0] == ("case 39", "done", "1.2", "4", "90%", "", "")
    assert page.ui.batchReportButton.enabled
    assert page.ui.batchButton.text == "Continue"


def test_what_a_batch_leaves_while_its_folder_is_being_read_is_seen(app: Any, tmp_path: Path) -> None:  # noqa: ARG001
    from harness.batches import finishedBatch
    from harness.panel import waitUntil
    from MedContextSegmentLib.Panel.FolderFollower import FolderFollower

    follower = FolderFollower(lambda: None)
    folder = finishedBatch(tmp_path)
    report = folder / "report.html"
    report.unlink(missing_ok=True)
    follower.follow(folder)
    reader, was_read, may_end = follower._reader, threading.Event(), threading.Event()
    look = reader.look

    def slow_drive() -> Any:
        news = look()
        was_read.set()
        may_end.wait(60)
        return news

    reader.look = slow_drive
    follower.lookNow()
    assert waitUntil(was_read.is_set)
    report.write_text("<html></html>", encoding="utf-8")
    follower.lookNow()
    may_end.set()
    assert waitUntil(lambda: not follower.looking)
    assert follower.rows.hasReport


def test_a_stopped_batch_goes_on_where_it_was(page: Any, batch_runner: Any) -> None:
    from harness.reviews import batchStatus, untilEnded, untilListed

    batch_runner(cases=30)
    page.ui.batchButton.click()
    untilListed(page, 2)
    page.ui.batchButton.click()
    assert not page.ui.batchButton.enabled
    assert "Stopping" in batchStatus(page)
    untilEnded(page)
    before = page.ui.batchTable.rowCount
    assert 2 <= before < 30
    assert "was stopped" in batchStatus(page)
    assert page.ui.batchButton.text == "Continue"
    page.ui.batchButton.click()
    untilListed(page, 30)
    untilEnded(page)
    assert "30 done" in batchStatus(page)
    ledger = (page.folder / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(ledger) == 30  # nothing was done twice


def test_a_batch_can_rest(page: Any) -> None:
    from harness.panel import waitUntil
    from harness.reviews import batchStatus, untilListed

    page.ui.batchButton.click()
    untilListed(page, 2)
    page.ui.batchPauseButton.click()
    assert waitUntil(lambda: "Paused" in batchStatus(page))
    page.ui.batchPauseButton.click()
    count = page.ui.batchTable.rowCount
    untilListed(page, count + 3)


def test_closing_slicer_ends_nothing_and_the_batch_is_found_again(
    page: Any, batch_session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.reviews import batchStatus, untilEnded, untilListed

    page.ui.batchButton.click()
    untilListed(page, 2)
    batch_session(opening=False)
    again = batch_session().batch.batch
    assert again.working
    assert again.folder == tmp_path / "results"
    count = again.ui.batchTable.rowCount
    untilListed(again, count + 3)
    again.ui.batchButton.click()
    untilEnded(again)
    last = batch_session().batch.batch  # its end was seen: the folder is shown, not the job
    assert not last.working
    untilListed(last, 5)
    assert "stopped" not in batchStatus(last)
    assert last.ui.batchInputEdit.text == str(tmp_path / "scans")


def test_looking_at_something_else_meanwhile_does_no_harm(
    batch_session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness import slicer_qt
    from harness.reviews import untilEnded, untilListed

    panel = batch_session()
    page = panel.batch.batch
    page.ui.batchInputEdit.text, page.ui.batchOutputEdit.text = str(tmp_path / "in"), str(tmp_path / "out")
    page.ui.batchButton.click()
    untilListed(page, 2)
    slicer_qt.leave(panel)
    count = page.ui.batchTable.rowCount
    slicer_qt.enter(panel)
    untilListed(page, count + 3)
    panel.ui.batchSection.collapsed = True
    count = page.ui.batchTable.rowCount
    panel.ui.batchSection.collapsed = False
    untilListed(page, count + 3)
    page.ui.batchButton.click()
    untilEnded(page)


def test_a_batch_that_was_killed_is_said_to_be_interrupted(
    page: Any, batch_session: Callable[..., Any], batch_runner: Any
) -> None:
    from harness.batches import runningRow, writeRows
    from harness.learning import killTrainer
    from harness.panel import waitUntil
    from harness.reviews import batchStatus, tableTexts, untilEnded, untilListed
    from medcontext import jobs

    page.ui.batchButton.click()
    untilListed(page, 2)
    job = page.job
    batch_session(opening=False)
    killTrainer(job)
    assert waitUntil(lambda: not jobs.read(job.folder).active)
    writeRows(job.task.output, [runningRow("case 999")])
    batch_runner(cases=20)
    again = batch_session().batch.batch
    untilEnded(again)
    assert "interrupted" in batchStatus(again)
    untilListed(again, 3)
    assert tableTexts(again)[0][:2] == ("case 999", "unfinished")
    again.ui.batchButton.click()
    untilListed(again, 20)


def test_what_is_wrong_is_said_in_the_words_of_the_batch(page: Any, batch_runner: Any) -> None:
    from harness.reviews import batchStatus, untilEnded

    batch_runner(error="/data/scans is empty.")
    page.ui.batchButton.click()
    untilEnded(page)
    assert "failed: /data/scans is empty. Choose another one." in batchStatus(page)
    assert page.ui.batchButton.enabled


def test_nothing_begins_without_packages_and_two_at_once_only_after_asking(
    page: Any, batch_session: Callable[..., Any], tmp_path: Path
) -> None:
    from types import SimpleNamespace

    from harness import dialogs
    from harness.reviews import untilListed
    from medcontext import jobs

    asked: list[str] = []

    def refuse(purpose: str) -> bool:
        asked.append(purpose)
        return False

    install, page._install = page._install, SimpleNamespace(ensureInstalled=refuse)
    page.ui.batchButton.click()
    assert asked == ["batch"]
    assert not page.working
    page._install = install
    page.ui.batchButton.click()
    untilListed(page, 1)
    second = batch_session().batch.batch
    second.job = None  # as in another Slicer that had been opened before
    second._timer.stop()
    second.ui.batchOutputEdit.text = str(tmp_path / "others")
    dialogs.answers.append(False)
    second.ui.batchButton.click()
    assert "running already" in dialogs.texts("question")[-1]
    assert len(jobs.list_jobs()) == 1
    second.ui.batchOutputEdit.text = str(tmp_path / "results")
    second.ui.batchButton.click()  # the same folder: followed instead
    assert second.working
    assert len(jobs.list_jobs()) == 1


def test_results_of_other_options_are_replaced_only_after_saying_how_many(
    page: Any, batch_runner: Any, own_home: Path
) -> None:
    from harness import dialogs
    from harness.learning import commandOf, jobFolders
    from harness.reviews import untilEnded, untilListed

    batch_runner(cases=5)
    box = page.ui.batchOverwriteCheckBox
    page.ui.batchButton.click()
    untilListed(page, 5)
    untilEnded(page)
    assert dialogs.texts("question") == []
    assert not box.checked
    page.ui.batchStlCheckBox.checked = True
    dialogs.answers.append(False)
    page.ui.batchButton.click()
    assert not page.working
    assert "holds 5 finished results" in dialogs.texts("question")[-1]
    assert "other options" in dialogs.texts("question")[-1]
    dialogs.answers.append(True)
    page.ui.batchButton.click()
    untilEnded(page)
    commands = [commandOf(folder.parent) for folder in jobFolders(own_home)]
    assert ["--overwrite" in command for command in commands] in ([False, True], [True, False])
    assert not box.checked  # else Continue did all of it again


def test_finished_cases_are_done_again_where_a_person_wants_that(page: Any, batch_runner: Any) -> None:
    from harness import dialogs
    from harness.reviews import untilEnded, untilListed

    batch_runner(cases=3)
    assert not page.ui.batchOverwriteCheckBox.visible
    page.ui.batchButton.click()
    untilListed(page, 3)
    untilEnded(page)
    assert page.ui.batchOverwriteCheckBox.visible
    page.ui.batchOverwriteCheckBox.checked = True
    assert page.ui.commandEdit.text.endswith("--overwrite")
    dialogs.answers.append(False)
    page.ui.batchButton.click()
    assert "3 finished results" in dialogs.texts("question")[-1]
    assert not page.working
    page.ui.batchOutputEdit.text += " of another study"
    assert not page.ui.batchOverwriteCheckBox.checked


def test_a_refusal_names_the_box(page: Any, batch_runner: Any) -> None:
    from harness.reviews import batchStatus, untilEnded

    batch_runner(error="out holds other results: add --overwrite.")
    page.ui.batchButton.click()
    untilEnded(page)
    assert "the box 'Replace earlier results'" in batchStatus(page)
