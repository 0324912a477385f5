"""What a case becomes opens again and says the same in every format; nothing half true stays behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch import exports, surfaces
from medcontext.batch.case import BatchCase
from medcontext.batch_ledger import Layout
from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.library import read_card

trimesh = pytest.importorskip("trimesh")
pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

SHA = "ab" * 32
ALL = exports.FORMATS
SHAPE = (12, 16, 14)
TILT = np.tan(np.radians(15))
AFFINE = np.array([[0.5, 0, 0, -3], [0, 0.8, 0, 4], [0, 0, 2, -10], [0, 0, 0, 1.0]])
IDENTIFIERS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.3",
    "PatientID": "P7",
    "PatientName": "Roe^Jane",
    "PatientSex": "F",
    "StudyDate": "20260102",
}


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return read_card(resolve("hippocampus"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "out")


def write_series(
    folder: Path, geometry: Geometry, places: Sequence[float] | None = None, **fields: Any
) -> tuple[Path, ...]:
    """A CT series on a grid, from the first place to the last; ``places`` are slices of it, also between two."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True)
    files = []
    for number, k in enumerate(range(geometry.shape[0]) if places is None else places):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{number:03d}.dcm"
        data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Modality, data.SeriesNumber = "CT", 1
        data.Rows, data.Columns = geometry.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.ImagePositionPatient = geometry.index_to_lps(np.array([k, 0, 0])).round(6).tolist()
        data.ImageOrientationPatient = geometry.direction[:, :2].T.ravel().round(6).tolist()
        data.PixelSpacing = [geometry.spacing[1], geometry.spacing[2]]
        data.PixelData = bytes(2 * data.Rows * data.Columns)
        for name, value in {**IDENTIFIERS, **fields}.items():
            setattr(data, name, value)
        data.save_as(path)
        files.append(path)
    return tuple(files)


def balls(geometry: Geometry) -> Volume:
    """Two touching half balls, labels 1 and 2, at one place in the patient whatever the grid."""
    places = geometry.index_to_lps(np.stack(np.indices(geometry.shape), -1))
    offset = places - np.array([0.5, 10.0, 1.0])
    inside = (offset**2).sum(-1) <= 3.0**2
    return Volume((inside * np.where(offset[..., 0] < 0.1, 1, 2))[None].astype(np.uint8), geometry)


def write(
    layout: Layout,
    card: ModelCard,
    case: BatchCase,
    labelmap: Volume,
    formats: tuple[str, ...] = ALL,
    *,
    certainty: Volume | None = None,
    native: Geometry | None = None,
) -> tuple[exports.Outputs, list[str]]:
    """Files written and warnings."""
    warnings: list[str] = []

    def sink(event: dict[str, Any]) -> None:
        if event["event"] == "warning":
            warnings.append(event["message"])

    written = exports.write_outputs(
        layout, case, labelmap, certainty, card, SHA, formats, native, Reporter(sink)
    )
    return written, warnings


def a_case(tmp_path: Path, geometry: Geometry, **fields: Any) -> BatchCase:
    files = write_series(tmp_path / "scan", geometry, **fields)
    return BatchCase("series-1", (files[0].parent,), files)


PLAIN = BatchCase("scan 1", (Path("scan 1.nii.gz"),))
GRID = Geometry(SHAPE, AFFINE)


def on_disk(layout: Layout) -> set[Path]:
    return {path for path in layout.root.rglob("*") if path.is_file()}


def placed(path: Path, geometry: Geometry) -> np.ndarray:
    """The segments of a DICOM SEG as a labelmap ``(K, J, I)``, put there by the places its frames state."""
    data = highdicom.seg.segread(path)
    shared = data.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = np.zeros(geometry.shape, np.uint8)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    for frame, group in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        j, i = np.nonzero(frame)
        index = geometry.lps_to_index(origin + i[:, None] * axes[0] * columns + j[:, None] * axes[1] * rows)
        np.testing.assert_allclose(index, index.round(), atol=1e-3)
        found[tuple(index.round().astype(int).T)] = number
    return found


