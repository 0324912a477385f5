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
    assert again.output.count("is in the data set already, as case") == 2
    assert "None of these 2 scans could be added" in again.output
    assert "Linked 0" not in again.output


def test_a_folder_that_cannot_be_linked_is_told_of_once(store: CaseStore, tmp_path: Path) -> None:
    answer = run("link", store.folder, tmp_path / "nowhere")
    assert answer.exit_code == 2
    assert answer.output.splitlines() == [
        f"Error: {tmp_path / 'nowhere'} does not exist.",
        "No scan was added.",
    ]


def test_a_linked_scan_that_is_added_with_a_label_is_said_to_have_none_yet(
    store: CaseStore, scans: Path, tmp_path: Path
) -> None:
    run("link", store.folder, scans)
    write_volume(tmp_path / "painted.nii.gz", painted())
    add = ["add", store.folder, scans / "u.nii.gz", "--label", tmp_path / "painted.nii.gz"]
    answer = run(*add)
    assert answer.exit_code == 2
    assert "as case 'u', without annotation." in answer.output
    assert "Add --id u --replace: that annotates it and copies its image into the data set." in answer.output
    assert run(*add, "--id", "u", "--replace").exit_code == 0  # what the sentence says works
    assert CaseStore.open(store.folder).case("u").trainable
    assert "Add --id u --replace to give that case another label" in run(*add).output
    assert "There is nothing to add." in run("add", store.folder, scans / "v.nii.gz").output


def test_values_that_nothing_was_said_of_come_with_how_to_name_them(tmp_path: Path, scans: Path) -> None:
    write_volume(tmp_path / "painted.nii.gz", painted())
    add = [
        "add",
        tmp_path / "new",
        scans / "u.nii.gz",
        "--channel",
        "T1",
        "--label",
        tmp_path / "painted.nii.gz",
    ]
    answer = run(*add)
    assert answer.exit_code == 2
    assert "holds the label values 1, and the data set does not say yet what any value means" in answer.output
    assert "Add --names 1=NAME with the name of each structure." in answer.output
    assert run(*add, "--names", "1=head").exit_code == 0


def test_an_image_with_more_volumes_than_the_data_set_has_channels(store: CaseStore, tmp_path: Path) -> None:
    both = Volume(np.concatenate([scan(5).array, scan(6).array]), GRID)
    write_volume(tmp_path / "both.nii.gz", both)
    answer = run("add", store.folder, tmp_path / "both.nii.gz")
    assert answer.exit_code == 2
    assert "has 2 channels; the data set has 1 channel: T1." in answer.output
    assert "Give one 3D image; of a 4D file the volume that is the T1." in answer.output


def test_a_split_that_changes_nothing_says_why(store: CaseStore, tmp_path: Path) -> None:
    few = run("split", store.folder)
    assert few.exit_code == 0
    assert "Nothing changes: 1 of 2 labelled cases score already (50%)." in few.output
    assert "Nothing changes: b were held out before." in run("split", store.folder, "--case", "b").output
    other = CaseStore.create(tmp_path / "other", LabelSet.from_names({1: "head"}), [("T1", "MRI")])
    assert "holds no labelled case" in run("split", other.folder).output
    for seed in range(2):
        other.add_case(NewCase([scan(seed)], painted(), group="p"))
    assert "a share of 0.2 of 2 labelled cases is less than one case" in run("split", other.folder).output
    assert "all of one patient" in run("split", other.folder, "--held-out", "0.5").output
    other.add_case(NewCase([scan(7)], painted(), case_id="c"))
    assert "Held out from now on: c." in run("split", other.folder, "--case", "c").output


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
