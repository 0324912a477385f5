"""A DICOM SEG lies voxel for voxel on its scan, belongs to the same patient and study, and is coded."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import Code, Label, LabelSet, Terminology

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

from medcontext.io.dicom_codes import Algorithm  # noqa: E402
from medcontext.io.dicom_seg import write_dicom_seg  # noqa: E402

Writer = Callable[..., None]
IDENTIFIERS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.3",
    "PatientID": "P7",
    "PatientName": "Müller^Zoë",
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientSex": "F",
    "StudyDate": "20260102",
    "SeriesDescription": "Head",
}
KIDNEY = Terminology(
    Code("SCT", "123037004", "Anatomical Structure"),
    Code("SCT", "64033007", "Kidney"),
    Code("SCT", "7771000", "Left"),
    Code("SCT", "818983003", "Abdomen"),
)
LABELS = LabelSet(
    (
        Label(2, "left kidney", (185, 102, 83), KIDNEY),
        Label(7, "Läsion 病変", (0, 255, 0)),
        Label(9, "never there", (1, 2, 3)),
    )
)
MODEL = Algorithm("Kidneys 3D", "1.2.0", {"sha256": "abc", "device": "CPU"})
OBLIQUE = [0.8, 0.6, 0.0, -0.6, 0.8, 0.0]


@pytest.fixture
def series(tmp_path: Path, write_series: Writer) -> list[Path]:
    """Four slices of 6 x 5, written from the third to the first place to the last."""
    write_series(tmp_path / "scan", [4, 0, 6, 2], **IDENTIFIERS)
    return sorted((tmp_path / "scan").iterdir())


def grid(files: list[Path]) -> Geometry:
    return io.read_volume(files[0].parent).geometry


def speckled(geometry: Geometry, seed: int = 0) -> Volume:
    """A labelmap without any symmetry."""
    values = np.random.default_rng(seed).choice([0, 0, 2, 7], size=(1, *geometry.shape))
    return Volume(values.astype(np.uint8), geometry)


def read_back(path: Path, geometry: Geometry) -> dict[int, np.ndarray]:
    """Mask of each segment on a grid, put there by the positions that the file gives for its frames."""
    data = pydicom.dcmread(path)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = {int(item.SegmentNumber): np.zeros(geometry.shape, bool) for item in data.SegmentSequence}
    for frame, group in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        j, i = np.nonzero(frame)
        places = origin + i[:, None] * axes[0] * columns + j[:, None] * axes[1] * rows
        index = geometry.lps_to_index(places)
        np.testing.assert_allclose(index, index.round(), atol=1e-3)
        found[number][tuple(index.round().astype(int).T)] = True
    return found


def assert_same(path: Path, labelmap: Volume, values: tuple[int, ...] = (2, 7)) -> None:
    found = read_back(path, labelmap.geometry)
    assert sorted(found) == list(range(1, len(values) + 1))
    for number, value in enumerate(values, start=1):
        np.testing.assert_array_equal(found[number], (labelmap.array == value).any(axis=0))


def test_voxels_come_back_where_they_were(series: list[Path], tmp_path: Path) -> None:
    labelmap = speckled(grid(series))
    written = write_dicom_seg(tmp_path / "out.dcm", labelmap, LABELS, series, MODEL)
    assert_same(tmp_path / "out.dcm", labelmap)
    assert written.written == ("left kidney", "Läsion 病変")
    assert written.empty == ("never there",)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_axes_in_any_order_and_direction(series: list[Path], tmp_path: Path, axes: Any) -> None:
    labelmap = speckled(grid(series))
    for flips in ((), (0,), (1, 2), (0, 1, 2)):
        turned = labelmap.permute(axes).flip(flips)
        write_dicom_seg(tmp_path / "out.dcm", turned, LABELS, series, MODEL)
        assert_same(tmp_path / "out.dcm", labelmap)


def test_oblique_scan(series: list[Path], tmp_path: Path) -> None:
    for path in series:
        data = pydicom.dcmread(path)
        data.ImageOrientationPatient = OBLIQUE
        data.save_as(path)
    labelmap = speckled(grid(series))
    write_dicom_seg(tmp_path / "out.dcm", labelmap, LABELS, series, MODEL)
    assert_same(tmp_path / "out.dcm", labelmap)


def test_part_of_a_scan_and_rounded_headers(series: list[Path], tmp_path: Path) -> None:
    whole = speckled(grid(series))
    whole.array[:, :1] = whole.array[:, :, 4:] = whole.array[..., :2] = 0
    part = whole.crop((1, 0, 2), (3, 4, 3))
    shifted = part.geometry.affine.copy()
    shifted[:3, 3] += 0.01
    part = Volume(part.array, Geometry(part.shape, shifted))
    write_dicom_seg(tmp_path / "out.dcm", part, LABELS, series, MODEL)
    assert_same(tmp_path / "out.dcm", whole)


def test_segments_that_overlap(series: list[Path], tmp_path: Path) -> None:
    geometry = grid(series)
    layers = np.zeros((2, *geometry.shape), np.uint8)
    layers[0, 1:3, 1:5] = 2
    layers[1, 2:, 2:4] = 7
    write_dicom_seg(tmp_path / "out.dcm", Volume(layers, geometry), LABELS, series, MODEL)
    assert_same(tmp_path / "out.dcm", Volume(layers, geometry))
    assert pydicom.dcmread(tmp_path / "out.dcm").SegmentsOverlap == "YES"


def test_patient_study_and_references(series: list[Path], tmp_path: Path) -> None:
    write_dicom_seg(tmp_path / "out.dcm", speckled(grid(series)), LABELS, series, MODEL)
    data = pydicom.dcmread(tmp_path / "out.dcm")
    for key in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientSex", "StudyDate"):
        assert data.get(key) == IDENTIFIERS[key]
    assert data.PatientName == "Müller^Zoë"
    assert data.Modality == "SEG"
    assert data.SegmentationType == "BINARY"
    assert data.SeriesInstanceUID != IDENTIFIERS["SeriesInstanceUID"]
    assert data.SeriesDescription == "Kidneys 3D"
    assert data.ContentCreatorName == "MedContext"
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SpacingBetweenSlices == 2
    referenced = data.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == IDENTIFIERS["SeriesInstanceUID"]
    expected = {pydicom.dcmread(path).SOPInstanceUID for path in series}
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == expected


def test_segments_are_coded_coloured_and_say_what_made_them(series: list[Path], tmp_path: Path) -> None:
    write_dicom_seg(
        tmp_path / "out.dcm", speckled(grid(series)), LABELS, series, MODEL, by_hand=frozenset({7})
    )
    kidney, lesion = pydicom.dcmread(tmp_path / "out.dcm").SegmentSequence
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeValue, kind.CodeMeaning) == ("SCT", "64033007", "Kidney")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    assert kidney.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
    assert kidney.AnatomicRegionSequence[0].CodeMeaning == "Abdomen"
    assert kidney.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = kidney.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Kidneys 3D", "1.2.0")
    assert "abc" in str(algorithm.AlgorithmParameters)
    assert highdicom.color.CIELabColor.from_dicom_value(
        tuple(kidney.RecommendedDisplayCIELabValue)
    ).to_rgb() == (185, 102, 83)
    assert lesion.SegmentLabel == "Läsion 病変"
    assert lesion.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    assert lesion.SegmentAlgorithmType == "MANUAL"
    assert "SegmentationAlgorithmIdentificationSequence" not in lesion
    assert kidney.TrackingUID != lesion.TrackingUID


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (0, 255, 0), (12, 34, 56), (255, 0, 255)])
def test_colour_survives(color: tuple[int, int, int]) -> None:
    from medcontext.io.dicom_codes import _cielab

    assert highdicom.color.CIELabColor(*_cielab(color)).to_rgb() == color


def test_file_holds_what_other_readers_need(series: list[Path], tmp_path: Path) -> None:
    labelmap = speckled(grid(series))
    write_dicom_seg(tmp_path / "out.dcm", labelmap, LABELS, series, MODEL)
    segmentation = highdicom.seg.segread(tmp_path / "out.dcm")
    volume = segmentation.get_volume(combine_segments=True)
    affine = np.asarray(volume.affine)
    for k, j, i in itertools.product(*(range(n) for n in labelmap.shape)):
        place = labelmap.geometry.index_to_lps(np.array([k, j, i]))
        index = np.linalg.solve(affine, [*place, 1])[:3].round().astype(int)
        assert volume.array[tuple(index)] == {0: 0, 2: 1, 7: 2}[int(labelmap.array[0, k, j, i])]


def test_one_file_that_holds_all_slices(tmp_path: Path) -> None:
    path = tmp_path / "enhanced.dcm"
    heights = [4.0, 0.0, 2.0]
    _write_multiframe(path, heights)
    geometry = Geometry.from_spacing((3, 6, 5), (2.0, 0.8, 0.5))
    labelmap = speckled(geometry)
    write_dicom_seg(tmp_path / "out.dcm", labelmap, LABELS, [path], MODEL)
    assert_same(tmp_path / "out.dcm", labelmap)


def _write_multiframe(path: Path, heights: list[float]) -> None:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

    def item(**fields: Any) -> Dataset:
        data = Dataset()
        for key, value in fields.items():
            setattr(data, key, value)
        return data

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = EnhancedCTImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesNumber = "CT", 1
    for key, value in IDENTIFIERS.items():
        setattr(data, key, value)
    data.Rows, data.Columns, data.NumberOfFrames = 6, 5, len(heights)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    orientation = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    measures = item(PixelSpacing=[0.8, 0.5], SliceThickness=2)
    data.SharedFunctionalGroupsSequence = [
        item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[measures])
    ]
    data.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0.0, 0.0, z])]) for z in heights
    ]
    data.PixelData = np.zeros((len(heights), 6, 5), "<i2").tobytes()
    data.save_as(path)


@pytest.mark.parametrize("study", ["mr_hippocrop_study1", "mr_hippocrop_study2"])
def test_real_mr(shared_data: Path, tmp_path: Path, study: str) -> None:
    files = sorted((shared_data / "dicom_oddities" / study).glob("*.dcm"))
    labelmap = speckled(grid(files))
    write_dicom_seg(tmp_path / "out.dcm", labelmap, LABELS, files, MODEL)
    assert_same(tmp_path / "out.dcm", labelmap)


def test_real_ct_with_its_organs(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ct_dicom_torso"
    labelmap = io.read_labelmap(next((folder / "labels").glob("*.nii.gz")))
    values = tuple(int(v) for v in np.unique(labelmap.array) if v)
    labels = LabelSet.from_names({value: f"organ {value}" for value in values})
    files = sorted((folder / "dicom").glob("*.dcm"))
    write_dicom_seg(tmp_path / "out.dcm", labelmap, labels, files, MODEL)
    assert_same(tmp_path / "out.dcm", labelmap, values)


def test_series_without_identifiers_is_refused(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "dicom_oddities/ct_empty_uids").glob("*.dcm"))
    with pytest.raises(
        InputError, match=r"lacks what a DICOM segmentation must refer to: .*StudyInstanceUID"
    ):
        write_dicom_seg(tmp_path / "out.dcm", speckled(grid(files)), LABELS, files, MODEL)


def test_tilted_and_uneven_series_is_refused(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "dicom_oddities/ct_head_ge_gantry_tilt").glob("*.dcm"))
    with pytest.raises(InputError, match=r"unevenly spaced.*seg\.nrrd"):
        write_dicom_seg(tmp_path / "out.dcm", speckled(grid(files)), LABELS, files, MODEL)


def test_tilted_series_takes_what_lies_on_its_slices_only(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "dicom_oddities/ct_head_ge_gantry_tilt").glob("*.dcm"))[:8]
    for path in files:
        shutil.copy(path, tmp_path / path.name)
    even = [tmp_path / path.name for path in files]
    geometry = grid(even)
    labelmap = speckled(geometry)
    write_dicom_seg(tmp_path / "out.dcm", labelmap, LABELS, even, MODEL)
    assert_same(tmp_path / "out.dcm", labelmap)
    upright = geometry.affine.copy()
    upright[:3, 2] = np.cross(upright[:3, 0], upright[:3, 1]) * 4
    with pytest.raises(InputError, match="other voxels"):
        write_dicom_seg(
            tmp_path / "2.dcm", Volume(labelmap.array, Geometry(geometry.shape, upright)), LABELS, even, MODEL
        )


def test_other_grids_are_refused(series: list[Path], tmp_path: Path) -> None:
    geometry = grid(series)
    for affine in (
        geometry.affine @ np.diag([2.0, 1, 1, 1]),
        geometry.affine @ np.array([[1, 0, 0, 0.4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        geometry.affine @ np.array([[1, 0.1, 0, 0], [-0.1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ):
        with pytest.raises(InputError, match=r"'Head' .* other voxels than the segmentation"):
            write_dicom_seg(
                tmp_path / "o.dcm", speckled(Geometry(geometry.shape, affine)), LABELS, series, MODEL
            )
    wide = speckled(geometry.cropped((0, 0, -3), (4, 6, 8)))
    with pytest.raises(InputError, match="does not reach as far"):
        write_dicom_seg(tmp_path / "o.dcm", wide, LABELS, series, MODEL)
    assert not (tmp_path / "o.dcm").exists()


def test_files_that_are_no_series(series: list[Path], tmp_path: Path, write_series: Writer) -> None:
    labelmap = speckled(grid(series))
    (tmp_path / "text.dcm").write_text("no DICOM")
    write_series(tmp_path / "b", [8], **{**IDENTIFIERS, "SeriesInstanceUID": "1.2.9"})
    write_series(tmp_path / "c", [2], **IDENTIFIERS)
    for files, message in (
        ([], "No DICOM file"),
        ([tmp_path / "text.dcm"], "cannot be read as DICOM"),
        ([tmp_path / "gone.dcm"], "cannot be read as DICOM"),
        ([*series, *(tmp_path / "b").iterdir()], "not of one series"),
        ([*series, *(tmp_path / "c").iterdir()], "several images at the same place"),
        (series[:1], "single image"),
    ):
        with pytest.raises(InputError, match=message):
            write_dicom_seg(tmp_path / "o.dcm", labelmap, LABELS, files, MODEL)


def test_labelmaps_that_cannot_be_written(series: list[Path], tmp_path: Path) -> None:
    geometry = grid(series)
    labelmap = speckled(geometry)
    with pytest.raises(InputError, match=r"values without a label: \[7\]"):
        write_dicom_seg(tmp_path / "o.dcm", labelmap, LabelSet(LABELS.labels[:1]), series, MODEL)
    with pytest.raises(InputError, match="all segments are empty"):
        write_dicom_seg(
            tmp_path / "o.dcm", Volume(np.zeros_like(labelmap.array), geometry), LABELS, series, MODEL
        )
    with pytest.raises(InputError, match="whole numbers"):
        write_dicom_seg(
            tmp_path / "o.dcm", Volume(labelmap.array.astype(np.float32), geometry), LABELS, series, MODEL
        )
    with pytest.raises(InputError, match=r"does not end in \.dcm"):
        write_dicom_seg(tmp_path / "o.seg", labelmap, LABELS, series, MODEL)


def test_place_that_cannot_be_written(series: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_dicom_seg(tmp_path / "file" / "o.dcm", speckled(grid(series)), LABELS, series, MODEL)


def test_without_highdicom_one_sentence(series: list[Path], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match="needs the package highdicom"):
        write_dicom_seg(tmp_path / "o.dcm", speckled(grid(series)), LABELS, series, MODEL)
