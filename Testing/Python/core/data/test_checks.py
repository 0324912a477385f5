"""``data check`` names every broken case in one sentence, and its exit code says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medcontext.cli.data import app
from medcontext.data.adding import NewCase
from medcontext.data.checks import Finding, check_store
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume

MakeStore = Callable[[int], CaseStore]
Maker = Callable[..., Volume]


def errors(store: CaseStore) -> list[Finding]:
    store.reload()
    return [finding for finding in check_store(store) if finding.severity == "error"]


def warnings(store: CaseStore) -> str:
    store.reload()
    return " | ".join(finding.message for finding in check_store(store) if finding.severity == "warning")


def write_image(store: CaseStore, name: str, array: np.ndarray) -> None:
    write_volume(store.folder / "images" / name, Volume(array, Geometry.from_spacing(array.shape[1:])))


def test_a_good_store_has_nothing_to_complain_about(make_store: MakeStore) -> None:
    assert check_store(make_store(3)) == []


def test_a_store_with_one_case_is_warned_about_only(make_store: MakeStore) -> None:
    store = make_store(1)
    assert errors(store) == []
    assert "Only one labelled case" in warnings(store)


def break_missing(store: CaseStore) -> None:
    (store.folder / "images/c01.nii.gz").unlink()


def break_truncated(store: CaseStore) -> None:
    path = store.folder / "images/c01.nii.gz"
    path.write_bytes(path.read_bytes()[:200])


def break_zero_bytes(store: CaseStore) -> None:
    (store.folder / "labels/c01.nii.gz").write_bytes(b"")


def break_text(store: CaseStore) -> None:
    (store.folder / "images/c01.nii.gz").write_text("not an image")


def break_grid(store: CaseStore) -> None:
    label = np.zeros((1, 8, 10, 11), np.uint8)
    label[0, 2:4] = 1
    write_labelmap(store.folder / "labels/c01.nii.gz", Volume(label, Geometry.from_spacing((8, 10, 11))))


def break_empty(store: CaseStore) -> None:
    like = store.read_labels(store.case("c01"))
    write_labelmap(store.folder / "labels/c01.nii.gz", Volume(like.array * 0, like.geometry))


def break_value(store: CaseStore) -> None:
    like = store.read_labels(store.case("c01"))
    write_labelmap(store.folder / "labels/c01.nii.gz", Volume(like.array * 5, like.geometry))


def break_nan(store: CaseStore) -> None:
    image = store.read_image(store.case("c01"))
    image.array[0, 0, 0, 0] = np.nan
    write_volume(store.folder / "images/c01.nii.gz", image)


def break_duplicate(store: CaseStore) -> None:
    image = store.read_image(store.case("c00"))
    write_volume(store.folder / "images/c01.nii.gz", image)


def break_channels(store: CaseStore) -> None:
    image = store.read_image(store.case("c01"))
    write_volume(store.folder / "images/c01.nii.gz", Volume(np.repeat(image.array, 2, 0), image.geometry))


def break_flat(store: CaseStore) -> None:
    image = store.read_image(store.case("c01"))
    write_volume(store.folder / "images/c01.nii.gz", Volume(image.array * 0, image.geometry))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (break_missing, "does not exist"),
        (break_truncated, "truncated"),
        (break_zero_bytes, "c01.nii.gz"),
        (break_text, "not a NIfTI"),
        (break_grid, "8"),
        (break_empty, "no voxel of any structure"),
        (break_value, "does not declare"),
        (break_nan, "not finite"),
        (break_duplicate, "same as that of case c00"),
        (break_channels, "2 channels"),
        (break_flat, "same value everywhere"),
    ],
)
def test_a_broken_case_is_named_and_no_other(
    make_store: MakeStore, spoil: Callable[[CaseStore], None], sentence: str
) -> None:
    store = make_store(3)
    spoil(store)
    found = errors(store)
    assert [finding.case for finding in found] == ["c01"]
    assert sentence in found[0].message


def test_every_broken_case_is_reported(make_store: MakeStore) -> None:
    store = make_store(4)
    break_nan(store)
    (store.folder / "labels/c02.nii.gz").unlink()
    assert [finding.case for finding in errors(store)] == ["c01", "c02"]


def test_labels_outside_those_annotated_are_an_error(make_store: MakeStore) -> None:
    store = make_store(2)
    index = json.loads((store.folder / "dataset.json").read_text())
    index["training"][1]["annotated"] = {"labels": [2, 9], "region": "whole"}
    (store.folder / "dataset.json").write_text(json.dumps(index))
    messages = [finding.message for finding in errors(store)]
    assert any("[9] are not declared" in message for message in messages)
    assert any("[1], which are not among those annotated" in message for message in messages)


def test_a_file_changed_since_it_was_added_is_mentioned(make_store: MakeStore, scan: Maker) -> None:
    store = make_store(2)
    write_volume(store.folder / "images/c01.nii.gz", scan(9))
    assert errors(store) == []
    assert "images/c01.nii.gz has changed" in warnings(store)


def test_a_patient_on_both_sides_is_mentioned(make_store: MakeStore, scan: Maker, painted: Maker) -> None:
    store = make_store(2)
    for number, held_out in enumerate((True, False)):
        store.add_case(NewCase([scan(20 + number)], painted(), group="Mr X", held_out=held_out))
    assert "Mr X" in warnings(store)


def test_a_label_nobody_painted_is_mentioned(make_store: MakeStore) -> None:
    store = make_store(2)
    for case in store.cases:
        labels = store.read_labels(case)
        assert case.label
        write_labelmap(case.label, Volume(np.minimum(labels.array, 1), labels.geometry))
    assert "No case shows these labels: tail" in warnings(store)


def test_a_flat_image_file_is_no_volume(make_store: MakeStore, shared_data: Path) -> None:
    store = make_store(2)
    picture = next((shared_data / "dermoscopy" / "images").iterdir())
    target = store.folder / "images" / f"c01{picture.suffix}"
    shutil.copy(picture, target)
    index = json.loads((store.folder / "dataset.json").read_text())
    index["training"][1]["image"] = f"images/{target.name}"
    (store.folder / "dataset.json").write_text(json.dumps(index))
    assert [finding.case for finding in errors(store)] == ["c01"]


def test_checking_can_be_stopped(make_store: MakeStore) -> None:
    with pytest.raises(CancelledError):
        check_store(make_store(1), Reporter(cancelled=lambda: True))


def test_the_command_ends_with_2_when_a_case_is_broken(make_store: MakeStore) -> None:
    store = make_store(3)
    runner = CliRunner()
    good = runner.invoke(app, ["check", str(store.folder)])
    assert (good.exit_code, "All 3 cases can be used" in good.stdout) == (0, True)
    break_nan(store)
    break_duplicate_of_first(store)
    bad = runner.invoke(app, ["check", str(store.folder), "--json"])
    assert bad.exit_code == 2
    events = [json.loads(line) for line in bad.stdout.splitlines()]
    result = next(event for event in events if event["event"] == "result")
    assert result["broken"] == ["c01", "c02"]
    assert events[-1]["event"] == "error"
    assert "2 of 3 cases" in events[-1]["message"]


def break_duplicate_of_first(store: CaseStore) -> None:
    write_volume(store.folder / "images/c02.nii.gz", store.read_image(store.case("c00")))


def test_the_commands_build_a_store_from_files(tmp_path: Path, scan: Maker, painted: Maker) -> None:
    runner, store = CliRunner(), tmp_path / "new store"
    for seed in range(3):
        write_volume(tmp_path / f"s{seed}.nii.gz", scan(seed))
    write_labelmap(tmp_path / "label.nii.gz", painted())
    names = ["--names", "1=head", "--names", "2=tail"]
    first = [str(store), str(tmp_path / "s0.nii.gz"), "--label", str(tmp_path / "label.nii.gz"), *names]
    assert runner.invoke(app, ["add", *first]).exit_code == 2  # the channel of a new store needs a name
    assert runner.invoke(app, ["add", *first, "--channel", "T1=MRI", "--slices", "2-5"]).exit_code == 0
    second = [str(store), str(tmp_path / "s1.nii.gz"), "--label", str(tmp_path / "label.nii.gz")]
    assert runner.invoke(app, ["add", *second, "--id", "two", "--annotated", "1,2"]).exit_code == 0
    assert runner.invoke(app, ["add", str(store), str(tmp_path / "s2.nii.gz")]).exit_code == 0
    assert runner.invoke(app, ["add", str(store), str(tmp_path / "s2.nii.gz")]).exit_code == 2  # twice
    assert runner.invoke(app, ["split", str(store), "--case", "two"]).exit_code == 0
    opened = CaseStore.open(store)
    assert [(c.id, c.split, c.held_out) for c in opened.cases] == [
        ("s0", "training", False),
        ("two", "training", True),
        ("s2", "unlabelled", False),
    ]
    assert opened.case("s0").annotated.slices == (2, 3, 4, 5)
    assert opened.case("two").annotated.labels == (1, 2)
    assert opened.channels == [("T1", "MRI")]


def test_a_label_in_one_case_only_is_mentioned(make_store: MakeStore, scan: Maker, painted: Maker) -> None:
    store = make_store(1)
    head = Volume((painted().array == 1).astype(np.uint8), painted().geometry)
    store.add_case(NewCase([scan(5)], head))
    told = [finding.message for finding in check_store(store) if finding.severity == "warning"]
    assert any("Only one case shows these labels" in text and text.endswith("tail.") for text in told)


def test_a_linked_scan_that_vanished_is_no_broken_case(
    make_store: MakeStore, scan: Maker, tmp_path: Path
) -> None:
    store = make_store(2)
    write_volume(tmp_path / "u.nii.gz", scan(8))
    store.link([tmp_path / "u.nii.gz"])
    assert check_store(store) == []
    (tmp_path / "u.nii.gz").unlink()
    (found,) = check_store(store)
    assert (found.case, found.severity) == ("u", "warning")
    assert "data remove" in found.hint


def test_a_scan_of_another_kind_is_mentioned(make_store: MakeStore, scan: Maker, painted: Maker) -> None:
    store = make_store(2)
    store.add_case(NewCase([Volume(scan(9).array - 1000, scan(9).geometry)], painted(), case_id="ct"))
    (found,) = check_store(store)
    assert (found.case, found.severity) == ("ct", "warning")
    assert "looks like a CT" in found.message
