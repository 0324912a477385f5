"""Which files are one scan, and why others are none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.find import find_cases
from medcontext.batch.reading import read_case
from medcontext.card_schema import ModelCard
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.geometry import Volume

Written = Callable[..., list[Path]]
Found = tuple[list[BatchCase], list[Skipped]]


@pytest.fixture
def find(card: ModelCard, tmp_path: Path) -> Callable[..., Found]:
    """``find(*inputs, keep=False)``: cases and what was left out."""

    def search(*inputs: Path | str, keep: bool = False) -> Found:
        output = tmp_path / "out of the way"
        return find_cases(inputs, card, output=output, keep_identifiers=keep, reporter=Reporter())

    return search


def _voxels(case: BatchCase) -> np.ndarray:
    return read_case(case, Reporter(), odd="refuse").image.array


def test_series_in_one_and_in_nested_folders(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    scans = tmp_path / "scans"
    for number, names in ((1, "a{}"), (2, "b{}")):
        write_dicom(scans, a_scan, names=names + ".dcm", SeriesInstanceUID=f"1.{number}", SeriesNumber=number)
    write_dicom(scans / "deep" / "deeper", a_scan, names="IM{:04d}", SeriesInstanceUID="1.3")
    cases, skipped = find(scans)
    assert skipped == []
    assert len({case.id for case in cases}) == 3
    assert all(case.is_dicom and len(case.series) == 7 for case in cases)
    assert {case.series[0].parent.name for case in cases} == {"scans", "deeper"}
    for case in cases:
        np.testing.assert_array_equal(_voxels(case), a_scan.array)


def test_files_of_a_case_are_in_the_order_of_their_places(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    written = write_dicom(tmp_path / "scans", a_scan, names="{:03d}.dcm")
    for k, path in enumerate(written):  # names against the order of places
        path.rename(path.with_name(f"x{9 - k}.dcm"))
    (case,), _ = find(tmp_path / "scans")
    assert [path.name for path in case.series] == [f"x{9 - k}.dcm" for k in range(7)]


@pytest.mark.parametrize("same_uid", [False, True], ids=["uids of their own", "one uid for both"])
def test_two_patients_mixed_in_a_folder_are_two_cases(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume, same_uid: bool
) -> None:
    other = Volume(a_scan.array + 5, a_scan.geometry)
    for name, scan in (("Roe", a_scan), ("Poe", other)):
        uid = "1.9" if same_uid else f"1.9.{len(name)}{ord(name[0])}"
        write_dicom(
            tmp_path / "mixed",
            scan,
            names=name + "{}.dcm",
            PatientName=name,
            PatientID=name,
            SeriesInstanceUID=uid,
        )
    cases, skipped = find(tmp_path / "mixed")
    assert skipped == []
    assert len(cases) == 2
    assert cases[0].id.casefold() != cases[1].id.casefold()
    means = sorted(float(_voxels(case).mean()) for case in cases)
    np.testing.assert_allclose(means, [a_scan.array.mean(), a_scan.array.mean() + 5], rtol=1e-5)
    again, _ = find(tmp_path / "mixed")
    assert [case.id for case in again] == [case.id for case in cases]


def test_series_spread_over_folders_is_one_case(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    written = write_dicom(tmp_path / "scans" / "disk1", a_scan)
    (tmp_path / "scans" / "disk2").mkdir()
    for path in written[::2]:
        shutil.move(path, tmp_path / "scans" / "disk2" / path.name)
    (case,), _ = find(tmp_path / "scans")
    np.testing.assert_array_equal(_voxels(case), a_scan.array)


def test_copies_of_a_series_are_read_once_and_told(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    write_dicom(tmp_path / "scans" / "a", a_scan)
    shutil.copytree(tmp_path / "scans" / "a", tmp_path / "scans" / "b")
    (case,), _ = find(tmp_path / "scans")
    assert len(case.series) == 7
    assert case.remarks == ("Files that hold a picture of this series once more, and were not read: 7.",)


def test_one_uid_in_two_folders_with_the_same_places_is_two_cases(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    write_dicom(tmp_path / "scans" / "a", a_scan)
    write_dicom(tmp_path / "scans" / "b", a_scan)  # pictures with UIDs of their own
    cases, _ = find(tmp_path / "scans")
    assert [len(case.series) for case in cases] == [7, 7]


def test_directions_and_sizes_part_a_series_but_rounding_does_not(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    from pydicom import dcmread

    written = write_dicom(tmp_path / "scans", a_scan, names="a{}.dcm")
    for k, path in enumerate(written):  # beside 0.0005 any rounding to three digits would part them
        data = dcmread(path)
        data.ImageOrientationPatient = [1, 0.0005 + 1e-6 * (k % 2), 0, -0.0005, 1, 0]
        data.save_as(path)
    small = a_scan.crop((0, 0, 0), (7, 20, 20))
    write_dicom(tmp_path / "scans", small, names="b{}.dcm")
    sagittal = a_scan.permute((2, 0, 1))
    write_dicom(tmp_path / "scans", sagittal, names="c{}.dcm")
    cases, _ = find(tmp_path / "scans")
    assert sorted(len(case.series) for case in cases) == [7, 7, 24]
    assert len({case.id for case in cases}) == 3


def test_what_is_no_scan_is_left_out_with_its_reason(
    tmp_path: Path, find: Any, write_dicom: Written, write_report: Any, a_scan: Volume
) -> None:
    scans = tmp_path / "scans"
    one = a_scan.crop((0, 0, 0), (1, 20, 24))
    write_dicom(scans / "good", a_scan)
    write_dicom(
        scans / "scout", a_scan, SeriesInstanceUID="2.1", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    write_dicom(
        scans / "named scout", a_scan, SeriesInstanceUID="2.2", SeriesDescription="3pl_LOCALISER_fast"
    )
    write_dicom(scans / "single", one, SeriesInstanceUID="2.3", Modality="CR")
    colours = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    pixels = bytes(20 * 24 * 3)
    write_dicom(scans / "colour", a_scan, SeriesInstanceUID="2.4", PixelData=pixels, **colours, **bits)
    write_dicom(scans / "result", a_scan, SeriesInstanceUID="2.5", Modality="SEG")
    write_dicom(scans / "nowhere", a_scan, SeriesInstanceUID="2.6", ImagePositionPatient=None)
    write_report(scans / "good" / "report.dcm")
    (case,), skipped = find(scans)
    assert case.series[0].parent.name == "good"
    reasons = {entry.files[0].parent.name: entry.reason for entry in skipped}
    assert reasons == {
        "scout": "It is a localiser.",
        "named scout": "It is a localiser.",
        "single": "It is a single 2D picture; a volume is needed.",
        "colour": "It holds colour pictures; grey values are needed.",
        "result": "It is a result of another program, not a scan.",
        "nowhere": "It does not say where its slices lie.",
        "good": "DICOM files without a picture, such as reports and plans: 1.",
    }
    places = [entry.place.casefold() for entry in skipped]
    assert len(set(places)) == len(places)
    assert case.id.casefold() not in places


def test_many_single_pictures_of_a_series_are_told_once(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    from pydicom import dcmread

    write_dicom(tmp_path / "scans" / "good", a_scan)
    radial = write_dicom(tmp_path / "scans" / "radial", a_scan, SeriesInstanceUID="3.1")
    for k, path in enumerate(radial):
        data = dcmread(path)
        angle = 0.3 * k
        data.ImageOrientationPatient = [float(np.cos(angle)), float(np.sin(angle)), 0, 0, 0, -1]
        data.save_as(path)
    _, skipped = find(tmp_path / "scans")
    assert [len(entry.files) for entry in skipped] == [7]


@pytest.mark.parametrize("value", ["", None], ids=["empty", "missing"])
def test_without_uids_files_of_a_folder_belong_together(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume, value: str | None
) -> None:
    scans, other = tmp_path / "scans", Volume(a_scan.array + 1, a_scan.geometry)
    nothing = dict.fromkeys(("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID"), value)
    write_dicom(scans / "a", a_scan, **nothing, SeriesNumber=None)
    write_dicom(scans / "b", other, **nothing, SeriesNumber=None)
    cases, skipped = find(scans)
    assert skipped == []
    assert [len(case.series) for case in cases] == [7, 7]
    before = {case.series[0].parent.name: case.id for case in cases}
    # The name comes from what the files hold, not from where they lie.
    (scans / "a").rename(scans / "z")
    after = {case.series[0].parent.name: case.id for case in find(scans)[0]}
    assert after == {"z": before["a"], "b": before["b"]}


def test_a_damaged_slice_fails_its_series_and_no_other(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    scans = tmp_path / "scans"
    write_dicom(scans / "good", a_scan, SeriesInstanceUID="4.1")
    broken = write_dicom(scans / "broken", a_scan, SeriesInstanceUID="4.2")
    broken[3].write_bytes(b"")
    lost = write_dicom(scans / "lost", a_scan, names="IM.{:03d}", SeriesInstanceUID="4.5")
    lost[6].write_bytes(b"")  # without it the rest is an even volume
    write_dicom(scans / "many", a_scan, names="a{}.dcm", SeriesInstanceUID="4.3")
    write_dicom(scans / "many", a_scan, names="b{}.dcm", SeriesInstanceUID="4.4")
    (scans / "many" / "c.dcm").write_bytes(b"DICM?")
    cases, skipped = find(scans)
    trouble = {case.series[0].parent.name: case.trouble for case in cases}
    assert trouble.keys() == {"good", "broken", "lost", "many"}
    assert trouble["good"] == trouble["many"] == ""
    for name in ("broken", "lost"):
        assert "It may lack slices: 1 damaged DICOM file beside it." in trouble[name]
    assert [(entry.files[0].name, "1 damaged DICOM file" in entry.reason) for entry in skipped] == [
        ("c.dcm", True)
    ]


def test_a_file_stands_for_its_series_and_nothing_else(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    scans = tmp_path / "scans"
    wanted = write_dicom(scans, a_scan, names="a{}.dcm", SeriesInstanceUID="5.1")
    write_dicom(scans, a_scan, names="b{}.dcm", SeriesInstanceUID="5.2")
    for inputs in ([wanted[2]], wanted[:3], [str(scans / "a*.dcm")]):
        (case,), skipped = find(*inputs)
        assert set(case.series) == set(wanted)
        assert skipped == []


def test_multi_frame_files_are_cases_and_films_are_not(
    tmp_path: Path, find: Any, write_frames: Any, a_scan: Volume
) -> None:
    places = [a_scan.geometry.index_to_lps(np.array([k, 0, 0])) for k in range(7)]
    write_frames(tmp_path / "scans" / "mr.dcm", a_scan, places)
    film = "1.2.840.10008.5.1.4.1.1.3.1"
    write_frames(tmp_path / "scans" / "us.dcm", a_scan, places, SOPClassUID=film, SeriesInstanceUID="6.6")
    (case,), skipped = find(tmp_path / "scans")
    assert [path.name for path in case.series] == ["mr.dcm"]
    assert [entry.reason for entry in skipped] == ["It is a film, not a volume."]
    np.testing.assert_array_equal(_voxels(case), a_scan.array)


@pytest.mark.parametrize(
    ("keyword", "plugin"), [("RLELossless", "pydicom"), ("JPEG2000Lossless", "openjpeg")]
)
def test_compressed_series_are_read(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume, keyword: str, plugin: str
) -> None:
    import pydicom.uid

    pytest.importorskip(plugin)
    scan = a_scan.pad((0, 10, 10), (0, 10, 10))  # JPEG 2000 wants 32 pixels
    write_dicom(tmp_path / "scans", scan, compression=getattr(pydicom.uid, keyword))
    (case,), _ = find(tmp_path / "scans")
    np.testing.assert_array_equal(_voxels(case), scan.array)


def test_searching_can_be_stopped(
    tmp_path: Path, card: ModelCard, write_dicom: Written, a_scan: Volume
) -> None:
    write_dicom(tmp_path / "scans", a_scan)
    stopped = Reporter(cancelled=lambda: True)
    with pytest.raises(CancelledError):
        find_cases(
            [tmp_path / "scans"], card, output=tmp_path / "out", keep_identifiers=False, reporter=stopped
        )


def test_real_oddities(shared_data: Path, find: Any) -> None:
    cases, skipped = find(shared_data / "dicom_oddities", shared_data / "ct_dicom_torso" / "dicom")
    found = {case.series[0].parent.name: len(case.series) for case in cases}
    assert found == {
        "ct_empty_uids": 4,
        "ct_head_ge_gantry_tilt": 18,
        "mr_hippocrop_study1": 32,
        "mr_hippocrop_study2": 35,
        "dicom": 20,
    }
    assert skipped == []
    torso = next(case for case in cases if len(case.series) == 20)
    nifti = io.read_volume(shared_data / "ct_dicom_torso/images/ct_dicom_torso.nii.gz")
    np.testing.assert_array_equal(_voxels(torso), nifti.array)


def test_a_series_of_another_modality_than_the_models_is_told(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    for modality in ("CT", "MR", "OT"):
        write_dicom(tmp_path / modality, a_scan, Modality=modality, SeriesInstanceUID=f"5.{ord(modality[0])}")
    told = "The series is CT; the model learnt from MR."
    found = {case.series[0].parent.name: case.remarks for case in find(tmp_path)[0]}
    assert found == {"CT": (told,), "MR": (), "OT": ()}
    manifest = tmp_path / "cases.csv"
    manifest.write_text("image\nCT\nMR\n")
    assert [case.remarks for case in find(manifest)[0]] == [(told,), ()]


def test_a_slice_whose_link_leads_nowhere_fails_its_series(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    files = write_dicom(tmp_path / "scan", a_scan)
    files[6].unlink()  # without it the rest is an even volume
    files[6].symlink_to(tmp_path / "elsewhere.dcm")
    (case,) = find(tmp_path / "scan")[0]
    assert case.trouble.startswith("It may lack slices: 1 link that leads nowhere beside it.")


@pytest.mark.skipif(
    os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="the owner may read anything"
)
def test_a_slice_without_permission_is_not_called_damaged(
    tmp_path: Path, find: Any, write_dicom: Written, a_scan: Volume
) -> None:
    for name in ("{:03d}.dcm", "IM{:03d}"):
        folder = tmp_path / name[:2]
        write_dicom(folder, a_scan, names=name)[6].chmod(0)
        (case,) = find(folder)[0]
        assert case.trouble.startswith("It may lack slices: 1 file without permission to read it beside it.")
