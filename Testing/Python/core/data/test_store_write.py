"""Adding to a case store never loses a case, and what does not fit changes nothing."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medcontext.data import adding, index_file
from medcontext.data.adding import NewCase, compact
from medcontext.data.case import Annotation
from medcontext.data.store import CaseStore
from medcontext.errors import InputError, ResourceError
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume
from medcontext.labels import LabelSet

Maker = Callable[..., Volume]


def files_of(store: CaseStore) -> dict[str, bytes]:
    return {
        path.relative_to(store.folder).as_posix(): path.read_bytes()
        for path in store.folder.rglob("*")
        if path.is_file() and path.name != ".dataset.lock"
    }


def test_a_case_comes_back_as_it_was_given(empty_store: CaseStore, scan: Maker, painted: Maker) -> None:
    empty_store.add_case(
        NewCase([scan(0)], painted(), case_id="p1", group="patient 7", text="a report", held_out=True)
    )
    store = CaseStore.open(empty_store.folder)
    case = store.case("p1")
    assert (case.group, case.text, case.held_out, case.split) == ("patient 7", "a report", True, "training")
    image, labels = store.read_image(case), store.read_labels(case)
    assert np.array_equal(image.array, scan(0).array)
    assert image.geometry.same_grid(scan(0).geometry)
    assert np.array_equal(labels.array, painted().array)
    assert set(case.hashes) == {"images/p1.nii.gz", "labels/p1.nii.gz"}


def test_the_store_is_a_decathlon_folder_for_others(
    empty_store: CaseStore, scan: Maker, painted: Maker
) -> None:
    empty_store.add_case(NewCase([scan(0)], painted(), case_id="p1"))
    data = json.loads((empty_store.folder / "dataset.json").read_text())
    assert data["labels"] == {"0": "background", "1": "head", "2": "tail"}
    assert data["modality"] == {"0": "T1"}
    assert data["numTraining"] == 1
    entry = data["training"][0]
    assert (empty_store.folder / entry["image"]).is_file()
    assert (empty_store.folder / entry["label"]).is_file()


def test_partial_annotation_survives_the_round_trip(
    empty_store: CaseStore, scan: Maker, painted: Maker
) -> None:
    region = Annotation(labels=(1,), region="slices", slices=(2, 3), axis="k")
    empty_store.add_case(NewCase([scan(0)], painted(), annotated=region, case_id="slices"))
    mask = Volume((np.indices(painted().shape)[0][None] < 4).astype(np.uint8), painted().geometry)
    empty_store.add_case(NewCase([scan(1)], painted(), mask=mask, case_id="mask"))
    store = CaseStore.open(empty_store.folder)
    assert store.case("slices").annotated == region
    assert store.case("mask").annotated.region == "mask"
    labels = store.read_labels(store.case("mask")).array
    assert np.array_equal(labels, np.where(mask.array > 0, painted().array, 255))


def test_a_nifti_is_copied_byte_by_byte_and_other_formats_keep_their_values(
    empty_store: CaseStore, scan: Maker, tmp_path: Path
) -> None:
    write_volume(tmp_path / "same.nii.gz", scan(0))
    write_volume(tmp_path / "other.mha", scan(1))
    first = empty_store.add_case(NewCase([tmp_path / "same.nii.gz"]))
    second = empty_store.add_case(NewCase([tmp_path / "other.mha"]))
    assert (first.id, first.split) == ("same", "unlabelled")
    assert first.images[0].read_bytes() == (tmp_path / "same.nii.gz").read_bytes()
    assert np.array_equal(empty_store.read_image(second).array, scan(1).array)


def test_new_structures_are_declared_with_the_case(
    empty_store: CaseStore, scan: Maker, painted: Maker
) -> None:
    label = Volume(painted().array * 3, painted().geometry)
    more = LabelSet.from_names({3: "cyst", 6: "node"})
    empty_store.add_case(NewCase([scan(0)], label), labels=more)
    assert [x.name for x in CaseStore.open(empty_store.folder).labels] == ["head", "tail", "cyst", "node"]
    with pytest.raises(InputError, match="'head' in the data set, not 'foot'"):
        empty_store.add_case(NewCase([scan(1)], label), labels=LabelSet.from_names({1: "foot"}))


@pytest.mark.parametrize(
    "kind", ["grid", "value", "empty", "nan", "channels", "duplicate", "region", "id", "listed"]
)
def test_what_does_not_fit_is_refused_and_nothing_changes(
    empty_store: CaseStore, scan: Maker, painted: Maker, kind: str
) -> None:
    empty_store.add_case(NewCase([scan(0)], painted(), case_id="there"))
    good = NewCase([scan(1)], painted())
    broken = scan(1).array.copy()
    broken[0, 0, 0, 0] = np.nan
    moved = Volume(painted().array, painted().geometry.cropped((1, 0, 0), painted().shape))
    cases = {
        "grid": replace(good, label=moved),
        "value": replace(good, label=Volume(painted().array * 4, painted().geometry)),
        "empty": replace(good, label=Volume(painted().array * 0, painted().geometry)),
        "nan": replace(good, images=[Volume(broken, scan(1).geometry)]),
        "channels": replace(good, images=[scan(1), scan(2)]),
        "duplicate": replace(good, images=[scan(0)], case_id="copy"),
        "region": replace(good, annotated=Annotation(region="slices", slices=(40,))),
        "id": replace(good, case_id="../there"),
        "listed": replace(good, annotated=Annotation(labels=(1,))),
    }
    before = files_of(empty_store)
    with pytest.raises(InputError):
        empty_store.add_case(cases[kind])
    assert files_of(empty_store) == before
    empty_store.add_case(good)


def test_ids_are_unique_also_where_case_does_not_count(empty_store: CaseStore, scan: Maker) -> None:
    empty_store.add_case(NewCase([scan(0)], case_id="Case"))
    with pytest.raises(InputError, match="already holds"):
        empty_store.add_case(NewCase([scan(1)], case_id="case"))
    assert empty_store.add_case(NewCase([scan(1)])).id == "case-2"


def test_replacing_keeps_what_was_painted_before_and_what_is_known(
    empty_store: CaseStore, scan: Maker, painted: Maker
) -> None:
    first = empty_store.add_case(NewCase([scan(0)], painted(), case_id="p1", group="g", held_out=True))
    old = first.label.read_bytes() if first.label else b""
    corrected = painted()
    corrected.array[0, 2, 3, 3] = 0
    second = empty_store.add_case(NewCase(first.images, corrected, case_id="p1"), replacing=True)
    assert (second.group, second.held_out) == ("g", True)
    assert np.array_equal(empty_store.read_labels(second).array, corrected.array)
    assert len(empty_store.cases) == 1
    assert [path.read_bytes() for path in empty_store.folder.glob("replaced/*/labels/*")] == [old]


def test_an_unlabelled_scan_becomes_a_training_case_when_it_is_painted(
    empty_store: CaseStore, scan: Maker, painted: Maker
) -> None:
    case = empty_store.add_case(NewCase([scan(0)], case_id="p1"))
    again = empty_store.add_case(NewCase(case.images, painted(), case_id="p1"), replacing=True)
    assert again.trainable
    assert [c.id for c in empty_store.cases] == ["p1"]


def test_a_decathlon_folder_can_be_added_to_and_keeps_its_own_keys(
    tmp_path: Path, scan: Maker, painted: Maker
) -> None:
    data = {
        "reference": "someone",
        "labels": {"0": "background", "1": "head", "2": "tail"},
        "modality": {"0": "MRI"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "brainmask": "x"}],
        "test": ["./imagesTs/b.nii.gz"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(data))
    store = CaseStore.open(tmp_path)
    store.add_case(NewCase([scan(0)], painted(), case_id="c"))
    written = json.loads((tmp_path / "dataset.json").read_text())
    assert written["reference"] == "someone"
    assert written["training"][0] == data["training"][0]  # type: ignore[index]
    assert [case.id for case in store.cases] == ["a", "c", "b"]


def test_held_out_stays(make_store: Callable[[int], CaseStore]) -> None:
    store = make_store(3)
    store.hold_out(["c01"])
    assert [case.held_out for case in CaseStore.open(store.folder).cases] == [False, True, False]
    store.hold_out(["c02"])
    assert [case.held_out for case in CaseStore.open(store.folder).cases] == [False, True, True]
    with pytest.raises(InputError, match="no case 'c09'"):
        store.hold_out(["c09"])


WRITER = """
import sys
from pathlib import Path
import numpy as np
from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
folder, name = Path(sys.argv[1]), sys.argv[2]
store = CaseStore.open(folder)
geometry = Geometry.from_spacing((4, 4, 4))
print("ready", flush=True)
sys.stdin.readline()
for number in range(8):
    values = np.random.default_rng([number, ord(name)]).random((1, 4, 4, 4), np.float32)
    store.add_case(NewCase([Volume(values, geometry)], case_id=f"{name}{number:02d}"))
