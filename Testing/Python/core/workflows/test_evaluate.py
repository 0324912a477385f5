"""Scores of models and of labelmaps: the right cases, the right labels, and honest about what is missing."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medcontext.cli.app import app
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.workflows.evaluate import evaluate


@pytest.fixture
def perfect(tmp_path: Path, a_store: Path) -> Path:
    """A folder with the experts' own labels of the held-out cases."""
    folder = tmp_path / "perfect"
    folder.mkdir()
    for case in CaseStore.open(a_store).cases:
        if case.held_out and case.label is not None:
            shutil.copy(case.label, folder / f"{case.id}.nii.gz")
    return folder


@pytest.fixture
def renumbered(tmp_path: Path, a_store: Path) -> Path:
    """The same data set with the label values exchanged: 1 is Lower, 3 is Upper."""
    folder = tmp_path / "renumbered"
    shutil.copytree(a_store, folder)
    data = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    data["labels"] = {"0": "background", "1": "lower", "3": "upper"}
    names = {1: "lower", 3: "upper"}
    data["label_table"] = [entry | {"name": names[entry["value"]]} for entry in data["label_table"]]
    (folder / "dataset.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def warnings_of(events: list[Event]) -> str:
    return " ".join(event["message"] for event in events if event["event"] == "warning")


def test_a_model_is_scored_on_held_out_cases_only(tmp_path: Path, a_store: Path, a_model: Path) -> None:
    events: list[Event] = []
    result = evaluate(
        a_store, model=a_model, output=tmp_path / "out", device="cpu", reporter=Reporter(events.append)
    )
    assert {row.case for row in result.scores} == {"ball_3", "ball_4"}
    assert result.mean_dice == pytest.approx((result.dice("Upper") + result.dice("Lower")) / 2)
    assert result.mean_dice > 0.7
    with (tmp_path / "out" / "scores.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["label"]) for row in rows] == [
        ("ball_3", "Upper"),
        ("ball_3", "Lower"),
        ("ball_4", "Upper"),
        ("ball_4", "Lower"),
    ]
    assert "learnt from" not in warnings_of(events)


def test_scores_on_scans_it_learnt_from_come_with_a_warning(a_store: Path, a_model: Path) -> None:
    events: list[Event] = []
    evaluate(a_store, model=a_model, split="training", device="cpu", reporter=Reporter(events.append))
    assert "learnt from 3 cases (ball_0, ball_1, ball_2) of these 3" in warnings_of(events)


def test_labelmaps_are_scored_as_they_are(a_store: Path, perfect: Path) -> None:
    result = evaluate(a_store, predictions=perfect)
    assert (result.cases, result.mean_dice) == (2, 1.0)
    assert result.table()[0] == ("Upper", 2, 1.0, 0.0, 1.0)


def test_labels_are_matched_by_name_not_by_value(renumbered: Path, a_store: Path, a_model: Path) -> None:
    # The files still mark Upper with 1: to a data set that calls 1 lower, the model is all wrong.
    wrong = evaluate(renumbered, model=a_model, device="cpu")
    right = evaluate(a_store, model=a_model, device="cpu")
    assert set(wrong.summary["labels"]) == {"lower", "upper"}
    assert right.mean_dice > 0.7
    assert wrong.mean_dice < 0.3


def test_a_missing_labelmap_is_said(a_store: Path, perfect: Path) -> None:
    (perfect / "ball_3.nii.gz").unlink()
    events: list[Event] = []
    result = evaluate(a_store, predictions=perfect, reporter=Reporter(events.append))
    assert result.cases == 1
    assert "holds no labelmap of 1 case (ball_3)" in warnings_of(events)


def test_a_broken_labelmap_fails_its_case_only(tmp_path: Path, a_store: Path, perfect: Path) -> None:
    (perfect / "ball_3.nii.gz").write_bytes(b"")
    arguments = ["evaluate", str(perfect), "--data", str(a_store), "-o", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 5
    final = next(e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "result")
    assert final["summary"]["cases"] == 1
    assert [entry["case"] for entry in final["failed"]] == ["ball_3"]


def test_what_cannot_be_scored_gets_a_sentence(
    tmp_path: Path, a_store: Path, a_model: Path, perfect: Path
) -> None:
    with pytest.raises(InputError, match="either a model"):
        evaluate(a_store)
    with pytest.raises(InputError, match="either a model"):
        evaluate(a_store, model=a_model, predictions=perfect)
    with pytest.raises(InputError, match="is not a folder"):
        evaluate(a_store, predictions=tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no labelmap of the 2 cases"):
        evaluate(a_store, predictions=tmp_path / "empty")
    with pytest.raises(InputError, match="no split 'validation'"):
        evaluate(a_store, predictions=perfect, split="validation")
    foreign = tmp_path / "foreign"
    shutil.copytree(a_store, foreign)
    data = json.loads((foreign / "dataset.json").read_text(encoding="utf-8"))
    data["labels"] = {"0": "background", "1": "liver", "3": "spleen"}
    del data["label_table"]
    (foreign / "dataset.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match="share no label"):
        evaluate(foreign, model=a_model, device="cpu")
