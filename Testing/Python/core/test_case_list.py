"""The quick list of a case store says what the strict reader says, and what is wrong where that one refuses."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.case_list import CaseSummary, StoreSummary, is_store, read_store
from medcontext.data.adding import NewCase
from medcontext.data.cache import files_hash
from medcontext.data.case import Annotation, Case
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.labels import Code, Label, LabelSet, Terminology

GRID = Geometry.from_spacing((4, 5, 6))
ORGAN = Label(3, "organ", (1, 2, 3), Terminology(Code("SCT", "1", "a"), Code("SCT", "2", "b")))


def scan(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).integers(0, 999, (1, *GRID.shape)).astype(np.int16), GRID)


def painted(value: int = 3) -> Volume:
    array = np.zeros((1, *GRID.shape), np.uint8)
    array[0, 1:3, 1:3, 1:3] = value
    return Volume(array, GRID)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a case of every kind but a linked one."""
    folder = tmp_path_factory.mktemp("template") / "store"
    made = CaseStore.create(folder, LabelSet((ORGAN,)), [("T1", "MRI")], name="Toy")
    slices = Annotation((3,), "slices", (1, 2), "j")
    made.add_case(NewCase([scan(0)], painted(), case_id="whole", group="g", text="words"))
    made.add_case(NewCase([scan(1)], painted(), annotated=slices, case_id="slices"))
    made.add_case(NewCase([scan(2)], painted(), mask=painted(1), case_id="mask", held_out=True))
    made.add_case(NewCase([scan(3)], case_id="bare"))
    made.add_case(NewCase([scan(4)], painted(), case_id="tested", split="test"))
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> CaseStore:
    """A store with a case of every kind."""
    shutil.copytree(template, tmp_path / "store")
    write_volume(tmp_path / "elsewhere.nii.gz", scan(5))
    made = CaseStore.open(tmp_path / "store")
    made.link([tmp_path / "elsewhere.nii.gz"])
    return made


def kind_of(case: Case) -> str:
    if case.split == "test":
        return "test"
    if case.held_out:
        return "held_out"
    return "unlabelled" if case.label is None else "annotated"


def assert_agree(summary: StoreSummary, store: CaseStore) -> None:
    assert summary.problem is None
    assert list(summary.channels) == store.channels
    assert summary.labels == store.labels
    assert len(summary.cases) == len(store.cases)
    for quick, strict in zip(summary.cases, store.cases, strict=True):
        assert quick.id == strict.id
        assert quick.kind == kind_of(strict)
        assert list(quick.images) == strict.images
        assert (quick.label, quick.mask) == (strict.label, strict.annotated.mask)
        annotated = strict.annotated
        assert (quick.labels, quick.region) == (annotated.labels, annotated.region)
        assert (quick.axis, quick.slices) == (annotated.axis, annotated.slices)
        assert (quick.group, quick.text, quick.voxels) == (strict.group, strict.text, strict.voxels)
        assert quick.provenance == strict.provenance


def by_id(summary: StoreSummary) -> dict[str, CaseSummary]:
    return {case.id: case for case in summary.cases}


def test_it_says_what_the_strict_reader_says(store: CaseStore) -> None:
    summary = read_store(store.folder)
    assert_agree(summary, CaseStore.open(store.folder))
    assert (summary.name, summary.folder, summary.writable) == ("Toy", store.folder, True)
    assert [case.kind for case in summary.cases] == [
        "annotated", "annotated", "held_out", "test", "unlabelled", "unlabelled"
    ]  # fmt: skip
    assert [case.id for case in summary.cases if case.linked] == ["elsewhere"]


def test_hashes_are_those_that_model_cards_list(store: CaseStore) -> None:
    cases = by_id(read_store(store.folder))
    for case in store.cases:
        if case.id != "elsewhere":
            assert cases[case.id].content_hash == files_hash(case.images)
    assert cases["elsewhere"].content_hash == ""  # nobody read it


@pytest.mark.parametrize(
    "keys",
    [
        {"training": [{"image": "./a_0000.nii.gz", "label": "./l.nii.gz"}], "test": ["./b.nii.gz"]},
        {
            "training": [{"image": ["x/1.nii", "x/2.nii"], "label": "l/p.nii"}],
            "modality": {"0": "A", "1": "B"},
        },
        {"training": [{"image": "p1/t1.nii.gz"}, {"image": "p2\\t1.nii.gz"}, "p3/t1.nii.gz"]},
        {"labels": {"background": 0, "liver": 1, "tumour": 2}, "channel_names": {"0": "CT"}},
        {"labels": ["background", "liver"], "channels": [{"name": "T1", "modality": "MRI"}]},
        {"training": [{"image": "a.nii", "id": "z", "held_out": "yes", "annotated": {"labels": ["1", 2.0]}}]},
        {"training": [{"image": "/far/away/a.nii", "hashes": {"/far/away/a.nii": "0" * 64}}]},
        {"training": [{"image": "a.nii", "label": "", "group": "", "annotated": {"labels": []}}]},
        {"training": [], "unlabelled": [{"image": "u.nii", "label": "l.nii"}], "schema_version": "1"},
        {
            "training": [{"image": f"{n}.nii", "label": f"l/{n}.nii"} for n in "abc"],
            "splits": {"test": ["b.nii"]},
        },
    ],
)
def test_both_readers_take_what_other_programs_write(tmp_path: Path, keys: dict[str, Any]) -> None:
    splits = keys.pop("splits", None)
    data = {"labels": {"0": "background", "1": "organ"}, "training": []} | keys
    (tmp_path / "dataset.json").write_text(json.dumps(data))
    if splits:
        (tmp_path / "splits.json").write_text(json.dumps(splits))
    assert_agree(read_store(tmp_path), CaseStore.open(tmp_path))


