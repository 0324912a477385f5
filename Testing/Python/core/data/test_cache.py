"""What a user relies on: preparing is done once, again where anything changed, and damage is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medcontext.data.adding import NewCase
from medcontext.data.cache import files_hash, prepare_cases
from medcontext.data.case import Annotation, Case
from medcontext.data.preprocess import PreparedCase
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume
from medcontext.intensity import normalise
from medcontext.io import write_labelmap, write_volume
from medcontext.labels import IGNORE
from medcontext.plan import Channel, Fingerprint, Intensity, NetworkSpec, Plan

Maker = Callable[..., Volume]
SPACING = (2.0, 1.0, 1.0)


def a_plan(**changes: object) -> Plan:
    """Works on the grid of the scans as they are."""
    plan = Plan(
        channels=[Channel(name="T1", modality="MRI")],
        labels=[{"value": 1, "name": "head"}, {"value": 2, "name": "tail"}],
        spacing=SPACING,
        patch_size=(8, 8, 8),
        batch_size=2,
        steps=10,
        network=NetworkSpec(name="dynunet"),
        fingerprint=Fingerprint(
            cases=1,
            median_shape=(8, 10, 12),
            median_spacing=SPACING,
            spacing_range=(SPACING, SPACING),
            field_of_view_range=((16.0, 10.0, 12.0), (16.0, 10.0, 12.0)),
            anisotropy=2.0,
        ),
    )
    return plan.model_copy(update=changes)


def prepare(
    store: CaseStore, root: Path, *, plan: Plan | None = None, labelled: bool = True, **changes: object
) -> PreparedCase:
    """The first case of a store, changed as asked, prepared."""
    case = replace(store.cases[0], **changes)  # type: ignore[arg-type]
    options = {"labelled": labelled, "reporter": Reporter(), "root": root}
    return prepare_cases(store, [case], plan or a_plan(), **options)[0]  # type: ignore[arg-type]


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond ``size`` bytes, as a full disk does."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on file size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def store(make_store: Callable[[int], CaseStore]) -> CaseStore:
    return make_store(1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the cases whose image was read from its file."""
    found: list[str] = []
    plain = CaseStore.read_image

    def read_image(store: CaseStore, case: Case) -> Volume:
        found.append(case.id)
        return plain(store, case)

    monkeypatch.setattr(CaseStore, "read_image", read_image)
    return found


def test_a_case_is_prepared_as_the_plan_says(store: CaseStore, root: Path) -> None:
    case = prepare(store, root)
    wanted = normalise(store.read_image(store.cases[0]).array, a_plan().channels)
    assert case.id == "c00"
    assert case.image.dtype == np.float16
    assert np.allclose(case.image, wanted, atol=2e-3)
    assert case.labels is not None
    assert np.array_equal(case.labels, store.read_labels(store.cases[0]).array[0])
    assert case.known.tolist() == [True, True, True]
    for value, indices in enumerate(case.locations):
        assert np.array_equal(
            np.sort(np.ravel_multi_index(indices.T, case.labels.shape)), np.flatnonzero(case.labels == value)
        )


def test_classes_are_counted_in_the_order_of_the_plan(store: CaseStore, root: Path) -> None:
    turned = [{"value": 2, "name": "tail"}, {"value": 1, "name": "head"}]
    plain, other = prepare(store, root), prepare(store, root, plan=a_plan(labels=turned))
    assert plain.labels is not None
    assert other.labels is not None
    assert np.array_equal(other.labels, np.array([0, 2, 1])[plain.labels])


def test_large_arrays_stay_on_disk_until_they_are_used(store: CaseStore, root: Path) -> None:
    for _ in range(2):
        case = prepare(store, root)
        assert isinstance(case.image, np.memmap)
        assert isinstance(case.labels, np.memmap)


