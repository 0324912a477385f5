"""What the panel knows of a batch: from its ledger while that grows, and from what people said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")

Look = Callable[[Path], Any]


def test_a_growing_ledger_is_read_piece_by_piece(tmp_path: Path) -> None:
    from harness.batches import doneRow, runningRow, writeRows
    from MedContextSegmentLib.Batch.FolderReader import FolderReader

    reader = FolderReader(tmp_path)
    assert reader.look().rows == ()  # not begun
    writeRows(tmp_path, [runningRow("a")])
    assert [(row.case, row.state) for row in reader.look().rows] == [("a", "running")]
    writeRows(tmp_path, [doneRow("a"), runningRow("b")])
    with (tmp_path / "ledger.jsonl").open("a", encoding="utf-8") as ledger:
        ledger.write('{"case": "c", "sta')  # being written
    news = reader.look()
    assert [(row.case, row.state) for row in news.rows] == [("a", "done"), ("b", "running")]
    assert reader.look().order == ("a",)
    assert reader.look().rows == ()


def test_rows_that_nobody_expects_do_no_harm(tmp_path: Path, look: Look) -> None:
    odd = [
        {"case": "a", "state": "done", "seconds": "long", "volumes_ml": [1], "warnings": "no", "error": 3},
        {"case": "b", "state": "done", "volumes_ml": {"x": None, "y": 2}, "certainty": True, "outputs": 1},
        {"case": "c", "state": "sleeping"},
        {"state": "done"},
        [1, 2],
    ]
    text = "\n".join(json.dumps(row) for row in odd) + "\nnot json\n"
    (tmp_path / "ledger.jsonl").write_text(text, encoding="utf-8")
    rows = look(tmp_path)
    assert list(rows.cases) == ["a", "b", "c"]
    assert rows.cases["a"].seconds is None
    assert rows.cases["a"].warnings == ()
    assert rows.cases["b"].volume() == 2
    assert rows.cases["b"].certainty is None
    assert rows.problem == ""


def test_parts_of_one_batch_are_one_table_and_the_newest_row_counts(tmp_path: Path, look: Look) -> None:
    from harness.batches import doneRow, runningRow, writeRows

    first = [doneRow("a", time=10.0, shard="1-of-2"), doneRow("both", time=50.0, shard="1-of-2")]
    second = [runningRow("b"), doneRow("both", time=20.0, shard="2-of-2", certainty=0.1)]
    writeRows(tmp_path, second, (2, 2))
    writeRows(tmp_path, first, (1, 2))
    rows = look(tmp_path)
    assert sorted(rows.cases) == ["a", "b", "both"]
    assert rows.cases["both"].certainty == 0.9
    # In one file the order counts, also where a clock was set back.
    writeRows(tmp_path, [doneRow("a", time=1.0, shard="1-of-2", certainty=0.3)], (1, 2))
    assert look(tmp_path).cases["a"].certainty == 0.3


def test_what_needs_a_person_comes_first_with_the_reason(tmp_path: Path, look: Look) -> None:
    from harness.batches import doneRow, failedRow, writeRows
    from MedContextSegmentLib.Batch.BatchRows import NOTES, Order

    usual = [
        doneRow(f"case {n}", volumes_ml={"Liver": 1400.0 + 10 * n}, certainty=0.9 - 0.001 * n)
        for n in range(12)
    ]
    tiny = doneRow("tiny", volumes_ml={"Liver": 20.0})
    warned = doneRow("warned", volumes_ml={"Liver": 1450.0}, warnings=["Odd slices."])
    writeRows(tmp_path, [*usual, tiny, warned, failedRow("broken", "It cannot be read.")])
    rows = look(tmp_path)
    assert rows.queue[:2] == ("tiny", "case 11")
    assert "Liver 20" in rows.reasons["tiny"][0]
    assert "usual" in rows.notes("tiny")[0]
    assert rows.notes("broken") == ("It cannot be read. Look at the file.",)
    found = [row.case for row in rows.find("", Order(NOTES))]
    assert found[:3] == ["broken", "tiny", "warned"]
    assert set(found[3:]) == {row["case"] for row in usual}
    assert "broken" not in rows.queue
    assert rows.counts() == {"done": 14, "failed": 1}


def test_sorting_keeps_cases_without_the_number_last_and_names_as_people_sort_them(
    tmp_path: Path, look: Look
) -> None:
    from harness.batches import doneRow, failedRow, writeRows
    from MedContextSegmentLib.Batch.BatchRows import CASE, CERTAINTY, VOLUME, Order

    writeRows(
        tmp_path,
        [
            doneRow("case 10", volumes_ml={"A": 1.0, "B": 9.0}, certainty=0.2),
            doneRow("case 2", volumes_ml={"A": 5.0, "B": 1.0}, certainty=0.8),
            failedRow("case 1", "Broken."),
        ],
    )
    rows = look(tmp_path)

    def names(order: Order, words: str = "") -> list[str]:
        return [row.case.removeprefix("case ") for row in rows.find(words, order)]

    assert names(Order()) == ["1", "2", "10"]  # the newest first
    assert names(Order(CASE)) == ["1", "2", "10"]
    assert names(Order(VOLUME, True)) == ["10", "2", "1"]
    assert names(Order(VOLUME, True, "A")) == ["2", "10", "1"]
    assert names(Order(CERTAINTY)) == ["10", "2", "1"]
    assert names(Order(CERTAINTY, True)) == ["2", "10", "1"]
    assert names(Order(), "FAILED case") == ["1"]
    assert names(Order(), "broken") == ["1"]
    assert rows.labels == ["A", "B"]


def test_verdicts_of_others_are_heard(out: Path) -> None:
    from medcontext.batch_ledger import Review, append_review
    from MedContextSegmentLib.Batch.FolderReader import FolderReader

    reader = FolderReader(out)
    first = reader.look()
    assert first.reviews is None
    assert first.run is not None
    append_review(out, Review("hippocampus_011", "reject"))
    append_review(out, Review("hippocampus_011", "accept", note="on second thoughts"))
    reviews = reader.look().reviews
    assert reviews is not None
    assert reviews["hippocampus_011"].verdict == "accept"
    assert reader.look().reviews is None


def test_the_later_run_of_a_case_counts_whatever_its_clock_says(tmp_path: Path, look: Look) -> None:
    from harness.batches import doneRow, failedRow, writeRows

    writeRows(tmp_path, [{**failedRow("a", "Broken."), "sequence": 1, "shard": "1-of-2"}], (1, 2))
    writeRows(tmp_path, [doneRow("a", sequence=2, time=5.0)])
    assert look(tmp_path).cases["a"].done


def test_what_a_batch_was_given_is_found_again(out: Path, look: Look) -> None:
    run = look(out).run
    assert run.input == str(out.parent / "scans")  # absolute, though the command was not
    assert run.model.startswith("hippocampus@")
    assert run.formats == ("nii.gz", "stl")
    assert run.certaintyMap
    (out / "sources.json").unlink()
    assert look(out).run.input == ""
    (out / "batch.json").write_text("{", encoding="utf-8")
    assert look(out).run is None


def test_a_folder_that_cannot_be_read_gives_a_sentence(tmp_path: Path, look: Look) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    assert "cannot be read" in look(tmp_path).problem


def test_the_command_is_what_the_command_line_takes(tmp_path: Path) -> None:
    from MedContextSegmentLib.Batch.BatchCommand import BatchRequest, batchOf

    request = BatchRequest(
        str(tmp_path / "scans"),
        tmp_path / "out",
        "liver@1",
        ("nii.gz", "stl"),
        certaintyMap=True,
        keepIdentifiers=True,
        device="cuda:1",
    )
    assert request.arguments()[1:] == [
        *(str(tmp_path / "scans"), "-m", "liver@1", "-o", str(tmp_path / "out")),
        *("--format", "nii.gz", "--format", "stl", "--certainty-map", "--keep-identifiers"),
        *("--device", "cuda:1"),
    ]
    found = batchOf({"command": request.command("python"), "working_folder": "/"})
    assert found is not None
    assert found.output == tmp_path / "out"
    assert batchOf({"command": ["medcontext", "batch", "scans", "-o", "out"], "working_folder": "/data"})
    assert batchOf({"command": ["medcontext", "segment", "x", "-o", "out"]}) is None
    assert batchOf({"command": ["sh", "batch"]}) is None