def test_every_format_opens_again_and_says_the_same(tmp_path: Path, layout: Layout, card: ModelCard) -> None:
    case, labelmap = a_case(tmp_path, GRID), balls(GRID)
    sure = Volume(np.full((1, *SHAPE), 200, np.uint8), GRID)
    written, warnings = write(layout, card, case, labelmap, certainty=sure)
    assert warnings == []
    assert {path for paths in written.values() for path in paths} == on_disk(layout)
    assert written == exports.targets(layout, case, card, ALL, certainty=True)

    plain = io.read_labelmap(written["nii.gz"][0], GRID)
    np.testing.assert_array_equal(plain.array, labelmap.array)
    segmentation, labels = io.read_segmentation(written["seg.nrrd"][0])
    np.testing.assert_array_equal(segmentation.array, labelmap.array)
    assert segmentation.geometry.same_grid(GRID)
    assert labels == card.label_set
    np.testing.assert_array_equal(placed(written["dicom-seg"][0], GRID), labelmap.array[0])
    np.testing.assert_array_equal(io.read_volume(written["certainty"][0]).array, sure.array)
    for form in ("stl", "obj"):
        assert [path.stem for path in written[form]] == ["Anterior", "Posterior"]
        for value, path in enumerate(written[form], start=1):
            voxels = float((labelmap.array == value).sum()) * 0.5 * 0.8 * 2
            assert trimesh.load(path).volume == pytest.approx(voxels, rel=0.25)  # three voxels across


def test_a_dicom_seg_belongs_to_its_series(tmp_path: Path, layout: Layout, card: ModelCard) -> None:
    case = a_case(tmp_path, GRID)
    written, _ = write(layout, card, case, balls(GRID), ("dicom-seg",))
    data = highdicom.seg.segread(written["dicom-seg"][0])
    for key in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert data[key].value == IDENTIFIERS[key]
    (referenced,) = data.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == IDENTIFIERS["SeriesInstanceUID"]
    known = {pydicom.dcmread(file).SOPInstanceUID for file in case.series}
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} <= known
    assert data.SeriesInstanceUID != IDENTIFIERS["SeriesInstanceUID"]
    assert [item.SegmentLabel for item in data.SegmentSequence] == ["Anterior", "Posterior"]
    algorithm = data.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == card.title
    assert f"model sha256={SHA}" in algorithm.AlgorithmParameters


def test_a_deskewed_scan_goes_back_onto_its_planes(tmp_path: Path, layout: Layout, card: ModelCard) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 2 * TILT  # each plane lies further back, as under a tilted gantry
    affine[1, 3] = 1.0
    native = Geometry(SHAPE, affine)
    upright = Geometry((12, 20, 14), AFFINE)
    case = a_case(tmp_path, native)
    written, warnings = write(layout, card, case, balls(upright), ("dicom-seg", "nii.gz"), native=native)
    assert warnings == []
    found, truth = placed(written["dicom-seg"][0], native), balls(native).array[0]
    for value in (1, 2):
        both = np.count_nonzero((found == value) & (truth == value))
        assert 2 * both / (np.count_nonzero(found == value) + np.count_nonzero(truth == value)) > 0.85
    np.testing.assert_array_equal(io.read_labelmap(written["nii.gz"][0]).array, balls(upright).array)


@pytest.mark.parametrize("backwards", [False, True], ids=["as counted", "files in the other order"])
def test_uneven_slices_take_what_lies_nearest(
    backwards: bool, tmp_path: Path, layout: Layout, card: ModelCard
) -> None:
    places = [0, 1, 2, 3, 4.4, 5, 6.2, 7, 8, 9.6, 11]
    files = write_series(tmp_path / "scan", GRID, places)
    case = BatchCase("series-1", (files[0].parent,), files[::-1] if backwards else files)
    even = io.read_volume(files[0].parent).geometry
    assert even.shape[0] != len(places)
    written, warnings = write(layout, card, case, balls(even), ("dicom-seg",))
    assert warnings == []
    data = highdicom.seg.segread(written["dicom-seg"][0])
    found = 0
    for frame, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        place = GRID.lps_to_index(group.PlanePositionSequence[0].ImagePositionPatient)[0]
        plane = GRID.cropped((0, 0, 0), GRID.shape).affine.copy()
        plane[:3, 3] = GRID.index_to_lps(np.array([place, 0, 0]))
        value = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        wanted = balls(Geometry((1, *SHAPE[1:]), plane)).array[0, 0] == value
        assert min(abs(place - known) for known in places) < 1e-3
        assert (
            np.count_nonzero(wanted != frame.astype(bool)) <= 12
        )  # half a slice further on the ball is other
        found += np.count_nonzero(wanted & frame.astype(bool))
    assert found > 0.8 * np.count_nonzero(balls(GRID).array) * len(places) / SHAPE[0]