def test_a_second_run_reads_the_cache_alone(
    make_store: Callable[[int], CaseStore], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = make_store(2), a_plan()
    first = prepare_cases(store, store.cases, plan, labelled=True, reporter=Reporter(), root=root)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a file of the data set was read again")

    monkeypatch.setattr(CaseStore, "read_image", fail)
    monkeypatch.setattr(CaseStore, "read_labels", fail)
    again = prepare_cases(store, store.cases, plan, labelled=True, reporter=Reporter(), root=root)
    for old, new in zip(first, again, strict=True):
        assert (old.id, old.content_hash) == (new.id, new.content_hash)
        assert np.array_equal(old.image, new.image)
        assert old.labels is not None
        assert new.labels is not None
        assert np.array_equal(old.labels, new.labels)
        assert np.array_equal(old.known, new.known)
        assert all(np.array_equal(a, b) for a, b in zip(old.locations, new.locations, strict=True))
    assert first[0].content_hash != first[1].content_hash


def test_the_cache_lies_in_the_folder_of_the_user(store: CaseStore, own_home: Path) -> None:
    prepare_cases(store, store.cases, a_plan(), labelled=True, reporter=Reporter())
    assert list(own_home.glob("cache/*/*/image.npy"))


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": (2.0, 2.0, 2.0)},
        {"orientation": "RAS"},
        {"channels": [Channel(name="T1", modality="MRI", intensity=Intensity(kind="rescale"))]},
        {"labels": [{"value": 1, "name": "head"}]},
    ],
    ids=["spacing", "orientation", "normalisation", "labels"],
)
def test_another_way_of_preparing_is_not_taken_from_the_cache(
    store: CaseStore, root: Path, reads: list[str], changes: dict[str, object]
) -> None:
    plain, other = prepare(store, root), prepare(store, root, plan=a_plan(**changes))
    assert len(reads) == 2
    arrays = [(plain.image, other.image), (plain.labels, other.labels)]
    assert not all(np.array_equal(a, b) for a, b in arrays if a is not None and b is not None)


def test_what_preparing_does_not_depend_on_does_not_make_it_anew(
    store: CaseStore, root: Path, reads: list[str]
) -> None:
    prepare(store, root)
    prepare(store, root, plan=a_plan(patch_size=(4, 4, 4), batch_size=8, steps=7, allowed_flips=[2]))
    prepare(store, root, id="renamed", text="a report", held_out=True)
    assert reads == ["c00"]


def test_a_corrected_label_is_used_at_once(store: CaseStore, root: Path, painted: Maker) -> None:
    prepare(store, root)
    corrected = painted()
    corrected.array[0, 0, 0, 0] = 2
    label = store.cases[0].label
    assert label is not None
    write_labelmap(label, corrected)
    case = prepare(store, root)
    assert case.labels is not None
    assert case.labels[0, 0, 0] == 2


def test_another_image_in_the_same_file_is_used_at_once(store: CaseStore, root: Path, scan: Maker) -> None:
    before = np.array(prepare(store, root).image)
    write_volume(store.cases[0].images[0], scan(99))
    after = prepare(store, root)
    assert not np.array_equal(after.image, before)
    assert np.allclose(after.image, normalise(scan(99).array, a_plan().channels), atol=2e-3)


def test_what_was_annotated_is_part_of_the_case(store: CaseStore, root: Path, painted: Maker) -> None:
    whole = prepare(store, root)
    assert whole.labels is not None
    slices = prepare(store, root, annotated=Annotation(region="slices", slices=(2, 3)))
    assert slices.labels is not None
    inside = np.isin(np.arange(8), (2, 3))
    assert np.array_equal(slices.labels[inside], whole.labels[inside])
    assert (slices.labels[~inside] == IGNORE).all()
    assert not len(slices.locations[2])
    mask = root.parent / "mask.nii.gz"
    for seen in (slice(0, 3), slice(0, 5)):  # the same file with other content
        array = np.zeros_like(painted().array)
        array[0, seen] = 1
        write_labelmap(mask, Volume(array, painted().geometry))
        masked = prepare(store, root, annotated=Annotation(region="mask", mask=mask))
        assert masked.labels is not None
        assert np.array_equal(masked.labels == IGNORE, array[0] == 0)


def test_labels_that_were_not_annotated_are_unknown_and_their_voxels_ignored(
    store: CaseStore, root: Path
) -> None:
    whole = prepare(store, root)
    assert whole.labels is not None
    case = prepare(store, root, annotated=Annotation(labels=(1,)))
    assert case.known.tolist() == [True, True, False]
    assert case.labels is not None
    assert np.array_equal(case.labels, np.where(whole.labels == 2, IGNORE, whole.labels))
    assert not len(case.locations[2])
    assert len(case.locations[1])
    other = prepare(store, root, annotated=Annotation(labels=(2,)))
    assert other.known.tolist() == [True, False, True]


def test_a_case_is_kept_apart_with_and_without_its_labels(store: CaseStore, root: Path) -> None:
    bare = prepare(store, root, labelled=False)
    assert bare.labels is None
    assert bare.locations == []
    full = prepare(store, root)
    assert full.labels is not None
    assert np.array_equal(full.image, bare.image)
    assert prepare(store, root, labelled=False).labels is None


