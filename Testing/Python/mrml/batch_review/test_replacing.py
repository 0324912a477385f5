"""What a batch would replace is known, and said, before it begins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")


@pytest.fixture
def same(out: Path) -> Any:
    """The request that the finished batch in ``out`` came from."""
    from medcontext.batch_ledger import Layout
    from MedContextSegmentLib.Batch.BatchCommand import BatchRequest
    from MedContextSegmentLib.Batch.FolderReader import runFacts

    run = runFacts(Layout(out))
    assert run is not None
    return BatchRequest(run.input, out, run.model, run.formats, certaintyMap=run.certaintyMap)


def change(out: Path, part: str, **facts: Any) -> None:
    record = json.loads((out / "batch.json").read_text(encoding="utf-8"))
    (record[part] if part else record).update(facts)
    (out / "batch.json").write_text(json.dumps(record), encoding="utf-8")


def test_going_on_replaces_nothing(same: Any, out: Path, tmp_path: Path) -> None:
    from MedContextSegmentLib.Batch.Replacing import wouldReplace

    assert wouldReplace(same) is None
    assert wouldReplace(replace(same, formats=same.formats[::-1])) is None
    assert wouldReplace(replace(same, output=tmp_path / "new", model="other@1")) is None
    (out / "ledger.jsonl").unlink()  # nothing was finished
    assert wouldReplace(replace(same, model="other@1")) is None


@pytest.mark.parametrize(
    "now", [{"model": "other@1"}, {"formats": ("obj",)}, {"certaintyMap": False}, {"precision": "fp32"}]
)
def test_another_model_or_other_options_replace_all(same: Any, now: dict[str, Any]) -> None:
    from MedContextSegmentLib.Batch.Replacing import OTHER, Replaced, wouldReplace

    assert wouldReplace(replace(same, **now)) == Replaced(OTHER, 4)


def test_options_that_only_the_command_has_count_too(same: Any, out: Path) -> None:
    from MedContextSegmentLib.Batch.Replacing import OTHER, Replaced, wouldReplace

    change(out, "options", odd="refuse")
    assert wouldReplace(same) == Replaced(OTHER, 4)


def test_what_was_done_again_is_not_done_once_more(same: Any, out: Path) -> None:
    from harness.batches import CASES, doneRow, writeRows
    from MedContextSegmentLib.Batch.Replacing import CHOSEN, GOING_ON, Replaced, wouldReplace

    assert wouldReplace(replace(same, overwrite=True)) == Replaced(CHOSEN, 4)
    change(out, "", overwriting="7f")
    writeRows(out, [doneRow(CASES[0], mark="7f")])
    assert wouldReplace(same) == Replaced(GOING_ON, 3)
    assert wouldReplace(replace(same, overwrite=True)) == Replaced(CHOSEN, 3)
    writeRows(out, [doneRow(case, mark="7f") for case in CASES])
    assert wouldReplace(same) is None