def test_nothing_found_leaves_nothing_of_an_earlier_result(
    tmp_path: Path, layout: Layout, card: ModelCard
) -> None:
    case = a_case(tmp_path, GRID)
    write(layout, card, case, balls(GRID))
    one = balls(GRID)
    one.array[one.array == 2] = 0
    written, warnings = write(layout, card, case, one)
    assert warnings == []
    assert [path.name for path in written["stl"]] == ["Anterior.stl"]
    assert not layout.surface(case.id, "Posterior", "stl").exists()
    written, warnings = write(layout, card, case, Volume(np.zeros_like(one.array), GRID))
    assert warnings == ["No DICOM SEG was written: nothing was found, and DICOM has no empty segmentation."]
    assert written["dicom-seg"] == written["stl"] == written["obj"] == []
    assert on_disk(layout) == {layout.segmentation(case.id, form) for form in ("nii.gz", "seg.nrrd")}
    _, labels = io.read_segmentation(layout.segmentation(case.id, "seg.nrrd"))
    assert labels == card.label_set


def test_a_scan_that_is_no_dicom_has_the_other_formats_and_a_warning(layout: Layout, card: ModelCard) -> None:
    written, (warning,) = write(layout, card, PLAIN, balls(GRID))
    assert "no DICOM series" in warning
    assert written["dicom-seg"] == []
    assert all(written[form] for form in ALL if form != "dicom-seg")
    assert exports.without_dicom_seg([PLAIN], ALL) == [PLAIN]
    assert exports.without_dicom_seg([PLAIN], ["nii.gz"]) == []


def test_a_case_that_can_have_nothing_fails(layout: Layout, card: ModelCard) -> None:
    with pytest.raises(InputError, match="no DICOM series") as caught:
        write(layout, card, PLAIN, balls(GRID), ("dicom-seg",))
    assert "--format nii.gz" in caught.value.hint
    assert not layout.root.exists()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"FrameOfReferenceUID": ""}, "FrameOfReferenceUID"), ({"StudyInstanceUID": ""}, "StudyInstanceUID")],
    ids=["no frame of reference", "no study"],
)
def test_a_series_without_identifiers_has_the_other_formats(
    fields: dict[str, Any], reason: str, tmp_path: Path, layout: Layout, card: ModelCard
) -> None:
    case = a_case(tmp_path, GRID, **fields)
    written, (warning,) = write(layout, card, case, balls(GRID), ("nii.gz", "dicom-seg"))
    assert warning.startswith("No DICOM SEG was written.")
    assert reason in warning
    assert on_disk(layout) == set(written["nii.gz"])


def test_a_place_that_cannot_be_written_is_no_warning(
    tmp_path: Path, layout: Layout, card: ModelCard
) -> None:
    case = a_case(tmp_path, GRID)
    layout.root.mkdir()
    layout.dicom(case.id).parent.write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write(layout, card, case, balls(GRID), ("nii.gz", "dicom-seg"))


def test_formats_are_checked_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    exports.check_formats(ALL)
    with pytest.raises(InputError, match="no format 'nifti'"):
        exports.check_formats(["nii.gz", "nifti"])
    monkeypatch.setattr(surfaces, "find_spec", lambda _: None)
    exports.check_formats(["nii.gz", "seg.nrrd", "dicom-seg"])
    with pytest.raises(InputError, match="scikit-image and trimesh"):
        exports.check_formats(["nii.gz", "obj"])
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match="highdicom"):
        exports.check_formats(["dicom-seg"])


def test_files_hold_the_model_and_no_patient(layout: Layout, card: ModelCard, tmp_path: Path) -> None:
    case = a_case(tmp_path, GRID)
    written, _ = write(layout, card, case, balls(GRID))
    assert SHA.encode() in written["seg.nrrd"][0].read_bytes()
    private = [b"Roe", b"P7", str(tmp_path).encode()]
    for path in on_disk(layout) - set(written["dicom-seg"]):
        head = path.read_bytes()[:2000]
        assert not any(text in head for text in private), json.dumps(str(path))