@pytest.mark.parametrize("damage", ["cut short", "overwritten", "emptied", "removed"])
@pytest.mark.parametrize("name", ["image.npy", "labels.npy", "locations.npz", "facts.json"])
def test_a_damaged_entry_is_made_anew(store: CaseStore, root: Path, name: str, damage: str) -> None:
    before = prepare(store, root)
    assert before.labels is not None
    image, labels = np.array(before.image), np.array(before.labels)
    locations = before.locations
    del before
    (path,) = root.glob(f"*/{name}")
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        left = {"cut short": content[: len(content) // 2], "overwritten": b"\xff" * 500, "emptied": b""}
        path.write_bytes(left[damage])
    after = prepare(store, root)
    assert after.labels is not None
    assert np.array_equal(after.image, image)
    assert np.array_equal(after.labels, labels)
    assert all(np.array_equal(a, b) for a, b in zip(after.locations, locations, strict=True))
    assert len(list(root.iterdir())) == 1


@pytest.mark.parametrize("facts", ["{}", '{"known": [true, true, true], "classes": 3}'])
def test_an_entry_that_lacks_a_fact_is_made_anew(store: CaseStore, root: Path, facts: str) -> None:
    prepare(store, root)
    (path,) = root.glob("*/facts.json")
    path.write_text(facts)
    case = prepare(store, root)
    assert case.labels is not None
    assert len(case.locations) == 3


@pytest.mark.parametrize("room", [0, 1000])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(store: CaseStore, root: Path, room: int) -> None:
    with disk_with_room_for(room), pytest.raises(ResourceError, match="could not be written") as error:
        prepare(store, root)
    assert str(root) in error.value.message
    assert "MEDCONTEXT_HOME" in error.value.hint
    assert list(root.iterdir()) == []
    assert prepare(store, root).labels is not None


def test_a_place_that_cannot_be_written_is_said(store: CaseStore, root: Path) -> None:
    root.write_text("a file, not a folder")
    with pytest.raises(ResourceError, match="could not be written"):
        prepare(store, root)


def test_two_programs_that_prepare_the_same_case_do_not_disturb_each_other(
    store: CaseStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CaseStore.read_image
    others: list[PreparedCase] = []

    def meanwhile(there: CaseStore, case: Case) -> Volume:
        monkeypatch.setattr(CaseStore, "read_image", plain)
        others.append(prepare(there, root))
        return plain(there, case)

    monkeypatch.setattr(CaseStore, "read_image", meanwhile)
    mine = prepare(store, root)
    assert len(others) == 1
    assert np.array_equal(mine.image, others[0].image)
    assert len(list(root.iterdir())) == 1


def test_a_stop_keeps_what_is_ready(
    make_store: Callable[[int], CaseStore], root: Path, reads: list[str]
) -> None:
    store = make_store(3)
    options = {"labelled": True, "root": root}
    stopping = Reporter(cancelled=lambda: len(reads) == 2)
    with pytest.raises(CancelledError):
        prepare_cases(store, store.cases, a_plan(), reporter=stopping, **options)  # type: ignore[arg-type]
    events: list[Event] = []
    prepare_cases(store, store.cases, a_plan(), reporter=Reporter(events.append), **options)  # type: ignore[arg-type]
    assert reads == ["c00", "c01", "c02"]
    progress = [event["value"] for event in events]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 1)


def test_a_scan_that_is_not_finite_is_refused_by_name_and_not_kept(
    store: CaseStore, root: Path, scan: Maker
) -> None:
    broken = scan(0)
    broken.array[0, 0, 0, 0] = np.nan
    write_volume(store.cases[0].images[0], broken)
    with pytest.raises(InputError, match="not finite"):
        prepare(store, root)
    assert not root.exists() or list(root.iterdir()) == []


def test_a_file_that_is_gone_is_named(store: CaseStore, root: Path) -> None:
    store.cases[0].images[0].unlink()
    with pytest.raises(InputError, match=r"c00\.nii\.gz does not exist"):
        prepare(store, root)


def test_every_channel_of_a_case_counts(tmp_path: Path, root: Path, scan: Maker, painted: Maker) -> None:
    store = CaseStore.create(tmp_path / "two", a_plan().label_set, [("T1", "MRI"), ("T2", "MRI")])
    store.add_case(NewCase([scan(1), scan(2)], painted(), case_id="c"))
    plan = a_plan(channels=[Channel(name=name, modality="MRI") for name in ("T1", "T2")])
    before = np.array(prepare(store, root, plan=plan).image)
    write_volume(store.cases[0].images[1], scan(3))
    after = prepare(store, root, plan=plan)
    assert np.array_equal(after.image[0], before[0])
    assert not np.array_equal(after.image[1], before[1])


def test_new_voxels_behind_the_same_header_are_new_content(tmp_path: Path) -> None:
    header = tmp_path / "scan.mhd"
    hashes = []
    for value in (0, 1):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 3, 3), value, np.int16)), str(header))
        hashes.append(files_hash([header]))
    assert hashes[0] != hashes[1]


# Unlabelled scans, which may lie anywhere


