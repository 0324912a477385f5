"""DICOM series come in at their true places; what is odd is told, what cannot be right is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medcontext import io
from medcontext.errors import InputError
from medcontext.events import Reporter

Warned = tuple[Reporter, list[str]]
Writer = Callable[..., None]


def test_jpeg2000_series_equals_its_nifti(shared_data: Path, warned: Warned) -> None:
    reporter, messages = warned
    series = io.read_volume(shared_data / "ct_dicom_torso/dicom", reporter)
    nifti = io.read_volume(shared_data / "ct_dicom_torso/images/ct_dicom_torso.nii.gz")
    np.testing.assert_array_equal(series.array, nifti.array)
    np.testing.assert_allclose(series.geometry.affine, nifti.geometry.affine, atol=1e-6)
    assert messages == []
    assert series.array.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "shape"), [("ct_empty_uids", (4, 512, 512)), ("mr_hippocrop_study1", (32, 51, 35))]
)
def test_odd_series(shared_data: Path, warned: Warned, name: str, shape: tuple[int, int, int]) -> None:
    reporter, messages = warned
    volume = io.read_volume(shared_data / "dicom_oddities" / name, reporter)
    assert volume.shape == shape
    assert messages == []


def test_tilted_and_uneven_series_lies_where_it_was_taken(shared_data: Path, warned: Warned) -> None:
    import pydicom

    reporter, messages = warned
    folder = shared_data / "dicom_oddities/ct_head_ge_gantry_tilt"
    volume = io.read_volume(folder, reporter)
    assert len(messages) == 2
    assert "tilted by 18.5 degrees" in messages[0]
    assert "1.1 to 7.0 mm apart" in messages[1]
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    for data in (slices[0], slices[-1]):
        index = volume.geometry.lps_to_index(np.array(data.ImagePositionPatient, float))
        np.testing.assert_allclose(index[1:], 0, atol=1e-6)
        np.testing.assert_array_equal(volume.array[0, round(index[0])], data.pixel_array)
    # a slice in the thin part: what lies at its height is a blend of its two nearest even slices
    k = volume.geometry.lps_to_index(np.array(slices[4].ImagePositionPatient, float))[0]
    near = np.abs(volume.array[0, round(k)] - slices[4].pixel_array).mean()
    assert near < np.abs(volume.array[0, round(k) + 2] - slices[4].pixel_array).mean() / 2


def test_order_comes_from_places_not_from_names(tmp_path: Path, write_series: Writer, warned: Warned) -> None:
    reporter, messages = warned
    write_series(tmp_path, [6, 0, 4, 2])
    volume = io.read_volume(tmp_path, reporter)
    np.testing.assert_array_equal(volume.array[0, :, 0, 0], [0, 20, 40, 60])
    np.testing.assert_allclose(
        volume.geometry.affine, [[0.5, 0, 0, -3], [0, 0.8, 0, 4], [0, 0, 2, 0], [0, 0, 0, 1]]
    )
    assert volume.shape == (4, 6, 5)
    assert messages == []


def test_sagittal_left_handed_series(tmp_path: Path, write_series: Writer) -> None:
    from pydicom import dcmread

    write_series(tmp_path, [0, 2, 4])
    for path in tmp_path.iterdir():
        data = dcmread(path)
        data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        data.ImagePositionPatient = [data.ImagePositionPatient[2], 10, 20]
        data.save_as(path)
    volume = io.read_volume(tmp_path)
    # places grow along the cross product of row and column direction, which is patient right (-x) here
    np.testing.assert_allclose(volume.geometry.affine[:3], [[0, 0, -2, 4], [0.5, 0, 0, 10], [0, -0.8, 0, 20]])
    np.testing.assert_array_equal(volume.array[0, :, 0, 0], [40, 20, 0])


def test_slope_of_each_slice_is_its_own(tmp_path: Path, write_series: Writer) -> None:
    from pydicom import dcmread

    write_series(tmp_path, [1, 2, 3])
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        data = dcmread(path)
        data.RescaleSlope, data.RescaleIntercept = 0.25 * (number + 1), -7
        data.save_as(path)
    np.testing.assert_allclose(io.read_volume(tmp_path).array[0, :, 0, 0], [2.5 - 7, 10 - 7, 22.5 - 7])


def test_one_missing_slice_is_filled_and_told(tmp_path: Path, write_series: Writer, warned: Warned) -> None:
    reporter, messages = warned
    write_series(tmp_path, [0, 2, 4, 8, 10])
    volume = io.read_volume(tmp_path, reporter)
    np.testing.assert_allclose(volume.array[0, :, 0, 0], [0, 20, 40, 60, 80, 100])
    np.testing.assert_allclose(volume.geometry.spacing, (2, 0.8, 0.5))
    assert len(messages) == 1
    assert "2.0 to 4.0 mm apart" in messages[0]


def test_tilted_gantry_gives_a_sheared_grid(tmp_path: Path, write_slice: Writer, warned: Warned) -> None:
    reporter, messages = warned
    for z in (0, 3, 6):
        write_slice(tmp_path / f"{z}.dcm", np.full((6, 5), z, np.int16), (0, z / 3, z), {})
    volume = io.read_volume(tmp_path, reporter)
    np.testing.assert_allclose(volume.geometry.affine[:3], [[0.5, 0, 0, 0], [0, 0.8, 1, 0], [0, 0, 3, 0]])
    np.testing.assert_array_equal(volume.array[0, :, 0, 0], [0, 3, 6])
    assert len(messages) == 1
    assert "tilted by 18.4 degrees" in messages[0]


def test_rounded_positions_are_not_called_uneven(
    tmp_path: Path, write_series: Writer, warned: Warned
) -> None:
    reporter, messages = warned
    write_series(tmp_path, [round(0.625 * n, 2) for n in range(9)])
    assert io.read_volume(tmp_path, reporter).shape == (9, 6, 5)
    assert messages == []


def test_many_missing_slices_are_refused(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, [0, 2, 4, 20, 22, 24])
    with pytest.raises(InputError, match=r"lacks slices: a gap of 16\.0 mm among gaps of 2\.0 mm"):
        io.read_volume(tmp_path)


def test_time_points_in_one_series_are_refused(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, [0, 2, 4, 0, 2, 4])
    with pytest.raises(InputError, match="several images at the same place"):
        io.read_volume(tmp_path)


def test_slices_shifted_sideways_are_refused(
    tmp_path: Path, write_series: Writer, write_slice: Writer
) -> None:
    write_series(tmp_path, [0, 2, 6])
    write_slice(tmp_path / "shifted.dcm", np.zeros((6, 5), np.int16), (0, 4, 4), {})
    with pytest.raises(InputError, match="shifted against each other"):
        io.read_volume(tmp_path)


def test_several_series_are_listed_and_one_can_be_named(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, [0, 2, 4], SeriesInstanceUID="1.1", SeriesNumber=3, SeriesDescription="Arterial")
    (tmp_path / "x").mkdir()
    write_series(tmp_path / "x", [1, 3], SeriesInstanceUID="1.2", SeriesNumber=4, SeriesDescription="Venous")
    for path in (tmp_path / "x").iterdir():
        shutil.move(path, tmp_path / f"venous{path.name}")
    with pytest.raises(InputError) as caught:
        io.read_volume(tmp_path)
    assert "2 series: '3: Arterial' (CT, 3 slices), '4: Venous' (CT, 2 slices)" in caught.value.message
    for wanted in ("4", "venous", "1.2"):
        assert io.read_volume(tmp_path, series=wanted).shape[0] == 2
    assert io.read_volume(tmp_path / "venous000.dcm").shape[0] == 2
    assert io.read_volume(tmp_path / "001.dcm").shape[0] == 3
    with pytest.raises(InputError, match="'9' names 0 of the series"):
        io.read_volume(tmp_path, series="9")


def test_localiser_beside_a_series_is_left_out(
    tmp_path: Path, write_series: Writer, write_slice: Writer, warned: Warned
) -> None:
    reporter, messages = warned
    write_series(tmp_path, [0, 2, 4])
    write_slice(tmp_path / "scout.dcm", np.zeros((20, 20), np.int16), (0, 0, 0), {"SeriesInstanceUID": "9"})
    assert io.read_volume(tmp_path, reporter).shape == (3, 6, 5)
    assert len(messages) == 1
    assert "left out" in messages[0]
    with pytest.raises(InputError, match="single 2D image"):
        io.read_volume(tmp_path / "scout.dcm")


@pytest.mark.parametrize("content", [b"", b"text\n", None], ids=["empty", "text", "truncated"])
def test_damaged_slice_is_named(tmp_path: Path, write_series: Writer, content: bytes | None) -> None:
    write_series(tmp_path, [0, 2, 4])
    path = tmp_path / "001.dcm"
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(InputError, match=r"damaged DICOM files: 1, the first being 001\.dcm"):
        io.read_volume(tmp_path)
    with pytest.raises(InputError, match=r"001\.dcm"):
        io.read_volume(path)


def test_reports_and_segmentations_in_the_folder_do_not_disturb(
    tmp_path: Path, write_series: Writer, warned: Warned
) -> None:
    from pydicom import dcmread
    from pydicom.uid import ComprehensiveSRStorage

    reporter, messages = warned
    write_series(tmp_path, [0, 2, 4, 6])
    report = dcmread(tmp_path / "003.dcm")
    del report.PixelData, report.Rows, report.Columns
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID = ComprehensiveSRStorage
    report.Modality = "SR"
    report.save_as(tmp_path / "003.dcm")
    (tmp_path / "LICENSE").write_text("free")
    assert io.read_volume(tmp_path, reporter).shape == (3, 6, 5)
    assert messages == []


def test_slices_that_gdcm_cannot_decode_are_read_by_pydicom(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, [0, 2, 4], RescaleSlope=2, RescaleIntercept=-5)
    expected = io.read_volume(tmp_path)

    def refuse(_: sitk.ImageFileReader) -> sitk.Image:
        raise RuntimeError("no codec")

    monkeypatch.setattr(sitk.ImageFileReader, "Execute", refuse)
    np.testing.assert_array_equal(io.read_volume(tmp_path).array, expected.array)


def test_file_with_all_slices_in_one(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 900, (4, 5, 6)).astype(np.uint16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.6, 2))
    image.SetOrigin((1, 2, 3))
    sitk.WriteImage(image, str(tmp_path / "all.dcm"))
    volume = io.read_volume(tmp_path / "all.dcm")
    np.testing.assert_array_equal(volume.array[0], array)
    np.testing.assert_allclose(
        volume.geometry.affine, [[0.5, 0, 0, 1], [0, 0.6, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]]
    )


def test_colour_pictures_are_refused(tmp_path: Path, write_series: Writer) -> None:
    from pydicom import dcmread

    write_series(tmp_path, [0, 2])
    for path in tmp_path.iterdir():
        data = dcmread(path)
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = bytes(6 * 5 * 3)
        data.save_as(path)
    with pytest.raises(InputError, match="colour picture"):
        io.read_volume(tmp_path)


def test_reading_can_be_stopped(tmp_path: Path, write_series: Writer) -> None:
    from medcontext.errors import CancelledError

    write_series(tmp_path, [0, 2, 4])
    with pytest.raises(CancelledError):
        io.read_volume(tmp_path, Reporter(cancelled=lambda: True))
