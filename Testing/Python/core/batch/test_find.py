"""Cases are found in folders, by globs and as files, each with a name that is its own and fit for a file."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.find import find_cases
from medcontext.batch.reading import read_case
from medcontext.batch_ledger import Layout
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume

Found = tuple[list[BatchCase], list[Skipped]]


@pytest.fixture
def find(card: ModelCard, tmp_path: Path) -> Callable[..., Found]:
    """``find(*inputs, output=..., model=card)``: cases and what was left out."""

    def search(
        *inputs: Path | str, output: Path = tmp_path / "out", model: ModelCard = card, reporter: Any = None
    ) -> Found:
        return find_cases(
            inputs, model, output=output, keep_identifiers=False, reporter=reporter or Reporter()
        )

    return search


def _image(path: Path, value: float = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.write_volume(path, Volume(np.full((1, 3, 4, 5), value, np.float32), Geometry.from_spacing((3, 4, 5))))
    return path


def _ids(cases: list[BatchCase]) -> list[str]:
    return [case.id for case in cases]


def test_all_formats_in_nested_folders(tmp_path: Path, find: Any, write_dicom: Any, a_scan: Volume) -> None:
    scans = tmp_path / "scans"
    for place in ("a.nii.gz", "b/b.nii", "b/c/c.nrrd", "b/c/d.mha"):
        _image(scans / place)
    write_dicom(scans / "b" / "dicom", a_scan)
    cases, skipped = find(scans)
    assert sorted(_ids(cases)[:-1]) == ["a", "b", "c", "d"]
    assert cases[-1].id.startswith("series-")
    assert skipped == []
    for case in cases:
        assert all(path.is_absolute() for path in case.files)
        assert read_case(case, Reporter(), odd="refuse").image.shape in ((3, 4, 5), a_scan.shape)


def test_the_output_inside_the_input_is_not_searched(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    output = scans / "results"
    _image(scans / "a.nii.gz")
    _image(Layout(output).segmentation("a", "nii.gz"))
    cases, _ = find(scans, output=output)
    assert _ids(cases) == ["a"]
    link = tmp_path / "other name"
    link.symlink_to(output)
    assert _ids(find(scans, output=link)[0]) == ["a"]
    assert _ids(find(str(scans / "**"), output=output)[0]) == ["a"]


def test_results_never_lie_among_the_images(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    _image(scans / "segmentations" / "a.nii.gz")
    with pytest.raises(InputError, match=r"cannot be the input of results that are written there"):
        find(scans, output=scans)
    with pytest.raises(InputError, match="in its folder 'segmentations'"):
        find(scans / "segmentations", output=scans)
    with pytest.raises(InputError, match="written there"):
        find(scans / ".." / "scans", output=scans)


def test_results_of_other_runs_are_left_out(tmp_path: Path, find: Any) -> None:
    scans, older = tmp_path / "scans", Layout(tmp_path / "scans" / "older run")
    _image(scans / "a.nii.gz")
    _image(older.segmentation("a", "nii.gz"))
    older.run.write_text("{}", encoding="utf-8")
    older.ledger((2, 3)).write_text("", encoding="utf-8")
    cases, skipped = find(scans)
    assert _ids(cases) == ["a"]
    assert [(entry.place, entry.reason) for entry in skipped] == [
        ("older run", "It holds the results of another batch run.")
    ]


def test_folders_of_labels_are_searched_only_when_named(tmp_path: Path, find: Any) -> None:
    _image(tmp_path / "set" / "imagesTs" / "a.nii.gz")
    _image(tmp_path / "set" / "labelsTs" / "a.nii.gz", value=2)
    cases, skipped = find(tmp_path / "set")
    assert [case.paths[0].parent.name for case in cases] == ["imagesTs"]
    assert [entry.place for entry in skipped] == ["labelsTs"]
    assert _ids(find(tmp_path / "set" / "labelsTs", output=tmp_path / "other")[0]) == ["a"]


def test_a_loop_of_links_is_walked_once(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    _image(scans / "z" / "a.nii.gz")
    (scans / "z" / "up").symlink_to(scans)
    (scans / "aaa").symlink_to(scans / "z")
    (scans / "self.nii.gz").symlink_to(scans / "self.nii.gz")
    (scans / "gone.nii.gz").symlink_to(scans / "nothing.nii.gz")
    cases, skipped = find(scans)
    # What links were meant to lead to is missing: those two are cases that fail.
    names = ["gone.nii.gz", "self.nii.gz", "z/a.nii.gz"]
    assert [case.paths for case in cases] == [(scans / name,) for name in names]
    assert skipped == []


def test_a_folder_of_links_keeps_their_names(tmp_path: Path, find: Any) -> None:
    store, scans = tmp_path / "store", tmp_path / "scans"
    _image(store / "0815.nii.gz")
    scans.mkdir()
    (scans / "case_1.nii.gz").symlink_to(store / "0815.nii.gz")
    (scans / "more").symlink_to(store)
    assert sorted(_ids(find(scans)[0])) == ["0815", "case_1"]


def test_hidden_files_and_segmentations_do_not_count(tmp_path: Path, find: Any, told: Any) -> None:
    reporter, events = told
    scans = tmp_path / "scans"
    for place in ("a.nii.gz", "._a.nii.gz", ".trash/b.nii.gz"):
        _image(scans / place)
    (scans / "a.seg.nrrd").write_bytes(b"NRRD")
    for name in ("notes.txt", "table.xlsx", "LICENSE"):
        (scans / name).write_text("words")
    if hasattr(os, "mkfifo"):
        os.mkfifo(scans / "pipe.nii.gz")  # opening it would wait for ever
    cases, skipped = find(scans, reporter=reporter)
    assert _ids(cases) == ["a"]
    assert skipped == []
    notes = [event["message"] for event in events if event["event"] == "info"]
    assert notes == ["Files that are no images and do not count: 3 (no ending 1, .txt 1, .xlsx 1)."]


def test_a_corrupt_file_among_good_ones_is_a_case_that_fails(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    good, bad, empty = (_image(scans / f"{name}.nii.gz") for name in ("good", "bad", "empty"))
    bad.write_bytes(bad.read_bytes()[:60])
    empty.write_bytes(b"")
    cases = {case.id: case for case in find(scans)[0]}
    assert cases.keys() == {"good", "bad", "empty"}
    assert read_case(cases["good"], Reporter(), odd="refuse").image.shape == (3, 4, 5)
    for name in ("bad", "empty"):
        with pytest.raises(InputError, match=rf"{name}\.nii\.gz"):
            read_case(cases[name], Reporter(), odd="refuse")
    assert good.exists()


def test_names_that_collide_are_told_apart_the_same_way_each_time(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    for place in ("p1/scan.nii.gz", "p2/scan.nii.gz", "p2/Scan2.nii.gz", "p3/scan2.nii.gz", "only.nii.gz"):
        _image(scans / place)
    expected = {"only", "p1_scan", "p2_scan", "p2_Scan2", "p3_scan2"}
    assert set(_ids(find(scans, output=tmp_path / "o1")[0])) == expected
    _image(scans / "p1" / "twin.nii.gz")
    _image(scans / "p1" / "twin.nrrd")
    expected |= {"p1_twin_nii_gz", "p1_twin_nrrd"}
    assert set(_ids(find(scans, output=tmp_path / "o1")[0])) == expected
    shutil.copytree(scans, tmp_path / "elsewhere" / "scans")
    assert set(_ids(find(tmp_path / "elsewhere" / "scans", output=tmp_path / "o2")[0])) == expected
    both = find(scans / "p1", tmp_path / "elsewhere" / "scans" / "p1", output=tmp_path / "o3")[0]
    assert len({name.casefold() for name in _ids(both)}) == 6


def test_names_with_spaces_unicode_and_200_characters(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "my scans (ä)"
    long = "x" * 192
    names = [
        "a b  c",
        "Kopf & Müller",
        "脑" * 60,
        long + "1",
        long + "2",
        "con",
        "%00;rm -rf",
        "odd..",
        "-",
    ]
    for name in names:
        _image(scans / f"{name}.nii.gz")
    cases, _ = find(scans)
    assert len(cases) == len(names)
    assert len({case.id.casefold() for case in cases}) == len(names)
    by_name = {unicodedata.normalize("NFC", case.paths[0].name): case.id for case in cases}
    assert by_name["a b  c.nii.gz"] == "a_b_c"
    assert by_name["Kopf & Müller.nii.gz"] == "Kopf_Müller"
    assert by_name["con.nii.gz"] == "case_con"
    for case in cases:
        assert len(case.id) <= 120
        assert not set(case.id) & set(' /\\:*?"<>|%;')
        target = Layout(tmp_path / "out").certainty(case.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f".{target.name}.12345678.part").touch()  # as long as a temporary name is
        read_case(case, Reporter(), odd="refuse")


def test_globs_and_files(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    paths = [
        _image(scans / place) for place in ("p1/t1.nii.gz", "p1/t2.nii.gz", "p2/t1.nii.gz", "p3[1]/t3.mha")
    ]
    assert [case.paths[0] for case in find(str(scans / "*" / "t1.nii.gz"))[0]] == [paths[0], paths[2]]
    assert len(find(str(scans / "**" / "*.nii.gz"))[0]) == 3
    (scans / "p1" / "table.csv").write_text("what,ever\n", encoding="utf-8")
    assert len(find(scans, str(scans / "**"), paths[0])[0]) == 4
    assert _ids(find(paths[3])[0]) == ["t3"]  # signs of a glob in a name that exists
    with pytest.raises(InputError, match=r"Nothing matches .*\*\.nrrd"):
        find(str(scans / "*.nrrd"))


def test_files_that_are_no_images_are_left_out_of_many(tmp_path: Path, find: Any) -> None:
    good = _image(tmp_path / "a.nii.gz")
    (tmp_path / "a.seg.nrrd").write_bytes(b"NRRD")
    (tmp_path / "a.txt").write_text("words")
    cases, skipped = find(good, tmp_path / "a.seg.nrrd", tmp_path / "a.txt")
    assert _ids(cases) == ["a"]
    assert [(entry.place, entry.reason) for entry in skipped] == [
        ("a.seg.nrrd", "It is a segmentation, not an image.")
    ]


def test_nothing_found_says_why(tmp_path: Path, find: Any) -> None:
    with pytest.raises(InputError, match="No input was given"):
        find()
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        find(tmp_path / "nowhere")
    (tmp_path / "scans" / "labels").mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"no image was found. 1 were left out; the first, labels: It is a folder"
    ):
        find(tmp_path / "scans")


def test_files_of_several_channels(tmp_path: Path, find: Any, card_of_two: ModelCard) -> None:
    scans = tmp_path / "scans"
    for place in ("p1/a_0000", "p1/a_0001", "p1/b_0000", "p1/b_0002", "p1/whole", "p2/a_0001", "p2/a_0000"):
        _image(scans / f"{place}.nii.gz")
    cases = {case.id: case for case in find(scans, model=card_of_two)[0]}
    assert cases.keys() == {"p1_a", "p2_a", "b", "whole"}
    assert [path.name for path in cases["p2_a"].paths] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert cases["p1_a"].trouble == cases["whole"].trouble == ""
    assert cases["b"].trouble == (
        "Its files end in 0000, 0002; channels are numbered 0000, 0001, one file each."
    )


@pytest.mark.skipif(
    os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="the owner may read anything"
)
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, find: Any) -> None:
    _image(tmp_path / "scans" / "a.nii.gz")
    _image(tmp_path / "scans" / "closed" / "b.nii.gz")
    (tmp_path / "scans" / "closed").chmod(0)
    try:
        cases, skipped = find(tmp_path / "scans")
    finally:
        (tmp_path / "scans" / "closed").chmod(0o755)
    assert {case.id: case.trouble for case in cases} == {
        "a": "",
        "closed": "The folder cannot be read: Permission denied.",
    }
    assert skipped == []


def test_a_link_that_leads_nowhere_is_a_case_that_fails(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    _image(scans / "a.nii.gz")
    (scans / "gone.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    (scans / "folder").symlink_to(tmp_path / "elsewhere")
    (scans / "notes.txt").symlink_to(tmp_path / "elsewhere.txt")
    cases, skipped = find(scans)
    assert len(cases) == 3
    for case in cases:
        if case.id != "a":
            with pytest.raises(InputError, match=r"gone.nii.gz does not exist|1 link that leads nowhere"):
                read_case(case, Reporter(), odd="refuse")
    assert [entry.place for entry in skipped] == ["place 1"]


def test_ten_thousand_files_are_all_found(tmp_path: Path, find: Any, told: Any) -> None:
    reporter, events = told
    scans = tmp_path / "scans"
    for folder in range(100):
        below = scans / f"site{folder % 10}" / f"patient{folder}"
        below.mkdir(parents=True)
        for number in range(100):
            (below / f"scan{number}.nii.gz").touch()
    cases, skipped = find(scans, reporter=reporter)
    assert len({case.id for case in cases}) == 10_000
    assert skipped == []
    searched: list[Event] = [event for event in events if event.get("stage") == "searching"]
    assert searched[-1]["files"] == 10_000
