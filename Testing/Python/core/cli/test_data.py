"""A data set from the command line: scans are linked, listed and taken out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from medcontext.cards import user_models
from medcontext.cli.app import app
from medcontext.data.adding import NewCase
from medcontext.data.case import Annotation
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.labels import LabelSet

GRID = Geometry.from_spacing((6, 6, 6))


def scan(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).integers(0, 99, (1, 6, 6, 6)).astype(np.int16), GRID)


def painted() -> Volume:
    array = np.zeros((1, 6, 6, 6), np.uint8)
    array[0, 1:4, 1:4, 1:4] = 1
    return Volume(array, GRID)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def result_of(answer: Result) -> dict[str, Any]:
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    return next(event for event in events if event["event"] == "result")


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    """Two labelled cases, one of them in part."""
    made = CaseStore.create(
        tmp_path / "my store", LabelSet.from_names({1: "head", 2: "tail"}), [("T1", "MRI")]
    )
    made.add_case(NewCase([scan(0)], painted(), case_id="a", group="p7"))
    part = Annotation((1,), "slices", (1, 2))
    made.add_case(NewCase([scan(1)], painted(), case_id="b", annotated=part, held_out=True))
    return made


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("u", "v"):
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", scan(ord(name)))
    return tmp_path / "scans"


def test_scans_are_linked_and_told_what_was_left_out(store: CaseStore, scans: Path) -> None:
    answer = run("link", store.folder, scans, scans / "none.nii.gz", "--json")
    assert answer.exit_code == 0, answer.output
    result = result_of(answer)
    assert (result["added"], result["cases"]) == (["u", "v"], 4)
    assert [entry["path"] for entry in result["skipped"]] == [str(scans / "none.nii.gz")]
    again = run("link", store.folder, scans)
    assert again.exit_code == 2
    assert "is in the data set already, as case 'u'" in again.output
    assert "No scan was added" in again.output


def test_the_list_says_kind_labels_place_and_who_learnt_from_it(store: CaseStore, scans: Path) -> None:
    run("link", store.folder, scans)
    model = user_models() / "my-model"
    model.mkdir(parents=True)
    card = {"id": "my-model", "title": "Mine", "training": {"voxel_hashes": [store.case("a").voxels]}}
    (model / "model.json").write_text(json.dumps(card))
    (scans / "v.nii.gz").unlink()
    rows = {case["id"]: case for case in result_of(run("list", store.folder, "--json"))["cases"]}
    assert [rows[name]["kind"] for name in "abuv"] == ["annotated", "held_out", "unlabelled", "unlabelled"]
    assert [rows[name]["linked"] for name in "abuv"] == [False, False, True, True]
    assert [rows[name]["missing"] for name in "abuv"] == [False, False, False, True]
    assert [rows[name]["learnt_by"] for name in "abuv"] == [["my-model"], [], [], []]
    text = run("list", store.folder).output
    assert "my-model" in text
    assert "held out" in text
    assert "p7" in text
    assert "slices" in text


def test_removing_says_where_the_files_are(store: CaseStore) -> None:
    answer = run("remove", store.folder, "a", "b", "--json")
    assert answer.exit_code == 0, answer.output
    kept = Path(result_of(answer)["kept"])
    assert sorted(path.name for path in kept.glob("labels/*")) == ["a.nii.gz", "b.nii.gz"]
    assert run("remove", store.folder, "a").exit_code == 2


def test_a_held_out_scan_that_comes_back_is_held_out(store: CaseStore, tmp_path: Path) -> None:
    run("remove", store.folder, "b")
    write_volume(tmp_path / "b.nii.gz", scan(1))
    answer = run("add", store.folder, tmp_path / "b.nii.gz")
    assert "It is held out, as this image was before" in answer.output
    assert CaseStore.open(store.folder).case("b").held_out


@pytest.mark.parametrize("command", [["list"], ["link", "x"], ["remove", "x"]])
def test_a_broken_store_is_one_sentence(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "dataset.json").write_text("{")
    answer = run(command[0], tmp_path, *command[1:])
    assert answer.exit_code == 2
    assert "not valid JSON" in answer.output
    assert "Traceback" not in answer.output


def test_a_listing_of_an_empty_store_is_no_error(tmp_path: Path) -> None:
    CaseStore.create(tmp_path / "s", LabelSet(), [("T1", "MRI")])
    answer = run("list", tmp_path / "s")
    assert answer.exit_code == 0
    assert "0 cases" in answer.output


def test_training_goes_on_without_linked_scans_that_vanished(tmp_path: Path) -> None:
    store = CaseStore.create(tmp_path / "s", LabelSet.from_names({1: "box"}), [("T1", "MRI")])
    grid = Geometry.from_spacing((12, 12, 12))
    for number in range(5):
        labels = np.zeros((1, 12, 12, 12), np.uint8)
        labels[0, 3:8, 4:9, 2 + number : 7 + number] = 1
        values = np.random.default_rng(number).normal(0, 0.2, labels.shape).astype(np.float32) + labels
        if number < 2:
            store.add_case(NewCase([Volume(values, grid)], Volume(labels, grid), case_id=f"c{number}"))
        else:
            write_volume(tmp_path / "far" / f"u{number}.nii.gz", Volume(values, grid))
    store.link([tmp_path / "far"])
    (tmp_path / "far" / "u3.nii.gz").unlink()
    (tmp_path / "far" / "u4.nii.gz").write_bytes(b"broken")
    command = ["train", "--data", str(store.folder), "-o", str(tmp_path / "model"), "--steps", "3", "--json"]
    small = ["--device", "cpu", "--precision", "fp32", "--set", "plan.network.kwargs.filters=[4,8,8]"]
    answer = CliRunner().invoke(app, [*command, *small])
    assert answer.exit_code == 0, answer.output
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    told = [e["message"] for e in events if e["event"] == "warning" and "left out" in e["message"]]
    assert len(told) == 1
    assert told[0].startswith("2 unlabelled scans were left out: u3 (")
