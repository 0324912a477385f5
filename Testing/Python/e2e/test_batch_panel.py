"""Batch, review and learning as one circle, through the panel: a real job on real crops, stopped, continued, reviewed,
and a corrected case in the case store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.missing import missing_for_gui

MISSING = missing_for_gui()
pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.slow]

DEADLINE = 300.0
"""Generous: nothing here is about time."""
CASES = ("hippocampus_001", "hippocampus_067", "hippocampus_084", "hippocampus_150")


@pytest.fixture
def panel(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Slicer with the module; all jobs are ended afterwards."""
    from harness import application, dialogs, packaging, slicer_qt
    from harness.panel import MODULE, settle
    from medcontext import jobs

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    slicer_qt.start()
    slicer_qt.errors.clear()
    dialogs.reset()
    packaging.reset()
    widget = slicer_qt.enter(slicer_qt.load_module(MODULE))
    widget.warmUp.begin = lambda _model: None
    widget.batch.batch.ignoredSeconds = 0.0
    widget.settings.device = "cpu"
    widget.ui.batchSection.collapsed = widget.ui.learnSection.collapsed = False
    settle()
    yield widget
    slicer_qt.unload(widget)
    for job in jobs.list_jobs(own_home / "jobs"):
        if job.active:
            jobs.kill(job.folder)
    application.reset()
    import qt

    qt.QSettings().clear()
    assert not slicer_qt.errors, "\n".join(slicer_qt.errors)


def wait(condition: Any, what: Any = "") -> None:
    from harness.panel import waitUntil

    assert waitUntil(condition, DEADLINE), what() if callable(what) else what


def test_start_stop_continue_review_and_add_to_the_case_store(panel: Any, tmp_path: Path) -> None:
    import slicer

    from harness import dialogs
    from harness.batches import paintIn, reviewsOf
    from harness.cases import index, ok
    from harness.learning import answerNewStore
    from harness.panel import SAMPLE, segmentArrays
    from medcontext.batch_ledger import read_rows
    from medcontext.io import read_labelmap

    scans, out = tmp_path / "scäns of a study", tmp_path / "results"
    scans.mkdir()
    for name in CASES:
        shutil.copyfile(SAMPLE / "images" / f"{name}.nii.gz", scans / f"{name}.nii.gz")
    (scans / "broken.nii.gz").write_bytes(b"no image")
    batch, queue = panel.batch.batch, panel.batch.queue

    def status() -> str:
        return str(batch.ui.batchStatusLabel.text)

    # The run: stopped after its first case, and continued
    batch.ui.batchInputEdit.text, batch.ui.batchOutputEdit.text = str(scans), str(out)
    assert batch.ui.batchButton.enabled, status()
    batch.ui.batchButton.click()
    rows = batch.follower.rows
    wait(lambda: batch.follower.rows.counts()["done"] or not batch.working, status)
    if batch.working:
        batch.ui.batchButton.click()
    wait(lambda: not batch.working and not batch._timer.active, status)
    assert batch.ui.batchButton.text == "Continue", status()
    batch.ui.batchButton.click()
    wait(lambda: not batch.working and not batch._timer.active, status)
    rows = batch.follower.rows
    wait(lambda: len(rows.queue) == len(CASES), status)
    assert "4 done, 1 failed" in status()
    assert batch.ui.batchTable.rowCount == 5
    attempts = {case: row["attempt"] for case, row in read_rows(out).items() if row["state"] == "done"}
    assert sorted(attempts) == sorted(CASES)
    assert all(
        (out / "segmentations" / f"{name}.{form}").exists()
        for name in CASES
        for form in ("nii.gz", "seg.nrrd")
    )
    assert batch.ui.batchReportButton.enabled
    batch.table.select("broken")
    assert batch.ui.batchCaseLabel.text.strip() != "broken"  # why it failed

    # The review: the first one is right, the second one is corrected and learnt from
    queue.ui.reviewButton.click()
    wait(lambda: queue.actions.case is not None, lambda: queue.ui.reviewQueueStatusLabel.text)
    first = queue.actions.case
    assert first.case == rows.queue[0]
    shown = segmentArrays(first.segmentation, first.volumes[0])
    made = read_labelmap(out / "segmentations" / f"{first.case}.nii.gz").array[0]
    assert np.array_equal(shown["Anterior"], made == 1)
    assert np.array_equal(shown["Posterior"], made == 2)
    queue.ui.acceptButton.click()
    wait(lambda: queue.actions.case is not None and queue.actions.case.case == rows.queue[1])
    second = queue.actions.case
    painted = paintIn(second.segmentation, second.volumes[0]) > 0
    answerNewStore("Hippocampus", tmp_path)

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        wait(lambda: "Looking" not in ui.addCaseStatusLabel.text)
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    queue.ui.addReviewedButton.click()
    third = rows.queue[2]
    wait(lambda: queue.actions.case is not None and queue.actions.case.case == third, queue._status)
    assert reviewsOf(out) == [(first.case, "accept"), (second.case, "correct")]
    store = tmp_path / "Hippocampus"
    (entry,) = index(store)["training"]
    assert entry["id"] == second.case
    assert entry["annotated"] == {"labels": [1, 2], "region": "whole"}
    assert np.array_equal(read_labelmap(store / entry["label"]).array[0] == 1, painted)

    # The next corrected one needs one key, and what the batch wrote is as it was
    paintIn(queue.actions.case.segmentation, queue.actions.case.volumes[0])
    asked = len(dialogs.shown)
    queue.ui.addReviewedButton.click()
    wait(lambda: queue.actions.case is not None and queue.actions.case.case == rows.queue[3], queue._status)
    assert len(dialogs.shown) == asked
    assert [case["id"] for case in index(store)["training"]] == [second.case, third]
    assert panel.learn.fineTune.ui.fineTuneButton.enabled  # and models can learn from them
    for case in (second.case, third):
        entry = next(row for row in read_rows(out)[case]["outputs"]["nii.gz"])
        assert (out / entry["path"]).stat().st_mtime_ns == entry["mtime_ns"]
