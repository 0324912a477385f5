"""Finding cases among names and folders of every kind, without telling names and without taking much memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.dicom_series import read_picture
from medcontext.batch.find import find_cases
from medcontext.batch.layout import open_output
from medcontext.batch.options import BatchOptions
from medcontext.batch.run import run_batch
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume

Found = tuple[list[BatchCase], list[Skipped]]


@pytest.fixture
def find(card: ModelCard, tmp_path: Path) -> Callable[..., Found]:
    """``find(*inputs, reporter=None)``: cases and what was left out."""

    def search(*inputs: Path | str, reporter: Any = None) -> Found:
        output = tmp_path / "out"
        return find_cases(
            inputs, card, output=output, keep_identifiers=False, reporter=reporter or Reporter()
        )

    return search


def _image(path: Path) -> Path:
    io.write_volume(path, Volume(np.ones((1, 3, 4, 5), np.float32), Geometry.from_spacing((3, 4, 5))))
    return path


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_names_that_are_no_text_are_left_out(
    tmp_path: Path, find: Any, write_dicom: Any, a_scan: Volume
) -> None:
    scans = tmp_path / "scans"
    good = _image(scans / "good.nii.gz")
    shutil.copy(good, scans / os.fsdecode(b"M\xfcller.nii.gz"))
    (scans / os.fsdecode(b"M\xfcller")).write_bytes(b"no ending, which GDCM would be asked about")
    shutil.copytree(write_dicom(tmp_path / "d", a_scan)[0].parent, scans / os.fsdecode(b"J\xf6rg"))
    slices = write_dicom(scans / "series", a_scan, SeriesInstanceUID="1.2.9")
    slices[3].rename(scans / "series" / os.fsdecode(b"\xe4.dcm"))
    for inputs in ([scans], [str(scans / "**")]):
        cases, skipped = find(*inputs)
        assert cases[0].id == "good"
        assert "1 damaged DICOM file beside it" in cases[1].trouble
        assert len(cases) == 2
        assert [("UTF-8" in entry.reason, entry.place) for entry in skipped] == [
            (True, "place 1"),
            (True, "damaged DICOM files 1"),
        ]
    with pytest.raises(InputError, match=r"M\?ller\.nii\.gz is not UTF-8 text"):
        io.read_volume(scans / os.fsdecode(b"M\xfcller.nii.gz"))
    with pytest.raises(InputError, match="names are not UTF-8 text: 1"):
        io.read_volume(scans / "series")


def test_a_loop_of_links_gives_a_pattern_each_file_once(tmp_path: Path, find: Any) -> None:
    scans = tmp_path / "scans"
    path = _image(scans / "z" / "a.nii.gz")
    (scans / "z" / "up").symlink_to(scans)
    (scans / "z" / "b.nii.gz").symlink_to(path)  # a name that somebody gave
    cases, _ = find(str(scans / "**" / "*.nii.gz"))
    assert [case.paths[0] for case in cases] == [path, path.with_name("b.nii.gz")]


def test_an_input_that_no_file_can_be_called_is_said(find: Any) -> None:
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(InputError, match="does not exist"):
            find(name)


def test_endings_of_other_files_beside_dicom_are_not_told(
    tmp_path: Path, find: Any, told: Any, write_dicom: Any, a_scan: Volume
) -> None:
    reporter, events = told
    write_dicom(tmp_path / "scans", a_scan)
    (tmp_path / "scans" / "REPORT.DOE_JANE").write_text("words")
    find(tmp_path / "scans", reporter=reporter)
    notes = [event["message"] for event in events if event["event"] == "info"]
    assert notes == ["Files that are no images and do not count: 1."]


def test_what_slices_say_in_the_same_words_is_in_memory_once(
    tmp_path: Path, write_dicom: Any, a_scan: Volume
) -> None:
    first, second = (read_picture(file) for file in write_dicom(tmp_path / "a", a_scan)[:2])
    assert first is not None
    assert second is not None
    for name in ("patient", "study", "sop_class", "kind"):
        assert getattr(first, name) is getattr(second, name)
    for name in ("uid", "number", "description", "modality", "axes"):
        assert getattr(first.image, name) is getattr(second.image, name)
    assert not hasattr(first, "__dict__")


def test_rows_with_impossible_names_fail_alone(tmp_path: Path, tiny_model: Path, write_scans: Any) -> None:
    write_scans(tmp_path, 1)
    names = ["x" * 300 + ".nii.gz", "a\0b.nii.gz", "M\udcfcller.nii.gz", "M\udcfcller"]
    entries = [{"image": "scan_0.nii.gz"}, *({"image": name} for name in names)]
    entries += [{"image": "scan_0.nii.gz", "roi": name} for name in names[:3]]
    (tmp_path / "list.json").write_text(json.dumps(entries), encoding="utf-8")
    options = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32")
    for reused in (0, 1):
        summary = run_batch(tmp_path / "list.json", tmp_path / "out", options)
        assert (summary.done + summary.reused, summary.failed, summary.reused) == (1, 7, reused)


def test_results_are_not_written_where_no_image_can_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not UTF-8 text"):
        open_output(tmp_path / "M\udcfcller")
    assert not list(tmp_path.iterdir())


def test_data_of_a_detached_header_belongs_to_its_case(tmp_path: Path, find: Any) -> None:
    path = tmp_path / "scans" / "a.mhd"
    path.parent.mkdir()
    raw = path.with_suffix(".raw")
    raw.write_bytes(np.zeros(60, "<i2").tobytes())
    path.write_text(
        "NDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementByteOrderMSB = False\n"
        "ElementDataFile = a.raw\n"
    )
    (case,), _ = find(tmp_path / "scans")
    assert case.files == (path, raw)
