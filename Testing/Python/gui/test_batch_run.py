"""*Batch* in the panel: what it says, starts, lists and finds again. The batch is a small one, in real jobs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path) -> Any:
    """Sets what a batch does; ends all that still run after the test."""
    from harness.batches import installRunner
    from medcontext import jobs

    installRunner(tmp_path, monkeypatch)

    def tell(**what: Any) -> None:
        for name, value in what.items():
            monkeypatch.setenv(f"BATCH_{name.upper()}", str(value))

    yield tell
    for job in jobs.list_jobs(own_home / "jobs"):
        if job.active:
            jobs.kill(job.folder)


@pytest.fixture
def session(app: Any, runner: Any) -> Iterator[Callable[..., Any]]:  # noqa: ARG001
    """Closes Slicer, if it is open, and opens it: gives the new panel with the section Batch open."""
    from harness import slicer_qt
    from harness.panel import MODULE, settle

    opened: list[Any] = []

    def reopen(opening: bool = True) -> Any:
        while opened:
            slicer_qt.unload(opened.pop())
        if not opening:
            return None
        panel = slicer_qt.enter(slicer_qt.load_module(MODULE))
        opened.append(panel)
        panel.warmUp.begin = lambda _model: None
        panel.batch.batch.ignoredSeconds = 0.0  # tests click faster than people
        panel.ui.batchSection.collapsed = False
        settle()
        return panel

    yield reopen
    for panel in opened:
        slicer_qt.unload(panel)


@pytest.fixture
def page(session: Callable[..., Any], tmp_path: Path) -> Any:
    """The part Batch of the panel, with scans and a folder for the results chosen."""
    part = session().batch.batch
    part.ui.batchInputEdit.text = str(tmp_path / "scans")
    part.ui.batchOutputEdit.text = str(tmp_path / "results")
    return part


def status(part: Any) -> str:
    return str(part.ui.batchStatusLabel.text).replace("\u200b", "")


def until(part: Any, cases: int) -> None:
    """Wait until so many cases are listed."""
    from harness.panel import waitUntil

    assert waitUntil(lambda: part.ui.batchTable.rowCount >= cases), status(part)


def untilEnd(part: Any) -> None:
    from harness.panel import waitUntil

    assert waitUntil(lambda: not part.working and not part._timer.active), status(part)


def shown(part: Any) -> list[tuple[str, ...]]:
    """What a person reads in the table, from top to bottom."""
    return [part.table.texts(row) for row in range(part.ui.batchTable.rowCount)]


def made(part: Any) -> int:
    """How many rows of the table hold anything."""
    table = part.ui.batchTable
    return sum(table.item(row, 0) is not None for row in range(table.rowCount))


def test_start_says_what_it_waits_for(session: Callable[..., Any]) -> None:
    part = session().batch.batch
    ui = part.ui
    for edit, text, words in (
        (None, "", "Choose the scans"),
        (ui.batchInputEdit, "*.nii.gz", "folder for the results"),
        (ui.batchOutputEdit, "/data/out", ""),
    ):
        if edit is not None:
            edit.text = text
        assert (words in status(part)) if words else status(part) == ""
        assert ui.batchButton.enabled == (not words)
        assert ui.commandEdit.visible == (not words)
    ui.batchNiftiCheckBox.checked = ui.batchSegNrrdCheckBox.checked = False
    assert "Tick" in status(part)
    part.choices.models._models = list
    part.choices.refresh()
    part.update()
    assert "no model" in status(part)
    assert not ui.batchTableArea.visible


def test_a_folder_for_the_results_is_offered_until_a_person_chose_one(session: Callable[..., Any]) -> None:
    ui = session().batch.batch.ui
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
    page: Any, runner: Any, own_home: Path
) -> None:
    from harness.learning import commandOf, jobFolders

    runner(cases=40)
    words = shlex.split(page.ui.commandEdit.text)
    page.ui.batchButton.click()
    until(page, 3)
    assert page.working
    assert page.ui.batchButton.text == "Stop"
    assert not page.ui.batchChoicesArea.visible
    assert page.ui.batchProgressBar.maximum > 0
    assert "of 40" in status(page)
    assert "about 2 min left" in status(page)  # of all cases, not of the one that is being read
    assert shlex.split(page.ui.commandEdit.text) == words
    until(page, 40)
    untilEnd(page)
    (folder,) = jobFolders(own_home)
    command = commandOf(folder.parent)
    assert command[command.index("medcontext") + 1 :] == [*words[1:], "--json"]
    assert "40 done" in status(page)
    assert shown(page)[0] == ("case 39", "done", "1.2", "4", "90%", "", "")
    assert page.ui.batchReportButton.enabled
    assert page.ui.batchButton.text == "Continue"


def test_a_stopped_batch_goes_on_where_it_was(page: Any, runner: Any) -> None:
    runner(cases=30)
    page.ui.batchButton.click()
    until(page, 2)
    page.ui.batchButton.click()
    assert not page.ui.batchButton.enabled
    assert "Stopping" in status(page)
    untilEnd(page)
    before = page.ui.batchTable.rowCount
    assert 2 <= before < 30
    assert "was stopped" in status(page)
    assert page.ui.batchButton.text == "Continue"
    page.ui.batchButton.click()
    until(page, 30)
    untilEnd(page)
    assert "30 done" in status(page)
    ledger = (page.folder / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(ledger) == 30  # nothing was done twice


def test_a_batch_can_rest(page: Any) -> None:
    from harness.panel import waitUntil

    page.ui.batchButton.click()
    until(page, 2)
    page.ui.batchPauseButton.click()
    assert waitUntil(lambda: "Paused" in status(page))
    page.ui.batchPauseButton.click()
    count = page.ui.batchTable.rowCount
    until(page, count + 3)


def test_closing_slicer_ends_nothing_and_the_batch_is_found_again(
    page: Any, session: Callable[..., Any], tmp_path: Path
) -> None:
    page.ui.batchButton.click()
    until(page, 2)
    session(opening=False)
    again = session().batch.batch
    assert again.working
    assert again.folder == tmp_path / "results"
    count = again.ui.batchTable.rowCount
    until(again, count + 3)
    again.ui.batchButton.click()
    untilEnd(again)
    last = session().batch.batch  # its end was seen: the folder is shown, not the job
    assert not last.working
    until(last, 5)
    assert "stopped" not in status(last)
    assert last.ui.batchInputEdit.text == str(tmp_path / "scans")


def test_looking_at_something_else_meanwhile_does_no_harm(
    session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness import slicer_qt

    panel = session()
    page = panel.batch.batch
    page.ui.batchInputEdit.text, page.ui.batchOutputEdit.text = str(tmp_path / "in"), str(tmp_path / "out")
    page.ui.batchButton.click()
    until(page, 2)
    slicer_qt.leave(panel)
    count = page.ui.batchTable.rowCount
    slicer_qt.enter(panel)
    until(page, count + 3)
    panel.ui.batchSection.collapsed = True
    count = page.ui.batchTable.rowCount
    panel.ui.batchSection.collapsed = False
    until(page, count + 3)
    page.ui.batchButton.click()
    untilEnd(page)


def test_a_batch_that_was_killed_is_said_to_be_interrupted(
    page: Any, session: Callable[..., Any], runner: Any
) -> None:
    from harness.batches import runningRow, writeRows
    from harness.learning import killTrainer
    from harness.panel import waitUntil
    from medcontext import jobs

    page.ui.batchButton.click()
    until(page, 2)
    job = page.job
    session(opening=False)
    killTrainer(job)
    assert waitUntil(lambda: not jobs.read(job.folder).active)
    writeRows(job.task.output, [runningRow("case 999")])
    runner(cases=20)
    again = session().batch.batch
    untilEnd(again)
    assert "interrupted" in status(again)
    until(again, 3)
    assert shown(again)[0][:2] == ("case 999", "unfinished")
    again.ui.batchButton.click()
    until(again, 20)


def test_what_is_wrong_is_said_in_the_words_of_the_batch(page: Any, runner: Any) -> None:
    runner(error="/data/scans is empty.")
    page.ui.batchButton.click()
    untilEnd(page)
    assert "failed: /data/scans is empty. Choose another one." in status(page)
    assert page.ui.batchButton.enabled


def test_nothing_begins_without_packages_and_two_at_once_only_after_asking(
    page: Any, session: Callable[..., Any], tmp_path: Path
) -> None:
    from types import SimpleNamespace

    from harness import dialogs
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
    until(page, 1)
    second = session().batch.batch
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


def test_an_earlier_batch_is_shown_without_running_anything(
    session: Callable[..., Any], tmp_path: Path, own_home: Path
) -> None:
    from harness import dialogs
    from harness.batches import failedRow, finishedBatch
    from harness.learning import jobFolders

    out = finishedBatch(tmp_path, more=[failedRow("broken", "It is no image.")])
    part = session().batch.batch
    dialogs.answers.append(str(out))
    part.ui.batchOutputButton.click()
    until(part, 5)
    assert status(part) == "4 done, 1 failed"
    assert part.ui.batchInputEdit.text == str(tmp_path / "scans")
    assert part.choices.formats == ("nii.gz", "stl")
    assert part.ui.batchCertaintyCheckBox.checked
    part.table.select("broken")
    assert "It is no image." in part.ui.batchCaseLabel.text
    assert not part.ui.openBatchCaseButton.enabled
    part.table.select("hippocampus_011")
    assert "Anterior 1.5 mL" in part.ui.batchCaseLabel.text
    assert part.ui.openBatchCaseButton.enabled
    assert jobFolders(own_home) == []
    part.ui.batchOutputEdit.text = str(tmp_path / "nothing there")
    from harness.panel import waitUntil

    assert waitUntil(lambda: not part.ui.batchTableArea.visible)
    assert part.ui.batchButton.text == "Start"


def test_a_table_of_thousands_makes_only_the_rows_in_view(
    session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.batches import doneRow

    count = 3000
    rows = (doneRow(f"case {n}", volumes_ml={"Liver": float(n)}, outputs={}) for n in range(count))
    _writeLedger(tmp_path, rows)
    part = session().batch.batch
    part.ui.batchOutputEdit.text = str(tmp_path)
    until(part, count)
    table = part.ui.batchTable
    assert 0 < made(part) < 20
    assert table.item(0, 0).text() == "case 2999"  # the newest first
    table.verticalScrollBar().setValue(1500)
    top = table.rowAt(0)
    assert table.item(top, 0).text() == f"case {count - 1 - top}"
    header = table.horizontalHeader()
    header.sectionClicked.emit(3)  # mL: the largest first, then the smallest
    header.sectionClicked.emit(3)
    assert shown(part)[0][0] == "case 0"
    part.table.select("case 2500")
    assert table.item(table.currentRow(), 0).text() == "case 2500"
    assert made(part) < 40
    part.ui.batchFilterEdit.text = "case 299"
    assert table.rowCount == 13
    assert part.table.selected() == ""


def test_the_volume_of_one_structure_can_be_looked_at(session: Callable[..., Any], tmp_path: Path) -> None:
    from harness.batches import doneRow, writeRows

    writeRows(tmp_path, [doneRow(f"case {n}", volumes_ml={"A": float(n), "B": 9.0 - n}) for n in range(4)])
    part = session().batch.batch
    part.ui.batchOutputEdit.text = str(tmp_path)
    until(part, 4)
    selector = part.ui.batchVolumeSelector
    assert [selector.itemText(k) for k in range(selector.count)] == ["All together", "A", "B"]
    selector.setCurrentIndex(2)
    part.ui.batchTable.horizontalHeader().sectionClicked.emit(3)
    assert [row[3] for row in shown(part)] == ["9", "8", "7", "6"]


def test_rows_that_come_do_not_move_what_a_person_looks_at(
    session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.batches import doneRow, writeRows

    _writeLedger(tmp_path, (doneRow(f"case {n}", outputs={}) for n in range(100)))
    part = session().batch.batch
    part.ui.batchOutputEdit.text = str(tmp_path)
    until(part, 100)
    table = part.ui.batchTable
    table.verticalScrollBar().setValue(40)
    top = table.item(table.rowAt(0), 0).text()
    part.table.select(top)
    writeRows(tmp_path, [doneRow(f"case {n}", outputs={}) for n in range(100, 110)])
    part.follower.lookNow()
    until(part, 110)
    assert table.item(table.rowAt(0), 0).text() == top
    assert part.table.selected() == top


def _writeLedger(out: Path, rows: Any) -> None:
    """At once: pushing each row to the disk takes longer than all the rest."""
    import json

    text = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "ledger.jsonl").write_text(text, encoding="utf-8")
