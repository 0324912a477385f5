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
if not MISSING:
    import slicer

    from harness import dialogs
    from harness.batches import reviewsOf
    from harness.cases import index, ok
    from harness.learning import answerNewStore
    from harness.panel import SAMPLE
    from harness.reviews import batchStatus, correct, reviewStatus, shownCase, shownSegments
    from medcontext.batch_ledger import read_rows
    from medcontext.io import read_labelmap

DEADLINE = 300.0
"""Generous: nothing here is about time."""
CASES = ("hippocampus_001", "hippocampus_067", "hippocampus_084", "hippocampus_150")


@pytest.fixture
def panel(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Slicer with the module; all jobs are ended afterwards."""
    from harness import application, dialogs, packaging, slicer_qt
    from harness.panel import MODULE, settle
    from harness.programs import endJobs

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
    endJobs(own_home)
    application.reset()
    import qt

    qt.QSettings().clear()
    assert not slicer_qt.errors, "\n".join(slicer_qt.errors)


def wait(condition: Any, what: Any = "") -> None:
    from harness.panel import waitUntil

    assert waitUntil(condition, DEADLINE), what() if callable(what) else what


def test_start_stop_continue_review_and_add_to_the_case_store(panel: Any, tmp_path: Path) -> None:
    scans, out = tmp_path / "scäns of a study", tmp_path / "results"
    scans.mkdir()
    for name in CASES:
        shutil.copyfile(SAMPLE / "images" / f"{name}.nii.gz", scans / f"{name}.nii.gz")
    (scans / "broken.nii.gz").write_bytes(b"no image")
    runWithAStop(panel.batch.batch, scans, out)
    accepted, corrected = acceptOneCorrectOne(panel, out, tmp_path)
    # The next corrected one needs one key, and what the batch wrote is as it was.
    queue, order = panel.batch.queue, panel.batch.batch.follower.rows.queue
    correct(queue)
    asked = len(dialogs.shown)
    queue.ui.addReviewedButton.click()
    wait(lambda: shownCase(queue) == order[3], lambda: reviewStatus(queue))
    assert len(dialogs.shown) == asked
    assert [case["id"] for case in index(tmp_path / "Hippocampus")["training"]] == [corrected, order[2]]
    assert panel.learn.fineTune.ui.startButton.enabled  # models can learn from them
    for case in (accepted, corrected, order[2]):
        entry = next(row for row in read_rows(out)[case]["outputs"]["nii.gz"])
        assert (out / entry["path"]).stat().st_mtime_ns == entry["mtime_ns"]


def runWithAStop(batch: Any, scans: Path, out: Path) -> None:
    """Start, stop after a case, continue to the end."""
    batch.ui.batchInputEdit.text, batch.ui.batchOutputEdit.text = str(scans), str(out)
    assert batch.ui.batchButton.enabled, batchStatus(batch)
    batch.ui.batchButton.click()
    wait(lambda: batch.follower.rows.counts()["done"] or not batch.working, lambda: batchStatus(batch))
    if batch.working:
        batch.ui.batchButton.click()
    wait(lambda: not batch.working and not batch._timer.active, lambda: batchStatus(batch))
    assert batch.ui.batchButton.text == "Continue", batchStatus(batch)
    batch.ui.batchButton.click()
    wait(lambda: not batch.working and not batch._timer.active, lambda: batchStatus(batch))
    wait(lambda: len(batch.follower.rows.queue) == len(CASES), lambda: batchStatus(batch))
    assert "4 done, 1 failed" in batchStatus(batch)
    assert batch.ui.batchTable.rowCount == 5
    for name in CASES:
        assert (out / "segmentations" / f"{name}.nii.gz").exists()
        assert (out / "segmentations" / f"{name}.seg.nrrd").exists()
    assert batch.ui.batchReportButton.enabled
    batch.table.select("broken")
    assert batch.ui.batchCaseLabel.text.strip() != "broken"  # why it failed


def acceptOneCorrectOne(panel: Any, out: Path, folder: Path) -> tuple[str, str]:
    """Review: the first case is right, the second one is corrected and goes into a new case store; their names."""
    queue, order = panel.batch.queue, panel.batch.batch.follower.rows.queue
    queue.ui.reviewButton.click()
    wait(lambda: shownCase(queue) == order[0], lambda: reviewStatus(queue))
    made = read_labelmap(out / "segmentations" / f"{order[0]}.nii.gz").array[0]
    assert np.array_equal(shownSegments(queue)["Anterior"], made == 1)
    assert np.array_equal(shownSegments(queue)["Posterior"], made == 2)
    queue.ui.acceptButton.click()
    wait(lambda: shownCase(queue) == order[1], lambda: reviewStatus(queue))
    painted = correct(queue)
    answerNewStore("Hippocampus", folder)

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        wait(lambda: "Looking" not in ui.addCaseStatusLabel.text)
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    queue.ui.addReviewedButton.click()
    wait(lambda: shownCase(queue) == order[2], lambda: reviewStatus(queue))
    assert reviewsOf(out) == [(order[0], "accept"), (order[1], "correct")]
    (entry,) = index(folder / "Hippocampus")["training"]
    assert entry["id"] == order[1]
    assert entry["annotated"] == {"labels": [1, 2], "region": "whole"}
    stored = read_labelmap(folder / "Hippocampus" / entry["label"]).array[0]
    assert np.array_equal(stored == 1, painted)
    return order[0], order[1]
