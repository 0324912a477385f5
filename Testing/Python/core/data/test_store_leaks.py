"""What is kept for scoring is never learnt from, and what was not looked at is never taken for absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.case_list import read_store
from medcontext.data.adding import NewCase
from medcontext.data.case import Annotation
from medcontext.data.index_file import CaseTakenError
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume
from medcontext.labels import LabelSet

Maker = Callable[..., Volume]
MakeStore = Callable[[int], CaseStore]
CYST = LabelSet.from_names({3: "cyst"})


def index_of(store: CaseStore) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((store.folder / "dataset.json").read_text(encoding="utf-8"))
    return data


def by_hand(folder: Path, images: dict[str, Volume], label: Volume, **more: Any) -> CaseStore:
    """A plain data set as another program writes it: no ids, no hashes; every image a training case."""
    folder.mkdir()
    write_labelmap(folder / "label.nii.gz", label)
    for name, image in images.items():
        write_volume(folder / f"{name}.nii.gz", image)
    entries = [{"image": f"{name}.nii.gz", "label": "label.nii.gz"} for name in images]
    index = {"labels": {"0": "background", "1": "head", "2": "tail"}, "modality": {"0": "MRI"}}
    (folder / "dataset.json").write_text(json.dumps(index | {"training": entries} | more))
    return CaseStore.open(folder)


# A structure that is declared later


def test_a_structure_declared_later_is_unknown_in_the_cases_that_were_there(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(1)
    store.add_case(NewCase([scan(5)], painted(), case_id="part", annotated=Annotation(labels=(1, 2))))
    store.add_case(NewCase([scan(6)], case_id="bare"))
    third = painted()
    third.array[0, 7] = 3
    store.add_case(NewCase([scan(9)], third, case_id="new"), labels=CYST)
    assert store.labels.values == (1, 2, 3)
    looked_at = {case.id: case.annotated.labels for case in CaseStore.open(store.folder).cases}
    assert looked_at == {"c00": (1, 2), "part": (1, 2), "new": None, "bare": None}
    assert {case.id: case.labels for case in read_store(store.folder).cases} == looked_at
    assert "annotated" not in index_of(store)["unlabelled"][0]


def test_it_is_unknown_in_a_data_set_of_another_program_too(
    tmp_path: Path, scan: Maker, painted: Maker
) -> None:
    region = {"region": "slices", "slices": [2, 3], "axis": "k"}
    test = [{"image": "t.nii.gz", "label": "label.nii.gz", "annotated": region}]
    store = by_hand(tmp_path / "plain", {"a": scan(0)}, painted(), test=test)
    write_volume(store.folder / "t.nii.gz", scan(1))
    store.add_case(NewCase([scan(9)], painted(), case_id="new"), labels=CYST)
    assert store.case("a").annotated == Annotation(labels=(1, 2))
    assert store.case("t").annotated == Annotation((1, 2), "slices", (2, 3), "k")
    assert store.case("new").annotated.labels is None


def test_naming_a_structure_that_is_known_changes_no_case(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(1)
    known = LabelSet.from_names({1: "head"})
    store.add_case(NewCase([scan(9)], painted(), case_id="new"), labels=known)
    assert [case.annotated.labels for case in store.cases] == [None, None]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"background": 0, "head": 1, "tail": 2}, {"background": 0, "head": 1, "tail": 2, "cyst": 3}),
        (
            {"0": "nothing", "1": "head", "2": "tail"},
            {"0": "background", "1": "head", "2": "tail", "3": "cyst"},
        ),
        (["background", "head", "tail"], {"0": "background", "1": "head", "2": "tail", "3": "cyst"}),
    ],
)
def test_labels_keep_the_form_that_the_file_had(
    tmp_path: Path, scan: Maker, painted: Maker, before: Any, after: Any
) -> None:
    store = by_hand(tmp_path / "plain", {"a": scan(0)}, painted(), labels=before)
    store.add_case(NewCase([scan(9)], painted()), labels=CYST)
    assert index_of(store)["labels"] == after
    assert [(label.value, label.name) for label in store.labels] == [(1, "head"), (2, "tail"), (3, "cyst")]


# An image that is there already


@pytest.mark.parametrize("kind", ["test", "held out", "trained on", "listed as test"])
def test_an_image_whose_voxels_were_never_recorded_is_recognised(
    tmp_path: Path, scan: Maker, painted: Maker, kind: str
) -> None:
    entry = {"image": "x.nii.gz", "label": "label.nii.gz", "held_out": kind == "held out"}
    lists = {"training": [], "test": [entry]} if kind == "test" else {"training": [entry]}
    store = by_hand(tmp_path / "plain", {"x": scan(0)}, painted(), **lists)
    if kind == "listed as test":
        (store.folder / "splits.json").write_text('{"test": ["x"]}')
    for attempt in ("first", "second"):  # the second knows what the first has found
        with pytest.raises(CaseTakenError) as error:
            store.add_case(NewCase([scan(0)], painted(), case_id=attempt))
        assert error.value.case_id == "x"
    store.add_case(NewCase([scan(1)], painted(), case_id="another"))
    assert {case.id for case in store.cases} == {"x", "another"}


def test_a_file_that_changes_is_looked_at_again(tmp_path: Path, scan: Maker, painted: Maker) -> None:
    store = by_hand(tmp_path / "plain", {"x": scan(0)}, painted())
    with pytest.raises(CaseTakenError):
        store.add_case(NewCase([scan(0)], painted()))
    write_volume(store.folder / "x.nii.gz", scan(1, (8, 10, 12)))
    store.add_case(NewCase([scan(0)], painted(), case_id="now"))
    with pytest.raises(CaseTakenError):
        store.add_case(NewCase([scan(1)], painted()))


@pytest.mark.parametrize("turned", ["LPI", "RAS", "PIR"])
@pytest.mark.parametrize("recorded", [True, False])
def test_an_image_stored_with_other_axes_is_the_same_image(
    tmp_path: Path, make_store: MakeStore, scan: Maker, painted: Maker, turned: str, recorded: bool
) -> None:
    store = make_store(1) if recorded else by_hand(tmp_path / "plain", {"c00": scan(0)}, painted())
    for _ in range(2):
        with pytest.raises(CaseTakenError) as error:
            store.add_case(NewCase([scan(0).reorient(turned)], painted().reorient(turned)))
        assert error.value.case_id == "c00"
    other = NewCase([scan(1).reorient(turned)], painted().reorient(turned), case_id="turned")
    store.add_case(other)
    with pytest.raises(CaseTakenError) as error:
        store.add_case(NewCase([scan(1)], painted()))
    assert error.value.case_id == "turned"


def test_a_test_image_in_one_file_with_all_channels_is_recognised_when_it_comes_flipped(
    tmp_path: Path, scan: Maker, painted: Maker
) -> None:
    both = Volume(np.concatenate([scan(0).array, scan(1).array]), scan(0).geometry)
    test = [{"image": "both.nii.gz", "label": "label.nii.gz"}]
    store = by_hand(
        tmp_path / "plain", {"both": both}, painted(), modality={"0": "T1", "1": "T2"}, training=[], test=test
    )
    flipped = [scan(seed).reorient("LPI") for seed in (0, 1)]
    with pytest.raises(CaseTakenError) as error:
        store.add_case(NewCase(flipped, painted().reorient("LPI")))
    assert error.value.case_id == "both"


def test_a_removed_held_out_image_stays_held_out_when_it_comes_back_flipped(
    make_store: MakeStore, scan: Maker, painted: Maker
) -> None:
    store = make_store(2)
    turned = NewCase([scan(7).reorient("RAS")], painted().reorient("RAS"), case_id="t", held_out=True)
    store.add_case(turned)
    store.hold_out(["c00"])
    store.remove(["c00", "t"])
    back = store.add_case(NewCase([scan(0).reorient("LPI")], painted().reorient("LPI"), case_id="back"))
    assert back.held_out
    assert store.add_case(NewCase([scan(7)], painted(), case_id="again")).held_out


def test_minus_zero_is_zero(empty_store: CaseStore, scan: Maker, painted: Maker) -> None:
    image = scan(0)
    image.array[0, 0] = 0
    kept = voxel_hash(image)
    image.array[0, 0] = -0.0
    assert voxel_hash(image) == kept
    image.array[0, 0, 0, 0] = 1
    assert voxel_hash(image) != kept
    empty_store.add_case(NewCase([image], painted(), case_id="z"))
    with pytest.raises(CaseTakenError):
        empty_store.add_case(NewCase([empty_store.read_image(empty_store.case("z"))], painted()))


def test_a_recorded_hash_is_that_of_the_voxels_as_they_are_stored() -> None:
    values = np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4)
    image = Volume(values, Geometry.from_spacing((2, 3, 4)))
    assert voxel_hash(image) == "bde8209b38833347ff947f4cfba4ba26bbb0308a20122bf612ef845ea8c7a8b5"
    assert voxel_hash(Volume(values.astype(np.float64), image.geometry)) == voxel_hash(image)


# Cases of other programs, and where a scan came from


@pytest.mark.parametrize("name", ["scan 1", "s" * 130])
def test_a_case_with_an_id_of_another_program_is_replaced(
    tmp_path: Path, scan: Maker, painted: Maker, name: str
) -> None:
    store = by_hand(tmp_path / "plain", {name: scan(0)}, painted())
    case = store.add_case(NewCase([scan(0)], painted(), case_id=name), replacing=True)
    assert [other.id for other in CaseStore.open(store.folder).cases] == [name]
    assert all(path.is_file() for path in case.files)
    corrected = store.add_case(NewCase([scan(3)], painted(), case_id=name), replacing=True)
    assert np.array_equal(store.read_image(corrected).array, scan(3).array)


def test_a_new_id_must_still_be_a_file_name(empty_store: CaseStore, scan: Maker, painted: Maker) -> None:
    with pytest.raises(InputError, match="cannot be the id"):
        empty_store.add_case(NewCase([scan(0)], painted(), case_id="scan 1"))


def test_a_replaced_case_is_still_known_by_the_files_it_was_made_of(
    empty_store: CaseStore, scan: Maker, painted: Maker, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    write_volume(scans / "p1.nii.gz", scan(0))
    case = empty_store.add_case(NewCase([scans / "p1.nii.gz"], painted(), case_id="p1"))
    opened = {"files": [str(case.images[0]), "/elsewhere/p1.nrrd"], "by": "me"}
    case = empty_store.add_case(
        NewCase([scan(0)], painted(), case_id="p1", provenance=opened), replacing=True
    )
    assert case.provenance["files"] == [str(scans / "p1.nii.gz"), "/elsewhere/p1.nrrd"]
    assert case.provenance["by"] == "me"
    assert empty_store.link([scans]).added == ()
