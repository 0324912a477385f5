"""What many scores amount to, and the files they are written to."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import pytest

from medcontext.errors import InputError, ResourceError
from medcontext.metrics import LabelScore, summarise, write_scores
from medcontext.metrics.scores import Status


def row(
    case: str,
    label: str,
    dice: float | None,
    hd95: float | None = None,
    *,
    status: Status = "scored",
    tolerance: float = 1.0,
) -> LabelScore:
    value = {"anterior": 1, "posterior": 2, "tail": 3}[label]
    return LabelScore(case, label, value, status, dice, hd95, dice, tolerance, 10, 12, 0.01, 0.012)


ROWS = [
    row("a", "anterior", 0.9, 1.0),
    row("b", "anterior", 0.6, 4.0),
    row("c", "anterior", 0.0, status="missed"),
    row("d", "anterior", None, status="absent"),
    row("e", "anterior", 0.0, status="invented"),
    row("a", "posterior", 0.8, 2.0),
    row("a", "tail", None, status="absent"),
]


def test_each_label_says_how_many_cases_stand_behind_each_number() -> None:
    anterior = summarise(ROWS)["labels"]["anterior"]
    assert anterior["counts"] == {"scored": 2, "missed": 1, "invented": 1, "absent": 1}
    assert anterior["dice"]["n"] == 4  # missed and invented count as 0, absent does not count
    assert anterior["dice"]["mean"] == pytest.approx(0.375)
    assert anterior["dice"]["median"] == pytest.approx(0.3)
    assert anterior["dice"]["std"] == pytest.approx(0.45)
    assert anterior["hd95_mm"]["n"] == 2
    assert anterior["hd95_mm"]["mean"] == pytest.approx(2.5)


def test_the_worst_case_is_the_lowest_dice_and_the_greatest_distance() -> None:
    labels = summarise(ROWS[:2])["labels"]
    assert labels["anterior"]["dice"]["worst"] == {"case": "b", "value": 0.6}
    assert labels["anterior"]["hd95_mm"]["worst"] == {"case": "b", "value": 4.0}


def test_the_overall_mean_gives_each_label_that_has_one_the_same_weight() -> None:
    summary = summarise(ROWS)
    assert summary["mean"]["dice"] == {"mean": pytest.approx((0.375 + 0.8) / 2), "labels": 2}
    assert summary["labels"]["tail"]["dice"] == {
        "mean": None,
        "median": None,
        "std": None,
        "n": 0,
        "worst": None,
    }
    assert summary["labels"]["posterior"]["dice"]["std"] is None  # one case has no spread
    assert summary["cases"] == 5


def test_files_hold_null_as_empty_cell_and_as_null(tmp_path: Path) -> None:
    summary = write_scores(ROWS, tmp_path / "new" / "folder")
    with (tmp_path / "new" / "folder" / "scores.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == len(ROWS)
    assert table[0]["case"] == "a"
    assert float(table[0]["dice"]) == 0.9
    assert (table[2]["status"], table[2]["dice"], table[2]["hd95_mm"]) == ("missed", "0.0", "")
    assert table[3]["dice"] == ""
    content = json.loads((tmp_path / "new" / "folder" / "scores.json").read_text())
    assert content["scores"][3]["dice"] is None
    assert content["summary"]["labels"]["anterior"]["dice"]["n"] == 4
    assert content["summary"]["mean"]["dice"]["mean"] == pytest.approx(summary["mean"]["dice"]["mean"])
    assert "invented" in content["rules"]


def test_case_names_with_commas_quotes_and_accents_survive(tmp_path: Path) -> None:
    name = 'Müller, "left"'
    write_scores([row(name, "anterior", 0.5, 1.0)], tmp_path)
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as stream:
        assert next(csv.DictReader(stream))["case"] == name


def test_nothing_and_mixed_tolerances_are_refused() -> None:
    with pytest.raises(InputError, match="no scores"):
        summarise([])
    with pytest.raises(InputError, match=r"\[1\.0, 2\.0\]"):
        summarise([row("a", "anterior", 1.0), row("b", "anterior", 1.0, tolerance=2.0)])


def test_a_full_disk_is_told_and_keeps_the_scores_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scores(ROWS, tmp_path)
    before = (tmp_path / "scores.json").read_text()

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ResourceError, match="full"):
        write_scores(ROWS[:1], tmp_path)
    assert (tmp_path / "scores.json").read_text() == before