def prepare_free(
    store: CaseStore, root: Path, cases: list[Case] | None = None, **options: float
) -> tuple[list[str], list[str]]:
    """Ids of the unlabelled cases that were prepared, and what a person is told."""
    events: list[Event] = []
    free = [case for case in store.cases if case.label is None] if cases is None else cases
    prepared = prepare_cases(
        store, free, a_plan(), labelled=False, reporter=Reporter(events.append), root=root, **options
    )
    told = [event["message"] for event in events if event["event"] in ("warning", "info")]
    assert all(case.labels is None for case in prepared)
    return [case.id for case in prepared], told


@pytest.fixture
def linked(make_store: Callable[[int], CaseStore], scan: Callable[..., Volume], tmp_path: Path) -> CaseStore:
    """A labelled case and three linked scans, ``u0`` to ``u2``."""
    store = make_store(1)
    for number in range(3):
        write_volume(tmp_path / "far away" / f"u{number}.nii.gz", scan(200 + number))
    store.link([tmp_path / "far away"])
    return store


def test_scans_that_vanished_or_broke_are_left_out_with_one_warning(
    linked: CaseStore, root: Path, tmp_path: Path, scan: Callable[..., Volume]
) -> None:
    assert prepare_free(linked, root) == (["u0", "u1", "u2"], [])
    (tmp_path / "far away/u0.nii.gz").unlink()
    (tmp_path / "far away/u1.nii.gz").write_bytes(b"no image")
    write_volume(
        tmp_path / "far away/u2.nii.gz", Volume(np.tile(scan(1).array, (2, 1, 1, 1)), scan(1).geometry)
    )
    ids, told = prepare_free(linked, root)
    assert ids == []
    assert len(told) == 1
    assert told[0].startswith("3 unlabelled scans were left out: u0 (")
    assert "does not exist" in told[0]
    assert "has 2 channels; the data set has 1" in told[0]


def test_a_labelled_case_that_vanished_still_stops_everything(linked: CaseStore, root: Path) -> None:
    linked.cases[0].images[0].unlink()
    with pytest.raises(InputError, match="does not exist"):
        prepare_cases(linked, linked.cases[:1], a_plan(), labelled=True, reporter=Reporter(), root=root)


def test_an_image_that_is_kept_for_scoring_is_never_learnt_from_under_another_name(
    linked: CaseStore, root: Path, scan: Callable[..., Volume], painted: Callable[..., Volume]
) -> None:
    assert prepare_free(linked, root)[0] == ["u0", "u1", "u2"]
    linked.add_case(NewCase([scan(201)], painted(), case_id="exam", held_out=True))
    ids, told = prepare_free(linked, root)
    assert ids == ["u0", "u2"]
    assert told == ["1 unlabelled scans were left out: the data set keeps their images for scoring."]
    linked.remove(["exam"])
    assert prepare_free(linked, root)[0] == ["u0", "u2"]


def test_scans_of_another_kind_are_told(
    linked: CaseStore, root: Path, scan: Callable[..., Volume], tmp_path: Path
) -> None:
    ct = Volume(scan(300).array - 1000, scan(300).geometry)
    write_volume(tmp_path / "far away/u1.nii.gz", ct)
    for _ in range(2):  # also when it comes from the cache
        ids, told = prepare_free(linked, root)
        assert ids == ["u0", "u1", "u2"]
        assert len(told) == 1
        assert "u1 (Channel T1 looks like a CT" in told[0]


def test_scans_that_did_not_change_are_not_read_again(
    linked: CaseStore, root: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_free(linked, root)
    opened: list[Path] = []
    plain = Path.open

    def note(path: Path, *arguments: object, **options: object) -> object:
        opened.append(path)
        return plain(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", note)
    assert prepare_free(linked, root)[0] == ["u0", "u1", "u2"]
    assert not [path for path in opened if path.parent.name == "far away"]
    assert reads == ["u0", "u1", "u2"]


def test_scans_that_are_not_ready_in_time_are_not_waited_for(linked: CaseStore, root: Path) -> None:
    ids, told = prepare_free(linked, root, within_s=-1.0)
    assert ids == []
    assert told == ["0 of 3 unlabelled scans were prepared in time and are used."]
    assert prepare_free(linked, root, within_s=1e6)[0] == ["u0", "u1", "u2"]


@pytest.mark.parametrize("index", range(8))
def test_a_finished_slice_is_learnt_from_on_a_coarser_grid(store: CaseStore, root: Path, index: int) -> None:
    part = Annotation(region="slices", slices=(index,))
    case = prepare(store, root, plan=a_plan(spacing=(6.0, 1.0, 1.0)), annotated=part)
    assert case.labels is not None
    assert len(case.labels) == 3
    assert (case.labels != IGNORE).any((1, 2)).sum() == 1
    assert len(case.locations[1]) == (16 if index in (2, 3) else 0)
