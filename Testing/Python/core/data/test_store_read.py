"""A case store reads what the Decathlon, MONAI and this program write, and says what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.data.case import Annotation
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume

SHAPE = (6, 7, 8)
GRID = Geometry.from_spacing(SHAPE)


def write_index(folder: Path, **keys: Any) -> Path:
    data = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"}, "training": []} | keys
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(data))
    return folder


def write_case(folder: Path, label: np.ndarray | None = None, image: np.ndarray | None = None) -> None:
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE) if image is None else image
    write_volume(folder / "a.nii.gz", Volume(values, Geometry.from_spacing(values.shape[1:])))
    if label is not None:
        write_labelmap(folder / "a_label.nii.gz", Volume(label, GRID))


def box() -> np.ndarray:
    array = np.zeros((1, *SHAPE), np.uint8)
    array[0, 2:4, 2:5, 2:5] = 1
    return array


ENTRY = {"image": "./a.nii.gz", "label": "./a_label.nii.gz"}


def test_a_plain_decathlon_folder_opens_as_it_is(tmp_path: Path) -> None:
    write_index(
        tmp_path,
        reference="someone",
        training=[
            {"image": "./imagesTr/x_001.nii.gz", "label": "./labelsTr/x_001.nii.gz", "brainmask": "b.nii.gz"}
        ],
        test=["./imagesTs/x_007.nii.gz"],
    )
    store = CaseStore.open(tmp_path)
    training, test = store.cases
    assert (training.id, training.split, training.label) == (
        "x_001",
        "training",
        tmp_path / "labelsTr/x_001.nii.gz",
    )
    assert (test.id, test.split, test.label) == ("x_007", "test", None)
    assert store.channels == [("MRI", "MRI")]
    assert [(label.value, label.name) for label in store.labels] == [(1, "organ")]


def test_several_channel_files_are_named_after_the_label(tmp_path: Path) -> None:
    images = ["p1_flair.nii.gz", "p1_t1.nii.gz"]
    write_index(
        tmp_path,
        modality={"0": "FLAIR", "1": "T1c"},
        training=[{"image": images, "label": "labels/p1.nii.gz"}],
    )
    store = CaseStore.open(tmp_path)
    assert store.cases[0].id == "p1"
    assert store.cases[0].images == [tmp_path / name for name in images]
    assert store.channels == [("FLAIR", "FLAIR"), ("T1c", "T1c")]


def test_labels_given_name_first_as_nnunet_does(tmp_path: Path) -> None:
    write_index(tmp_path, labels={"background": 0, "liver": 1, "tumour": 2})
    assert [(label.value, label.name) for label in CaseStore.open(tmp_path).labels] == [
        (1, "liver"),
        (2, "tumour"),
    ]


def test_equal_file_names_in_different_folders_stay_apart(tmp_path: Path) -> None:
    write_index(tmp_path, training=[{"image": "p1/t1.nii.gz"}, {"image": "p2/t1.nii.gz"}])
    assert [case.id for case in CaseStore.open(tmp_path).cases] == ["p1_t1", "p2_t1"]


def test_splits_json_turns_training_entries_into_test_cases(tmp_path: Path) -> None:
    write_index(tmp_path, training=[{"image": f"{n}.nii.gz", "label": f"l/{n}.nii.gz"} for n in "abc"])
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["a", "c"], "test": ["b.nii.gz"], "seed": 7}))
    assert [case.split for case in CaseStore.open(tmp_path).cases] == ["training", "test", "training"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"training": [{"label": "a.nii.gz"}]}, "image"),
        ({"training": [{"image": []}]}, "without an image"),
        ({"training": [ENTRY, ENTRY]}, "more than once"),
        ({"training": [ENTRY | {"id": "../../x"}]}, "cannot be a file name"),
        ({"labels": {"one": "liver"}}, "whole numbers"),
        ({"labels": {"300": "liver"}}, "1..254"),
        ({"training": [ENTRY | {"annotated": {"region": "everything"}}]}, "region"),
        ({"training": [ENTRY | {"annotated": {"region": "slices"}}]}, "at least one slice"),
        ({"training": [ENTRY | {"annotated": {"region": "mask"}}]}, "mask file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, keys: dict[str, Any], sentence: str) -> None:
    write_index(tmp_path, **keys)
    with pytest.raises(InputError, match=sentence):
        CaseStore.open(tmp_path)


def test_a_folder_without_dataset_json_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no dataset\.json"):
        CaseStore.open(tmp_path)


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"training": [')
    with pytest.raises(InputError, match="not valid JSON"):
        CaseStore.open(tmp_path)


def test_voxels_outside_the_annotated_slices_are_ignored(tmp_path: Path) -> None:
    write_case(tmp_path, box())
    annotated = {"region": "slices", "axis": "j", "slices": [2, 4]}
    write_index(tmp_path, training=[ENTRY | {"annotated": annotated}])
    store = CaseStore.open(tmp_path)
    labels = store.read_labels(store.cases[0]).array[0]
    assert np.array_equal(labels[:, [2, 4]], box()[0][:, [2, 4]])
    assert (np.delete(labels, [2, 4], axis=1) == 255).all()


def test_voxels_outside_the_annotated_mask_are_ignored(tmp_path: Path) -> None:
    write_case(tmp_path, box())
    mask = np.zeros((1, *SHAPE), np.uint8)
    mask[0, :3] = 1
    write_labelmap(tmp_path / "m.nii.gz", Volume(mask, GRID))
    write_index(
        tmp_path, training=[ENTRY | {"annotated": {"region": "mask", "mask": "m.nii.gz", "labels": [1]}}]
    )
    store = CaseStore.open(tmp_path)
    assert store.cases[0].annotated == Annotation((1,), "mask", mask=tmp_path / "m.nii.gz")
    labels = store.read_labels(store.cases[0]).array
    assert np.array_equal(labels, np.where(mask == 1, box(), 255))


def test_an_annotated_slice_beyond_the_image_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path, box())
    write_index(tmp_path, training=[ENTRY | {"annotated": {"region": "slices", "slices": [6]}}])
    store = CaseStore.open(tmp_path)
    with pytest.raises(InputError, match="6 slices"):
        store.read_labels(store.cases[0])


def test_a_label_value_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path, box() * 3)
    store = CaseStore.open(write_index(tmp_path, training=[ENTRY]))
    with pytest.raises(InputError, match=r"values 3, .*1 organ"):
        store.read_labels(store.cases[0])


def test_a_label_on_another_grid_is_refused_when_compared(tmp_path: Path) -> None:
    write_case(tmp_path, box(), np.zeros((1, 6, 7, 9), np.float32))
    store = CaseStore.open(write_index(tmp_path, training=[ENTRY]))
    with pytest.raises(InputError):
        store.read_labels(store.cases[0], like=store.read_image(store.cases[0]).geometry)


def test_images_with_nan_or_too_many_channels_are_refused(tmp_path: Path) -> None:
    values = np.zeros((1, *SHAPE), np.float32)
    values[0, 1, 1, :3] = [np.nan, np.inf, -np.inf]
    write_case(tmp_path, image=values)
    store = CaseStore.open(
        write_index(tmp_path, training=[ENTRY, {"id": "b", "image": ["a.nii.gz", "a.nii.gz"]}])
    )
    with pytest.raises(InputError, match="3 voxels that are not finite"):
        store.read_image(store.cases[0])
    write_case(tmp_path)
    with pytest.raises(InputError, match="2 channels"):
        store.read_image(store.cases[1])


def test_the_shared_hippocampus_set_opens(shared_data: Path) -> None:
    store = CaseStore.open(shared_data / "hippocampus")
    assert [sum(case.split == split for case in store.cases) for split in ("training", "test")] == [170, 50]
    assert [label.name for label in store.labels] == ["Anterior", "Posterior"]
    image, labels = store.read_image(store.cases[0]), store.read_labels(store.cases[0])
    assert image.geometry.same_grid(labels.geometry)
    assert set(np.unique(labels.array)) == {0, 1, 2}


def test_the_shared_two_channel_tumours_open(shared_data: Path) -> None:
    store = CaseStore.open(shared_data / "brain_tumour_brats2013")
    image = store.read_image(store.case("pat0005_1"))
    assert image.array.shape == (2, 155, 240, 240)
    assert store.case("pat0004_1").split == "test"
