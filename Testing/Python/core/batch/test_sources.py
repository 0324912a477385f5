"""Names of cases are settled once for an output folder: no scan takes the place of another, none is there twice."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.find import find_cases
from medcontext.batch.identifiers import Names
from medcontext.batch.image_cases import Named
from medcontext.batch.options import BatchOptions
from medcontext.batch.run import run_batch
from medcontext.batch.sources import settle
from medcontext.batch_ledger import Layout, read_rows
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume

Ids = Callable[..., dict[str, str]]


@pytest.fixture
def found(card: ModelCard, tmp_path: Path) -> Callable[..., tuple[list[BatchCase], list[Skipped]]]:
    """``found(*inputs, keep=False, overwrite=False)``: cases for the output folder ``out``, and what is none."""

    def search(
        *inputs: Path | str, keep: bool = False, overwrite: bool = False, reporter: Reporter | None = None
    ) -> tuple[list[BatchCase], list[Skipped]]:
        return find_cases(
            inputs,
            card,
            output=tmp_path / "out",
            keep_identifiers=keep,
            reporter=reporter or Reporter(),
            overwrite=overwrite,
        )

    return search


@pytest.fixture
def ids(found: Any, tmp_path: Path) -> Ids:
    """``ids(*inputs)``: the id of each case by its (first) path below the folder of the test."""

    def search(*inputs: Path | str, **more: Any) -> dict[str, str]:
        cases, _ = found(*inputs, **more)
        assert len({case.id.casefold() for case in cases}) == len(cases)
        return {case.paths[0].relative_to(tmp_path).as_posix(): case.id for case in cases}

    return search


def _image(path: Path, value: float = 1, size: int = 5) -> Path:
    array = np.full((1, 3, 4, size), value, np.float32)
    io.write_volume(path, Volume(array, Geometry.from_spacing((3, 4, size))))
    return path


def _sources(tmp_path: Path) -> dict[str, Any]:
    return json.loads(Layout(tmp_path / "out").sources.read_text(encoding="utf-8"))


def test_a_scan_that_arrives_later_renames_no_other(tmp_path: Path, ids: Ids) -> None:
    scans = tmp_path / "scans"
    _image(scans / "p1" / "T1.nii.gz")
    assert ids(scans) == {"scans/p1/T1.nii.gz": "T1"}
    _image(scans / "p2" / "T1.nii.gz")
    both = {"scans/p1/T1.nii.gz": "T1", "scans/p2/T1.nii.gz": "p2_T1"}
    assert ids(scans) == both
    assert ids(scans) == both
    assert ids(str(scans / "**" / "*.nii.gz")) == both
    assert ids(scans / "p2") == {"scans/p2/T1.nii.gz": "p2_T1"}


def test_another_scan_of_the_same_name_gets_a_name_of_its_own(tmp_path: Path, ids: Ids, told: Any) -> None:
    reporter, events = told
    for folder in "abc":
        _image(tmp_path / folder / "scan.nii.gz")
    assert ids(tmp_path / "a") == {"a/scan.nii.gz": "scan"}
    assert ids(tmp_path / "b", reporter=reporter) == {"b/scan.nii.gz": "b_scan"}
    assert [e["message"] for e in events if e["event"] == "info"] == [
        "Scans with the name of another scan in this output folder got names of their own: 1 (b_scan)."
    ]
    assert ids(tmp_path / "c") == {"c/scan.nii.gz": "c_scan"}
    sources = _sources(tmp_path)
    assert {name: entry.get("paths") for name, entry in sources.items()} == {
        "scan": [str(tmp_path / "a" / "scan.nii.gz")],
        "b_scan": [str(tmp_path / "b" / "scan.nii.gz")],
        "c_scan": [str(tmp_path / "c" / "scan.nii.gz")],
        "": None,
    }
    assert sources[""]["input"] == [str(tmp_path / "c")]


def test_a_scan_that_was_moved_keeps_its_name_and_another_in_its_place_does_not(
    tmp_path: Path, ids: Ids
) -> None:
    scans = tmp_path / "scans"
    _image(scans / "p1" / "T1.nii")
    _image(scans / "p2" / "T1.nii")
    for number, name in enumerate(("p1", "p2")):
        os.utime(scans / name / "T1.nii", (1000 + number, 1000 + number))
    assert set(ids(scans).values()) == {"p1_T1", "p2_T1"}
    scans.rename(tmp_path / "moved")
    assert ids(tmp_path / "moved") == {"moved/p1/T1.nii": "p1_T1", "moved/p2/T1.nii": "p2_T1"}
    shutil.rmtree(tmp_path / "moved")
    _image(tmp_path / "other" / "p1" / "T1.nii", value=2)
    _image(tmp_path / "other" / "p2" / "T1.nii", value=2)
    assert not {"p1_T1", "p2_T1"} & set(ids(tmp_path / "other").values())


def test_one_file_under_two_names_is_one_scan(tmp_path: Path, ids: Ids) -> None:
    _image(tmp_path / "scans" / "T1.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "scans")
    assert ids(tmp_path / "scans") == {"scans/T1.nii.gz": "T1"}
    assert ids(tmp_path / "link") == {"link/T1.nii.gz": "T1"}


def test_a_manifest_takes_no_id_from_a_scan_that_is_there(tmp_path: Path, ids: Ids) -> None:
    _image(tmp_path / "a.nii.gz")
    _image(tmp_path / "b.nii.gz")
    table = tmp_path / "list.csv"
    table.write_text("id,image\nP1,a.nii.gz\n", encoding="utf-8")
    assert ids(table) == {"a.nii.gz": "P1"}
    assert ids(tmp_path / "a.nii.gz") == {"a.nii.gz": "P1"}  # a known scan keeps its id
    table.write_text("id,image\nP0,a.nii.gz\np1,b.nii.gz\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 3 of the manifest gives the id 'P1' to another scan"):
        ids(table)
    assert ids(table, overwrite=True) == {"a.nii.gz": "P0", "b.nii.gz": "p1"}
    table.write_text("id,image\nX,gone.nii.gz\n", encoding="utf-8")
    assert ids(table) == {"gone.nii.gz": "X"}
    table.write_text("id,image\nX,a.nii.gz\n", encoding="utf-8")
    assert ids(table) == {"a.nii.gz": "X"}


def test_rows_of_one_image_with_several_regions_keep_their_names(tmp_path: Path, found: Any) -> None:
    _image(tmp_path / "a.nii.gz")
    table = tmp_path / "list.csv"
    rows = ['a.nii.gz,"0:2,0:3,:"', 'a.nii.gz,"1:3,0:3,:"']
    table.write_text("\n".join(["image,roi", *rows]), encoding="utf-8")
    first = {case.roi: case.id for case in found(table)[0]}
    assert len(set(first.values())) == 2
    table.write_text("\n".join(["image,roi", 'a.nii.gz,":,:,:"', *reversed(rows)]), encoding="utf-8")
    again = {case.roi: case.id for case in found(table)[0]}
    assert again.items() >= first.items()
    assert len(set(again.values())) == 3


def test_a_series_that_is_still_copied_keeps_its_name(
    tmp_path: Path, found: Any, write_dicom: Any, a_scan: Volume
) -> None:
    files = write_dicom(tmp_path / "export", a_scan)
    scans = tmp_path / "scans"
    scans.mkdir()
    names = set()
    for part in (files[2:5], files[:2], files[5:]):  # lower slices come later
        for file in part:
            shutil.copy(file, scans / file.name)
        (case,), _ = found(scans)
        names.add(case.id)
    assert len(names) == 1
    other = write_dicom(tmp_path / "other", a_scan)  # the same UID of the series, other pictures
    (case,), _ = found(other[0].parent)
    assert case.id not in names
    assert case.id.startswith(names.pop())
    shutil.copytree(scans, tmp_path / "copy")
    (case,), _ = found(tmp_path / "copy")
    assert len(_sources(tmp_path)) == 3  # the same pictures are the same scan
    shutil.rmtree(tmp_path / "other")
    assert [len(c.series) for c in found(tmp_path / "copy")[0]] == [7]


def test_ids_with_identifiers_do_not_outlive_the_wish_to_keep_them(
    tmp_path: Path, found: Any, write_dicom: Any, a_scan: Volume
) -> None:
    write_dicom(tmp_path / "scans", a_scan, PatientName="Doe^Jane")
    (kept,), _ = found(tmp_path / "scans", keep=True)
    assert "Doe_Jane" in kept.id
    (case,), _ = found(tmp_path / "scans")
    assert case.id.startswith("series-")


def test_parts_that_find_different_files_agree_on_names(tmp_path: Path, ids: Ids) -> None:
    scans = tmp_path / "scans"
    paths = [_image(scans / f"p{number}" / "T1.nii.gz") for number in range(6)]
    views = [paths[:3], paths[2:], paths[::2], paths[:1], paths[3:]]
    with ThreadPoolExecutor(len(views)) as parts:
        found = list(parts.map(lambda view: ids(*view), views))
    whole = ids(scans)
    assert len(set(whole.values())) == len(paths)
    for part in found:
        assert part.items() <= whole.items()


def test_entries_stay_and_what_says_the_same_is_not_written_again(tmp_path: Path, ids: Ids) -> None:
    _image(tmp_path / "a" / "one.nii.gz")
    _image(tmp_path / "b" / "two.nii.gz")
    ids(tmp_path / "a")
    ids(tmp_path / "b")
    place = Layout(tmp_path / "out").sources
    lines = place.read_text(encoding="utf-8").splitlines()
    assert [line[:6] for line in lines] == ["{", '"one":', '"two":', '"": {"', "}"]
    before = place.stat()
    ids(tmp_path / "b")
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    place.write_text('{"one": {"paths"', encoding="utf-8")
    with pytest.raises(InputError, match=r"sources\.json is broken"):
        ids(tmp_path / "b")


def test_what_was_left_out_is_told_at_the_same_place(tmp_path: Path, found: Any) -> None:
    scans = tmp_path / "scans"
    _image(scans / "a.nii.gz")
    for name in ("labels", "masks"):
        (scans / "x" / name).mkdir(parents=True)
    first = {entry.files: entry.place for entry in found(scans)[1]}
    (scans / "w" / "labels").mkdir(parents=True)
    again = {entry.files: entry.place for entry in found(scans)[1]}
    assert again.items() >= first.items()
    below = {entry.files: entry.place for entry in found(scans / "x", scans)[1]}
    assert len(set(below.values())) == 3


def test_no_result_is_replaced_by_that_of_another_scan(
    tmp_path: Path, tiny_model: Path, write_scans: Any
) -> None:
    out = tmp_path / "out"
    options = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32")
    for folder, start in (("a", 0), ("b", 1)):
        (path,) = write_scans(tmp_path / folder, 1, start=start)
        path.rename(path.with_name("scan.nii.gz"))
    run_batch(tmp_path / "a", out, options)
    first = Layout(out).segmentation("scan", "nii.gz").read_bytes()
    summary = run_batch(tmp_path / "b", out, options)
    assert (summary.done, summary.failed) == (1, 0)
    assert Layout(out).segmentation("scan", "nii.gz").read_bytes() == first
    assert {name: row["state"] for name, row in read_rows(out).items()} == {
        "scan": "done",
        "b_scan": "done",
    }
    for folder in "ab":
        assert run_batch(tmp_path / folder, out, options).reused == 1


def test_files_of_many_series_are_not_joined_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / ("study " * 20)
    files = tuple(folder / f"slice {number:05d}.dcm" for number in range(500))
    assert all(map(str, files))  # paths remember their texts
    named = [
        Named(Names((f"series-{number}",), str(number), str(number)), BatchCase("", files[:1], files))
        for number in range(100)
    ]
    layout = Layout(tmp_path / "out")
    tracemalloc.start()
    try:
        settle(layout, [folder], named, [], Reporter())
        settle(layout, [folder], named, [], Reporter())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < layout.sources.stat().st_size / 4