WRONG: list[tuple[list[Any], Any]] = [
    (["schema_version"], 99),
    (["schema_version"], "new"),
    (["name"], 5),
    (["labels"], 5),
    (["label_table"], [{"value": "x", "name": "y"}]),
    (["label_table"], [{"name": "y"}]),
    (["label_table"], [{"value": 300, "name": "y"}]),
    (["label_table"], [{"value": 1, "name": "y", "terminology": "z"}]),
    (["label_table"], [{"value": 1, "name": "y"}, {"value": 2, "name": "Y"}]),
    (["channels"], [{"name": 1}]),
    (["channels"], {"name": "T1"}),
    (["training"], {"image": "a"}),
    (["training"], None),
    (["training", 0], 7),
    (["training", 0, "image"], None),
    (["training", 0, "image"], []),
    (["training", 0, "image"], ["a.nii", ""]),
    (["training", 0, "image"], 3),
    (["training", 0, "id"], "a/b"),
    (["training", 0, "id"], ".."),
    (["training", 0, "id"], 4),
    (["training", 0, "id"], "slices"),
    (["training", 0, "label"], ["l.nii"]),
    (["training", 0, "group"], 12),
    (["training", 0, "text"], None),
    (["training", 0, "held_out"], "perhaps"),
    (["training", 0, "hashes"], {"a": 1}),
    (["training", 0, "voxels"], 1),
    (["training", 0, "provenance"], "here"),
    (["training", 0, "annotated"], None),
    (["training", 0, "annotated", "region"], "everything"),
    (["training", 0, "annotated", "region"], "mask"),
    (["training", 0, "annotated", "region"], "slices"),
    (["training", 1, "annotated", "axis"], "z"),
    (["training", 1, "annotated", "slices"], [-1]),
    (["training", 1, "annotated", "slices"], ["first"]),
    (["training", 1, "annotated", "slices"], 3),
    (["training", 1, "annotated", "labels"], "all"),
    (["training", 1, "annotated", "labels"], [1.5]),
    (["training", 1, "annotated", "mask"], 1),
    (["held_out_voxels"], "x"),
]


@pytest.mark.parametrize(("where", "value"), WRONG, ids=lambda part: json.dumps(part)[:40])
def test_a_hand_edited_store_is_a_problem_in_one_sentence_for_both(
    store: CaseStore, where: list[Any], value: Any
) -> None:
    path = store.folder / "dataset.json"
    data = json.loads(path.read_text())
    place = data
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = copy.deepcopy(value)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError):
        CaseStore.open(store.folder)
    summary = read_store(store.folder)
    assert summary.problem
    assert "\n" not in summary.problem
    assert summary.problem.endswith(".")
    # One bad entry does not hide the others.
    if where[0] == "training" and len(where) > 1:
        assert len(summary.cases) >= len(store.cases) - 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe\x00", b"[" * 20_000, b'{"training": [' + b"{" * 5],
    ids=["empty", "cut", "list", "null", "text", "bytes", "deep", "half"],
)
def test_a_broken_index_is_a_problem_and_never_an_exception(store: CaseStore, content: bytes) -> None:
    (store.folder / "dataset.json").write_bytes(content)
    summary = read_store(store.folder)
    assert summary.problem
    assert "dataset.json" in summary.problem
    assert summary.cases == ()
    assert is_store(store.folder)
    with pytest.raises(InputError):
        CaseStore.open(store.folder)


@pytest.mark.parametrize("content", [b"{", b'{"test": "a"}', b'{"fewshot": {"5": "a"}}', b"[]"])
def test_broken_splits_are_a_problem_too(store: CaseStore, content: bytes) -> None:
    (store.folder / "splits.json").write_bytes(content)
    summary = read_store(store.folder)
    assert summary.problem
    assert "splits.json" in summary.problem
    assert len(summary.cases) == len(store.cases)
    with pytest.raises(InputError):
        CaseStore.open(store.folder)


def test_a_newer_store_names_its_version(store: CaseStore) -> None:
    path = store.folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 7}))
    problem = read_store(store.folder).problem
    assert problem is not None
    assert "schema version 7" in problem


def test_a_vanished_drive_is_a_problem(store: CaseStore, tmp_path: Path) -> None:
    store.folder.rename(tmp_path / "gone")
    summary = read_store(store.folder)
    assert summary.problem is not None
    assert "not there" in summary.problem
    assert not summary.writable
    assert not is_store(store.folder)
    (tmp_path / "empty").mkdir()
    assert "no dataset.json" in (read_store(tmp_path / "empty").problem or "")


def test_what_the_system_refuses_to_read_is_a_problem(store: CaseStore) -> None:
    (store.folder / "dataset.json").unlink()
    (store.folder / "dataset.json").mkdir()
    assert "cannot be read" in (read_store(store.folder).problem or "")
    with pytest.raises(InputError):
        CaseStore.open(store.folder)


def test_missing_files_are_seen_when_somebody_asks(store: CaseStore, tmp_path: Path) -> None:
    cases = by_id(read_store(store.folder))
    assert not any(case.missing for case in cases.values())
    (tmp_path / "elsewhere.nii.gz").unlink()
    (store.folder / "masks/mask.nii.gz").unlink()
    assert {name for name, case in cases.items() if case.missing} == {"elsewhere", "mask"}


def test_a_thousand_cases_are_listed(tmp_path: Path) -> None:
    entries = [{"image": f"i/{n:04d}.nii.gz", "label": f"l/{n:04d}.nii.gz"} for n in range(1000)]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"1": "x"}, "training": entries}))
    assert len(read_store(tmp_path).cases) == 1000
