"""Cases that are replaced, removed or linked: nothing a person made is lost and nothing is learnt that must not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.case import Annotation
from medcontext.data.index_file import CaseTakenError
from medcontext.data.splits import select
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_volume, write_volume
from medcontext.labels import LabelSet

Maker = Callable[..., Volume]
MakeStore = Callable[[int], CaseStore]
LABELS = LabelSet.from_names({1: "head"})


def index_of(store: CaseStore) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((store.folder / "dataset.json").read_text(encoding="utf-8"))
    return data


# Adding again and replacing


def test_an_image_that_is_there_names_its_case_before_anything_is_written(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(1)
    same = Volume(scan(0).array.astype(np.int16), scan(0).geometry)  # another type, the same values
    before = sorted(store.folder.rglob("*"))
    stages: list[Event] = []
    with pytest.raises(CaseTakenError) as error:
        store.add_case(NewCase([same], painted(), name="again"), reporter=Reporter(stages.append))
    assert error.value.case_id == "c00"
    assert "write case" not in {event.get("stage") for event in stages}
    assert sorted(store.folder.rglob("*")) == before


def test_a_corrected_label_leaves_the_image_where_it_is(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(2)
    image = store.case("c00").images[0]
    written = image.stat().st_mtime_ns
    corrected = painted()
    corrected.array[0, 2, 3, 3] = 0
    case = store.add_case(NewCase([scan(0)], corrected, case_id="c00"), replacing=True)
    assert (case.images, image.stat().st_mtime_ns) == ([image], written)
    assert np.array_equal(store.read_labels(case).array, corrected.array)
    assert [case.id for case in store.cases] == ["c00", "c01"]
    assert set(case.hashes) == {"images/c00.nii.gz", "labels/c00~2.nii.gz"}
    old = list(store.folder.glob("replaced/*/labels/c00.nii.gz"))
    assert len(old) == 1
    assert np.array_equal(read_volume(old[0]).array, painted().array)


def test_a_corrected_image_keeps_the_old_one(make_store: MakeStore, scan: Maker, painted: Maker) -> None:
    store = make_store(1)
    moved = Volume(scan(0).array, Geometry.from_spacing(scan(0).shape, (3.0, 1.0, 1.0)))
    label = Volume(painted().array, moved.geometry)
    case = store.add_case(NewCase([moved], label, case_id="c00"), replacing=True)
    assert store.read_image(case).spacing == (3.0, 1.0, 1.0)  # same values, another place
    for seed in (7, 8):
        case = store.add_case(NewCase([scan(seed)], painted(), case_id="c00"), replacing=True)
    assert np.array_equal(store.read_image(case).array, scan(8).array)
    kept = [read_volume(path).array for path in store.folder.glob("replaced/*/images/*")]
    assert len(kept) == 3
    assert any(np.array_equal(array, scan(7).array) for array in kept)


def test_replacing_by_the_image_of_another_case_is_refused(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(2)
    with pytest.raises(CaseTakenError, match="c01"):
        store.add_case(NewCase([scan(1)], painted(), case_id="c00"), replacing=True)


def test_what_was_kept_for_scoring_stays_so_whatever_happens(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(3)
    store.add_case(NewCase([scan(9)], painted(), case_id="exam", split="test"))
    store.hold_out(["c00"])
    store.add_case(NewCase([scan(5)], painted(), case_id="c00", held_out=False), replacing=True)
    store.add_case(NewCase([scan(6)], painted(), case_id="exam"), replacing=True)
    assert (store.case("c00").held_out, store.case("exam").split) == (True, "test")
    store.remove(["c00", "exam"])
    back = store.add_case(NewCase([scan(5)], painted(), name="innocent"))
    again = store.add_case(NewCase([scan(6)], painted()))
    assert back.held_out
    assert again.held_out
    assert {case.id for case in select(store).train} == {"c01", "c02"}


def test_partial_annotation_from_memory_comes_back(
    empty_store: CaseStore, scan: Maker, painted: Maker
) -> None:
    looked = np.zeros(painted().array.shape, np.uint8)
    looked[0, :, 2:9, 2:9] = 1
    mask = Volume(looked, painted().geometry)
    case = empty_store.add_case(NewCase([scan(0)], painted(), mask=mask, annotated=Annotation((1, 2))))
    assert (case.annotated.region, case.annotated.labels) == ("mask", (1, 2))
    assert np.array_equal(
        empty_store.read_labels(case).array, np.where(looked > 0, painted().array, 255).astype(np.uint8)
    )
    region = Annotation((1,), "slices", (4, 5), "j")
    case = empty_store.add_case(
        NewCase(
            [scan(1)], Volume((painted().array == 1).astype(np.uint8), painted().geometry), annotated=region
        )
    )
    values = empty_store.read_labels(case).array[0]
    assert (values[:, 6] == 255).all()
    assert np.array_equal(values[:, 4:6] == 1, painted().array[0, :, 4:6] == 1)


@pytest.mark.parametrize("kind", ["slice too far", "nothing inside", "other grid", "flat", "empty mask"])
def test_what_does_not_fit_in_memory_is_refused_too(
    empty_store: CaseStore, scan: Maker, painted: Maker, kind: str
) -> None:
    flat = Geometry.from_spacing((1, 10, 12))
    zero = Volume(painted().array * 0, painted().geometry)
    wrong = {
        "slice too far": NewCase([scan(0)], painted(), annotated=Annotation(None, "slices", (8,))),
        "nothing inside": NewCase([scan(0)], painted(), annotated=Annotation(None, "slices", (0, 1))),
        "other grid": NewCase([scan(0)], Volume(painted().array, flat.resampled(painted().shape))),
        "flat": NewCase([Volume(scan(0).array[:, :1], flat)]),
        "empty mask": NewCase([scan(0)], painted(), mask=zero),
    }
    before = sorted(empty_store.folder.rglob("*"))
    with pytest.raises(InputError):
        empty_store.add_case(wrong[kind])
    assert sorted(empty_store.folder.rglob("*")) == before


def test_stopping_in_the_middle_of_a_large_image_changes_nothing(empty_store: CaseStore, scan: Maker) -> None:
    large = scan(3, (40, 200, 200))
    events: list[Event] = []
    stop = Reporter(events.append, lambda: any(event.get("stage") == "write case" for event in events))
    before = sorted(empty_store.folder.rglob("*"))
    with pytest.raises(CancelledError):
        empty_store.add_case(NewCase([large]), reporter=stop)
    assert sorted(empty_store.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("modality", "low", "given", "told"),
    [
        ("CT", 0, "", "does not look like a CT"),
        ("CT", -1000, "", ""),
        ("MRI", -1000, "", "looks like a CT"),
        ("MRI", 0, "CT", "It is a CT image; the data set holds MRI"),
        ("MRI", 0, "MR", ""),
        ("Heidelberg", -1000, "CT", ""),
    ],
)
def test_another_kind_of_image_is_told(
    tmp_path: Path, scan: Maker, modality: str, low: int, given: str, told: str
) -> None:
    store = CaseStore.create(tmp_path / "s", LABELS, [("Image", modality)])
    events: list[Event] = []
    image = Volume(scan(0).array + low, scan(0).geometry)
    store.add_case(NewCase([image], provenance={"modality": given}), reporter=Reporter(events.append))
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert len(warnings) == bool(told)
    assert all(told in text for text in warnings)


# Removing


def test_removed_files_are_kept_with_what_was_known_of_them(make_store: MakeStore) -> None:
    store = make_store(3)
    entry = index_of(store)["training"][1]
    files = {path.name: path.read_bytes() for path in store.case("c01").files}
    kept = store.remove(["c01", "c01"])
    assert [case.id for case in CaseStore.open(store.folder).cases] == ["c00", "c02"]
    assert index_of(store)["numTraining"] == 2
    assert kept.is_relative_to(store.folder)
    assert {path.name: path.read_bytes() for path in kept.rglob("*.nii.gz")} == files
    assert json.loads((kept / "cases.json").read_text()) == [entry]
    assert not any(
        path.exists() for path in (store.folder / "images/c01.nii.gz", store.folder / "labels/c01.nii.gz")
    )


def test_an_unknown_case_removes_nothing(make_store: MakeStore) -> None:
    store = make_store(2)
    with pytest.raises(InputError, match="no case 'c09'"):
        store.remove(["c00", "c09"])
    assert len(CaseStore.open(store.folder).cases) == 2
    assert not (store.folder / "removed").exists()


def test_cases_removed_in_the_same_second_do_not_overwrite_each_other(make_store: MakeStore) -> None:
    store = make_store(3)
    folders = {store.remove([name]) for name in ("c00", "c01", "c02")}
    assert len(folders) == 3
    assert len(list(store.folder.glob("removed/*/labels/*"))) == 3


# Linking


@pytest.fixture
def scans(tmp_path: Path, scan: Maker) -> Path:
    """A folder of images and other things."""
    folder = tmp_path / "my scans"
    for seed, name in enumerate(("b.nii.gz", "a.mha", "sub/c.nrrd")):
        write_volume(folder / name, scan(100 + seed))
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_linked_scans_stay_where_they_are_and_are_not_read(empty_store: CaseStore, scans: Path) -> None:
    before = sorted(empty_store.folder.rglob("*"))
    linked = empty_store.link([scans, scans / "sub"])
    assert (linked.added, linked.skipped) == (("a", "b", "c"), ())
    assert [case.images for case in empty_store.cases] == [
        [scans / "a.mha"], [scans / "b.nii.gz"], [scans / "sub/c.nrrd"]
    ]  # fmt: skip
    assert [path for path in sorted(empty_store.folder.rglob("*")) if path not in before] == []
    assert all(case.label is None and case.split == "unlabelled" for case in empty_store.cases)


def test_a_scan_is_linked_once_however_its_path_is_spelled(
    empty_store: CaseStore, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert empty_store.link([scans / "a.mha"]).added == ("a",)
    monkeypatch.chdir(scans)
    linked = empty_store.link([Path("a.mha"), scans / "sub" / ".." / "a.mha", Path("b.nii.gz"), scans])
    assert linked.added == ("b",)
    assert [path.name for path, _ in linked.skipped] == ["a.mha", "a.mha", "a.mha", "b.nii.gz"]
    assert all("in the data set already, as case" in reason for _, reason in linked.skipped)


def test_a_scan_that_was_copied_is_known_by_its_file(
    empty_store: CaseStore, scans: Path, painted: Maker
) -> None:
    empty_store.add_case(NewCase([scans / "b.nii.gz"], painted()))
    assert empty_store.link([scans]).added == ("a",)
    with pytest.raises(CaseTakenError, match="'a'"):
        empty_store.add_case(NewCase([scans / "a.mha"], painted()))
    case = empty_store.add_case(NewCase([scans / "a.mha"], painted(), case_id="a"), replacing=True)
    assert case.trainable
    assert case.images[0].is_relative_to(empty_store.folder)
    assert (scans / "a.mha").is_file()
    assert [other.id for other in empty_store.cases] == ["b", "a"]


def test_a_scan_from_memory_that_names_its_file_is_known_too(
    empty_store: CaseStore, scans: Path, painted: Maker
) -> None:
    empty_store.link([scans])
    image = read_volume(scans / "b.nii.gz")
    with pytest.raises(CaseTakenError, match="'b'"):
        empty_store.add_case(NewCase([image], painted(), provenance={"files": [str(scans / "b.nii.gz")]}))


def test_a_scan_inside_the_store_is_listed_by_its_place_there(empty_store: CaseStore, scan: Maker) -> None:
    write_volume(empty_store.folder / "extra" / "x.nii.gz", scan(0))
    empty_store.link([empty_store.folder / "extra"])
    assert index_of(empty_store)["unlabelled"][0]["image"] == "extra/x.nii.gz"


def test_names_are_made_unique(empty_store: CaseStore, scan: Maker, tmp_path: Path) -> None:
    empty_store.add_case(NewCase([scan(0)], case_id="T1"))
    for patient in ("p1", "p2"):
        write_volume(tmp_path / "scans" / patient / "t1.nii.gz", scan(ord(patient[1])))
    assert empty_store.link([tmp_path / "scans"]).added == ("t1-2", "t1_2")
    assert len({case.id for case in CaseStore.open(empty_store.folder).cases}) == 3


def test_what_cannot_be_used_is_left_out_with_a_reason(
    empty_store: CaseStore, scans: Path, scan: Maker, tmp_path: Path
) -> None:
    (scans / "cut.nii.gz").write_bytes((scans / "b.nii.gz").read_bytes()[:30])
    (scans / "empty.mha").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    double = np.concatenate([scan(1).array, scan(2).array])
    write_volume(scans / "two.nii.gz", Volume(double, scan(1).geometry))
    paths = [scans, scans / "notes.txt", tmp_path / "gone.nii.gz", tmp_path / "nothing"]
    linked = empty_store.link(paths)
    assert linked.added == ("a", "b")
    reasons = {path.name: reason for path, reason in linked.skipped}
    assert "truncated or damaged" in reasons["cut.nii.gz"]
    assert "empty" in reasons["empty.mha"]
    assert "2 channel(s); the data set has 1: T1" in reasons["two.nii.gz"]
    assert "not an image" in reasons["notes.txt"]
    assert "does not exist" in reasons["gone.nii.gz"]
    assert "holds no image" in reasons["nothing"]


def test_channels_in_files_of_their_own_belong_together(tmp_path: Path, scan: Maker) -> None:
    store = CaseStore.create(tmp_path / "s", LABELS, [("T1", "MRI"), ("T2", "MRI")])
    for name in ("p_0000", "p_0001", "q_0000"):
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", scan(len(name)))
    linked = store.link([tmp_path / "scans"])
    assert linked.added == ("p",)
    assert [path.name for path in store.case("p").images] == ["p_0000.nii.gz", "p_0001.nii.gz"]
    assert "1 channel(s); the data set has 2" in linked.skipped[0][1]


def test_dicom_series_are_linked_as_folders_and_of_the_right_kind_only(
    shared_data: Path, tmp_path: Path
) -> None:
    oddities = shared_data / "dicom_oddities"
    store = CaseStore.create(tmp_path / "s", LABELS, [("T1", "MRI")])
    linked = store.link([oddities / "mr_hippocrop_study1", oddities / "ct_head_ge_gantry_tilt"])
    assert [store.case(name).images for name in linked.added] == [[oddities / "mr_hippocrop_study1"]]
    assert "It is a CT image; the data set holds MRI." in [reason for _, reason in linked.skipped]
    assert store.read_image(store.case(linked.added[0])).channels == 1


def test_linking_can_be_stopped_and_then_adds_nothing(empty_store: CaseStore, scans: Path) -> None:
    with pytest.raises(CancelledError):
        empty_store.link([scans], Reporter(cancelled=lambda: True))
    assert CaseStore.open(empty_store.folder).cases == []


def test_a_linked_scan_is_removed_from_the_list_only(empty_store: CaseStore, scans: Path) -> None:
    empty_store.link([scans])
    kept = empty_store.remove(["a"])
    assert (scans / "a.mha").is_file()
    assert json.loads((kept / "cases.json").read_text())[0]["image"] == str(scans / "a.mha")
    assert empty_store.link([scans]).added == ("a",)
