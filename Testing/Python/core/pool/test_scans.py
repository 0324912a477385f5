"""What a user relies on: every scan that may be learnt from is found, and none that is kept for scoring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.pool import ScanPool
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scans, pooled_scans
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_volume, write_volume
from medcontext.labels import LabelSet

from .conftest import Listener, noise


def ids(found: Scans) -> list[str]:
    return sorted(scan.id for scan in found.scans)


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    """Two cases to learn from, one held out, one to test with; each with a label."""
    store = CaseStore.create(tmp_path / "set" / "store", LabelSet.from_names({1: "head"}), [("T1", "MRI")])
    for seed, name in enumerate(("train0", "train1", "held", "test")):
        volume = Volume(noise(100 + seed), Geometry.from_spacing((8, 10, 12)))
        painted = Volume((volume.array > 500).astype(np.uint8), volume.geometry)
        store.add_case(NewCase([volume], painted, case_id=name, held_out=name == "held"))
    (store.folder / "splits.json").write_text(json.dumps({"test": ["test"]}))
    return CaseStore.open(store.folder)


def test_scans_in_folders_and_those_below_are_found_and_hidden_ones_are_not(
    folder: Path, scan: Callable[..., Path]
) -> None:
    scan(folder / "more" / "deep" / "a.nrrd", 10)
    scan(folder / "more" / "s0.mha", 11)
    scan(folder / ".hidden.nii.gz", 12)
    scan(folder / ".trash" / "b.nii.gz", 13)
    scan(folder / "a.nrrd", 14).rename(folder / "a.seg.nrrd")
    assert ids(pooled_scans([folder])) == ["a", "s0", "s0_2", "s1", "s2", "s3", "s4", "s5"]


def test_a_dicom_series_is_its_folder(folder: Path, shared_data: Path, recipe: Callable[..., Recipe]) -> None:
    shutil.copytree(shared_data / "dicom_oddities" / "mr_hippocrop_study1", folder / "p1" / "mr")
    found = pooled_scans([folder])
    series = [scan for scan in found.scans if scan.paths == (folder / "p1" / "mr",)]
    assert [scan.id for scan in series] == ["p1_mr"]
    assert ScanPool(series, recipe()).ready() == [0]


def test_labels_beside_the_images_are_never_scans(
    tmp_path: Path, scan: Callable[..., Path], heard: Listener
) -> None:
    reporter, said = heard
    for place in ("imagesTr", "labelsTr", "imagesTs", "masks"):
        scan(tmp_path / "set" / place / "a.nii.gz", len(place) + ord(place[0]))
    found = pooled_scans([tmp_path / "set"], reporter=reporter)
    assert [scan.paths for scan in found.scans] == [(tmp_path / "set" / "imagesTr" / "a.nii.gz",)]
    assert "3 folders hold labels or test images" in said[0][1]
    assert ids(pooled_scans([tmp_path / "set" / "imagesTs"])) == ["a"]  # asked for by its name


def test_of_a_store_neither_test_nor_held_out_cases_are_taken(store: CaseStore, heard: Listener) -> None:
    reporter, said = heard
    found = pooled_scans([store.folder], reporter=reporter)
    assert ids(found) == ["train0", "train1"]
    assert found.channels == (("T1", "MRI"),)
    assert (
        "info",
        "2 scans are test or held-out cases of a data set, or of their patients, and were left out.",
    ) in said


def test_a_store_in_a_folder_is_a_store_and_a_stores_folder_of_images_keeps_its_rules(
    store: CaseStore, folder: Path
) -> None:
    assert ids(pooled_scans([store.folder.parent])) == ["train0", "train1"]
    assert len(pooled_scans([store.folder.parent, folder]).scans) == 8
    images = store.case("train0").images[0].parent
    kept = [scan.paths[0] for scan in pooled_scans([images]).scans]
    assert kept == [store.case(name).images[0] for name in ("train0", "train1")]


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd"])
@pytest.mark.parametrize("place", ["store", "images"])
def test_copies_of_scored_images_are_left_out_wherever_they_lie(
    store: CaseStore, folder: Path, recipe: Callable[..., Recipe], place: str, ending: str
) -> None:
    for name in ("held", "test"):
        write_volume(folder / f"copy_{name}.{ending}", read_volume(store.case(name).images[0]))
    given = store.folder if place == "store" else store.case("test").images[0].parent
    found = pooled_scans([given, folder])
    pool = ScanPool(found.scans, recipe(), in_use=found.apart)
    assert len(pool.ready()) == len(pool) - 2
    assert pool.left_out == dict.fromkeys(
        ("copy_held", "copy_test"), "It is a copy of an image that is kept for scoring."
    )


def test_a_copy_with_turned_axes_is_a_copy(
    tmp_path: Path, folder: Path, recipe: Callable[..., Recipe]
) -> None:
    image = read_volume(folder / "s0.nii.gz")
    turned = tmp_path / "turned" / "x.nii.gz"
    turned.parent.mkdir()
    write_volume(turned, image.reorient("RAS"))
    found = pooled_scans([folder, turned.parent], exclude=["s0"])
    pool = ScanPool(found.scans, recipe(), in_use=found.apart)
    pool.ready()
    assert list(pool.left_out) == ["x"]


def test_excluded_scans_are_left_out_by_id_or_file_name(folder: Path) -> None:
    assert ids(pooled_scans([folder], exclude=["s1", "s4.nii.gz"])) == ["s0", "s2", "s3", "s5"]
    with pytest.raises(InputError, match="There is no scan 's9' to leave out"):
        pooled_scans([folder], exclude=["s9"])


def test_a_scan_counts_once_however_often_it_is_given(folder: Path, heard: Listener) -> None:
    reporter, said = heard
    (folder / "below").mkdir()
    shutil.copy(folder / "s3.nii.gz", folder / "below" / "again.nii.gz")
    (folder.parent / "link").symlink_to(folder)
    found = pooled_scans([folder, folder / "below", folder.parent / "link", folder.parent], reporter=reporter)
    assert len(found.scans) == 6
    assert len(said) == 1
    assert said[0][1].startswith("1 scans are copies of others and were left out")


def test_channels_are_grouped_where_the_data_set_has_several(
    tmp_path: Path, scan: Callable[..., Path]
) -> None:
    for seed, name in enumerate(("a_0000", "a_0001", "b_0000", "b_0001")):
        scan(tmp_path / "raw" / "imagesTr" / f"{name}.nii.gz", seed)
    (tmp_path / "raw" / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0}, "numTraining": 2})
    )
    found = pooled_scans([tmp_path / "raw"])
    assert [(scan.id, len(scan.paths)) for scan in found.scans] == [("a", 2), ("b", 2)]
    assert [name for name, _ in found.channels] == ["T1", "T2"]


def test_scans_of_different_channels_are_refused_and_both_are_named(
    folder: Path, scan: Callable[..., Path], recipe: Callable[..., Recipe]
) -> None:
    scan(folder / "t.nii.gz", np.concatenate([noise(20), noise(21)]))
    with pytest.raises(InputError) as caught:
        pooled_scans([folder])
    assert "s0.nii.gz has 1 channel and" in caught.value.message
    assert "t.nii.gz has 2 channels" in caught.value.message
    found = pooled_scans([folder], channels=1)  # a plan says how many there are: the others are left out
    pool = ScanPool(found.scans, recipe())
    assert len(pool.ready()) == 6
    assert list(pool.left_out) == ["t"]
    assert "2 channel(s), 1 are needed" in pool.left_out["t"]


def test_a_broken_header_does_not_keep_the_others_from_being_found(folder: Path) -> None:
    (folder / "broken.nii.gz").write_bytes(b"no image")
    assert len(pooled_scans([folder]).scans) == 7


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda _: None, "does not exist"),
        (lambda place: place.write_text("x"), "is not a folder"),
        (lambda place: place.mkdir(), "holds no image that can be read"),
        (lambda place: (place / "notes").mkdir(parents=True), "holds no image that can be read"),
        (lambda place: (place / "labelsTr").mkdir(parents=True), "holds no image that can be read"),
    ],
)
def test_a_place_without_images_is_refused_also_beside_others(
    folder: Path, tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    place = tmp_path / "empty"
    make(place)
    with pytest.raises(InputError, match=f"empty {sentence}"):
        pooled_scans([folder, place])


def test_a_store_of_test_cases_alone_is_refused(store: CaseStore) -> None:
    store.hold_out(["train0", "train1"])
    with pytest.raises(InputError, match=r"Every scan of .*store is kept for scoring or excluded"):
        pooled_scans([store.folder])
