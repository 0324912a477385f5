"""The table of a batch: thousands of cases, sorted, filtered, and still while it grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")


def made(part: Any) -> int:
    """How many rows of the table hold anything."""
    table = part.ui.batchTable
    return sum(table.item(row, 0) is not None for row in range(table.rowCount))


def test_a_table_of_thousands_makes_only_the_rows_in_view(
    batch_session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.batches import doneRow
    from harness.reviews import tableTexts, untilListed

    count = 3000
    rows = (doneRow(f"case {n}", volumes_ml={"Liver": float(n)}, outputs={}) for n in range(count))
    _writeLedger(tmp_path, rows)
    part = batch_session().batch.batch
    part.ui.batchOutputEdit.text = str(tmp_path)
    untilListed(part, count)
    table = part.ui.batchTable
    assert 0 < made(part) < 20
    assert table.item(0, 0).text() == "case 2999"  # the newest first
    table.verticalScrollBar().setValue(1500)
    top = table.rowAt(0)
    assert table.item(top, 0).text() == f"case {count - 1 - top}"
    header = table.horizontalHeader()
    header.sectionClicked.emit(3)  # mL: the largest first, then the smallest
    header.sectionClicked.emit(3)
    assert tableTexts(part)[0][0] == "case 0"
    part.table.select("case 2500")
    assert table.item(table.currentRow(), 0).text() == "case 2500"
    assert made(part) < 40
    part.ui.batchFilterEdit.text = "case 299"
    assert table.rowCount == 13
    assert part.table.selected() == ""


def test_the_volume_of_one_structure_can_be_looked_at(
    batch_session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.batches import doneRow, writeRows
    from harness.reviews import tableTexts, untilListed

    writeRows(tmp_path, [doneRow(f"case {n}", volumes_ml={"A": float(n), "B": 9.0 - n}) for n in range(4)])
    part = batch_session().batch.batch
    part.ui.batchOutputEdit.text = str(tmp_path)
    untilListed(part, 4)
    selector = part.ui.batchVolumeSelector
    assert [selector.itemText(k) for k in range(selector.count)] == ["All together", "A", "B"]
    selector.setCurrentIndex(2)
    part.ui.batchTable.horizontalHeader().sectionClicked.emit(3)
    assert [row[3] for row in tableTexts(part)] == ["9", "8", "7", "6"]


def test_rows_that_come_do_not_move_what_a_person_looks_at(
    batch_session: Callable[..., Any], tmp_path: Path
) -> None:
    from harness.batches import doneRow, writeRows
    from harness.reviews import untilListed

    _writeLedger(tmp_path, (doneRow(f"case {n}", outputs={}) for n in range(100)))
    part = batch_session().batch.batch
    part.ui.batchOutputEdit.text = str(tmp_path)
    untilListed(part, 100)
    table = part.ui.batchTable
    table.verticalScrollBar().setValue(40)
    top = table.item(table.rowAt(0), 0).text()
    part.table.select(top)
    writeRows(tmp_path, [doneRow(f"case {n}", outputs={}) for n in range(100, 110)])
    part.follower.lookNow()
    untilListed(part, 110)
    assert table.item(table.rowAt(0), 0).text() == top
    assert part.table.selected() == top


def test_an_earlier_batch_is_shown_without_running_anything(
    batch_session: Callable[..., Any], tmp_path: Path, own_home: Path
) -> None:
    from harness import dialogs
    from harness.batches import failedRow, finishedBatch
    from harness.learning import jobFolders
    from harness.reviews import batchStatus, untilListed

    out = finishedBatch(tmp_path, more=[failedRow("broken", "It is no image.")])
    part = batch_session().batch.batch
    dialogs.answers.append(str(out))
    part.ui.batchOutputButton.click()
    untilListed(part, 5)
    assert batchStatus(part) == "4 done, 1 failed"
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


def _writeLedger(out: Path, rows: Iterable[Any]) -> None:
    """At once: pushing each row to the disk takes longer than all the rest."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "ledger.jsonl").write_text(text, encoding="utf-8")