"""


def test_two_processes_that_write_at_once_lose_no_case(empty_store: CaseStore) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(empty_store.folder), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    store = CaseStore.open(empty_store.folder)
    assert sorted(case.id for case in store.cases) == sorted(f"{n}{i:02d}" for n in "ab" for i in range(8))
    assert all(path.is_file() for case in store.cases for path in case.images)


def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(
    make_store: Callable[[int], CaseStore], scan: Maker, painted: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(1)
    before = files_of(store)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(index_file.json, "dumps", full)
        with pytest.raises(ResourceError):
            store.add_case(NewCase([scan(7)], painted(), case_id="new"))
    listed = {"dataset.json", *(name for case in store.cases for name in case.hashes)}
    assert {name: data for name, data in files_of(store).items() if name in listed} == before
    assert [case.id for case in CaseStore.open(store.folder).cases] == ["c00"]
    store.add_case(NewCase([scan(7)], painted(), case_id="new"))


def test_a_stop_in_the_middle_leaves_no_temporary_files(
    make_store: Callable[[int], CaseStore], scan: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(1)
    before = files_of(store)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(adding, "insert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.add_case(NewCase([scan(7)]))
    assert files_of(store) == before


def test_a_label_file_that_was_stored_as_float_is_accepted(
    empty_store: CaseStore, scan: Maker, painted: Maker, tmp_path: Path
) -> None:
    write_volume(tmp_path / "label.nii.gz", Volume(painted().array.astype(np.float32), painted().geometry))
    case = empty_store.add_case(NewCase([scan(0)], tmp_path / "label.nii.gz"))
    assert np.array_equal(empty_store.read_labels(case).array, painted().array)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0, 255], "uint8"), ([-1000, 3000], "int16"), ([0, 40000], "uint16"), ([0, 0.5], "float32")],
)
def test_compact_storage_changes_no_value(values: list[float], kind: str) -> None:
    array = np.array(values, np.float32)
    assert compact(array).dtype == kind
    assert np.array_equal(compact(array), array)


def test_a_dataset_is_not_started_over(empty_store: CaseStore) -> None:
    with pytest.raises(InputError, match="already holds"):
        CaseStore.create(empty_store.folder, LabelSet(), [("T1", "MRI")])


def test_a_mask_on_another_grid_is_refused(
    empty_store: CaseStore, scan: Maker, painted: Maker, tmp_path: Path
) -> None:
    other = Volume(np.ones((1, 3, 3, 3), np.uint8), Geometry.from_spacing((3, 3, 3)))
    write_labelmap(tmp_path / "mask.nii.gz", other)
    with pytest.raises(InputError):
        empty_store.add_case(NewCase([scan(0)], painted(), mask=tmp_path / "mask.nii.gz"))
