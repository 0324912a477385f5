"""Where the files of a batch lie: the form is stable, other programs rely on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medcontext.batch.layout import Layout, open_output
from medcontext.errors import InputError


def test_the_places_are_those_of_the_documentation(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    places = {
        layout.run: "batch.json",
        layout.sources: "sources.json",
        layout.table: "ledger.csv",
        layout.report: "report.html",
        layout.reviews: "reviews.jsonl",
        layout.ledger(): "ledger.jsonl",
        layout.ledger((3, 16)): "ledger.3-of-16.jsonl",
        layout.thumbnail("a"): "report/a.png",
        layout.segmentation("a", "nii.gz"): "segmentations/a.nii.gz",
        layout.segmentation("a", "seg.nrrd"): "segmentations/a.seg.nrrd",
        layout.dicom("a"): "dicom/a.dcm",
        layout.surface("a", "Liver", "stl"): "surfaces/a/Liver.stl",
        layout.certainty("a"): "certainty/a.nii.gz",
        layout.scene("a"): "scenes/a.mrb",
        layout.corrected("a"): "corrected/a.seg.nrrd",
    }
    assert {layout.relative(place): text for place, text in places.items()} == {t: t for t in places.values()}
    assert all(layout.absolute(text) == place for place, text in places.items())
    assert layout.ledgers() == []


@pytest.mark.parametrize("path", ["", ".", "/etc/passwd", "../x", "a/../../x", "C:/x", "a\\..\\x"])
def test_a_place_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="no place below"):
        Layout(tmp_path).absolute(path)


def test_a_place_elsewhere_has_no_relative_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not lie in"):
        Layout(tmp_path / "out").relative(tmp_path / "a.nii.gz")


def test_an_output_folder_is_made(tmp_path: Path) -> None:
    layout = open_output(tmp_path / "ü b" / "out")
    assert layout.root.is_dir()
    assert open_output(layout.root) == layout


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        open_output(tmp_path / "out")
    with pytest.raises(InputError, match="cannot be made"):
        open_output(tmp_path / "out" / "below")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written to here")
def test_an_output_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="may not be written"):
            open_output(tmp_path)
    finally:
        tmp_path.chmod(0o700)
