"""Exported files hold what is on the screen, and the scene is as before. Real MRML, real worker, real DICOM."""

from __future__ import annotations

import csv
import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext import io
from medcontext.errors import CancelledError, InputError, ResourceError
from MedContextSegmentLib.Export.Export import ExportRun, export, exporters
from MedContextSegmentLib.Scene.Terminology import setTerminology
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

SHAPE = (9, 10, 11)
RAS_TO_LPS = np.diag([-1.0, -1, 1, 1])
OBLIQUE = np.array([[0.8, -1.2, 0, 5], [0.6, 1.6, 0, -7], [0, 0, -3.0, 11], [0, 0, 0, 1]])
KIDNEY = {
    "category": {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"},
    "type": {"scheme": "SCT", "value": "64033007", "meaning": "Kidney"},
    "modifier": {"scheme": "SCT", "value": "7771000", "meaning": "Left"},
}


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess()
    yield process
    process.close()


@pytest.fixture
def volume() -> Any:
    node = slicer.util.addVolumeFromArray(np.arange(990, dtype=np.int16).reshape(SHAPE), name="scan")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(OBLIQUE))
    return node


def mask(*box: tuple[int, int], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(*side) for side in box)] = 1
    return array


FIRST = mask((1, 4), (2, 8), (3, 9))
SECOND = mask((5, 8), (0, 4), (0, 5))
ACROSS = mask((3, 6), (1, 9), (2, 10))


def addSegmentation(volume: Any, *masks: np.ndarray, values: tuple[int, ...] = ()) -> Any:
    """A segmentation with segments 'part 0' and so on; those with a value are a model's."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    for number, array in enumerate(masks):
        name = f"part {number}"
        segmentId = node.GetSegmentation().AddEmptySegment("", name, [0.2 * number, 0.4, 0.6])
        if array.any():
            slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volume)
        segment = node.GetSegmentation().GetSegment(segmentId)
        if number < len(values):
            segment.SetTag("MedContext.Model", "test@abc")
            segment.SetTag("MedContext.Label", str(values[number]))
    return node


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# NIfTI


def test_nifti_holds_the_models_values_on_the_scans_grid(volume: Any, tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST, SECOND, values=(7, 3))
    setTerminology(node.GetSegmentation().GetNthSegment(0), KIDNEY)
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    files = export(node, volume, "nifti", tmp_path / "out.nii.gz")
    assert [file.name for file in files] == ["out.nii.gz", "out.labels.csv"]
    read = io.read_labelmap(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(read.array[0], 7 * FIRST + 3 * SECOND)
    np.testing.assert_allclose(read.geometry.affine, RAS_TO_LPS @ OBLIQUE, atol=1e-4)
    table = rows(tmp_path / "out.labels.csv")
    assert [(row["value"], row["name"], row["type"]) for row in table] == [
        ("7", "part 0", "SCT:64033007"),
        ("3", "part 1", "SCT:85756007"),
    ]
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.labels.csv", "out.nii.gz"]


def test_segments_made_by_hand_get_free_values(volume: Any, tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST, SECOND, mask((8, 9), (9, 10), (9, 11)), values=(2,))
    export(node, volume, "nifti", tmp_path / "out.nii.gz")
    assert [row["value"] for row in rows(tmp_path / "out.labels.csv")] == ["2", "1", "3"]


def test_segments_that_overlap_become_several_files(volume: Any, tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST, SECOND, ACROSS)
    run = ExportRun(node, volume, "nifti", tmp_path / "out.nii.gz")
    while run.poll():
        pass
    assert run.error is None
    assert [file.name for file in run.files] == ["out.nii.gz", "out-2.nii.gz", "out.labels.csv"]
    assert "overlap" in run.notes[0]
    for row, array in zip(rows(tmp_path / "out.labels.csv"), (FIRST, SECOND, ACROSS), strict=True):
        read = io.read_labelmap(tmp_path / row["file"]).array[0]
        np.testing.assert_array_equal(read == int(row["value"]), array)


def test_result_below_the_scans_transform_is_not_resampled(volume: Any, tmp_path: Path) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turn = np.array([[0.9, -0.43, 0, 12.3], [0.43, 0.9, 0, -4.7], [0, 0, 1, 3.3], [0, 0, 0, 1]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turn))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = addSegmentation(volume, FIRST)
    export(node, volume, "nifti", tmp_path / "out.nii.gz")
    read = io.read_labelmap(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(read.array[0], FIRST)
    np.testing.assert_allclose(read.geometry.affine, RAS_TO_LPS @ OBLIQUE, atol=1e-4)


def test_result_in_world_space_comes_back_onto_the_scan(volume: Any, tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[:3, 3] = OBLIQUE[:3, 0] * 2
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    export(node, volume, "nifti", tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(
        io.read_labelmap(tmp_path / "out.nii.gz").array[0], np.roll(FIRST, -2, axis=2)
    )


def test_surface_segment_is_exported_and_stays_a_surface(volume: Any, tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST)
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.GetSegmentation().RemoveRepresentation("Binary labelmap")
    export(node, volume, "nifti", tmp_path / "out.nii.gz")
    read = io.read_labelmap(tmp_path / "out.nii.gz").array[0]
    assert 2 * (read & FIRST).sum() / (read.sum() + FIRST.sum()) > 0.7
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_sheared_scan_is_refused_by_nifti_only(volume: Any, tmp_path: Path) -> None:
    sheared = OBLIQUE.copy()
    sheared[:3, 2] += [0.5, 0, 0]
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(sheared))
    node = addSegmentation(volume, FIRST)
    with pytest.raises(InputError, match="sheared"):
        export(node, volume, "nifti", tmp_path / "out.nii.gz")
    assert list(tmp_path.iterdir()) == []


# .seg.nrrd


def test_seg_nrrd_keeps_everything_and_the_node_keeps_its_file(volume: Any, tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST, ACROSS, values=(4, 5))
    setTerminology(node.GetSegmentation().GetNthSegment(0), KIDNEY)
    slicer.util.saveNode(node, str(tmp_path / "own.seg.nrrd"), {})
    assert not node.GetModifiedSinceRead()
    storage = node.GetStorageNode()
    assert export(node, None, "seg.nrrd", tmp_path / "for others.seg.nrrd") == (
        tmp_path / "for others.seg.nrrd",
    )
    assert node.GetStorageNode() is storage
    assert Path(storage.GetFileName()).name == "own.seg.nrrd"
    assert not node.GetModifiedSinceRead()
    loaded = slicer.util.loadSegmentation(str(tmp_path / "for others.seg.nrrd"), {})
    for number, array in enumerate((FIRST, ACROSS)):
        segment = loaded.GetSegmentation().GetNthSegment(number)
        assert segment.GetName() == f"part {number}"
        found = slicer.util.arrayFromSegmentBinaryLabelmap(
            loaded, loaded.GetSegmentation().GetNthSegmentID(number), volume
        )
        np.testing.assert_array_equal(found, array)


# DICOM SEG


@pytest.fixture
def scan(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real MR as Slicer loads it from its DICOM database."""
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    files = sorted((shared_data / "dicom_oddities/mr_hippocrop_study1").glob("*.dcm"))
    known = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): str(path) for path in files}
    database = SimpleNamespace(fileForInstance=lambda uid: known.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node = slicer.util.loadVolume(str(files[0]), {})
    node.SetAttribute("DICOM.instanceUIDs", " ".join(known))
    return node


def logicWith(worker: WorkerProcess) -> Any:
    return SimpleNamespace(worker=worker)


def test_dicom_seg_lies_on_the_scan(scan: Any, worker: WorkerProcess, tmp_path: Path) -> None:
    import pydicom

    shape = slicer.util.arrayFromVolume(scan).shape
    first = mask((2, 9), (5, 30), (4, 20), shape=shape)
    second = mask((7, 20), (10, 20), (10, 33), shape=shape)
    node = addSegmentation(scan, first, second, np.zeros(shape, np.uint8), values=(6,))
    node.SetAttribute("MedContext.ModelTitle", "Test model")
    node.SetAttribute("MedContext.ModelVersion", "1.2")
    run = ExportRun(node, scan, "dicom_seg", tmp_path / "out.dcm", worker)
    while run.poll():
        pass
    assert run.error is None
    assert run.files == (tmp_path / "out.dcm",)
    assert "part 2" in run.notes[0]
    data = pydicom.dcmread(tmp_path / "out.dcm")
    assert [item.SegmentLabel for item in data.SegmentSequence] == ["part 0", "part 1"]
    assert [item.SegmentAlgorithmType for item in data.SegmentSequence] == ["AUTOMATIC", "MANUAL"]
    algorithm = data.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Test model", "1.2")
    ijkToLps = RAS_TO_LPS @ slicer.util.arrayFromVTKMatrix(_ijkToRas(scan))
    found = {1: np.zeros(shape, np.uint8), 2: np.zeros(shape, np.uint8)}
    for frame, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        place = [*map(float, group.PlanePositionSequence[0].ImagePositionPatient), 1]
        i, j, k, _ = np.linalg.solve(ijkToLps, place)
        # Slicer keeps the rows and columns of DICOM and the order of the slices.
        assert (round(i), round(j)) == (0, 0)
        found[number][round(k)] = frame
    np.testing.assert_array_equal(found[1], first)
    np.testing.assert_array_equal(found[2], second)


def _ijkToRas(node: Any) -> Any:
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_cancelled_dicom_seg_leaves_nothing(scan: Any, worker: WorkerProcess, tmp_path: Path) -> None:
    shape = slicer.util.arrayFromVolume(scan).shape
    node = addSegmentation(scan, mask((2, 9), (5, 30), (4, 20), shape=shape))
    run = ExportRun(node, scan, "dicom_seg", tmp_path / "out.dcm", worker)
    for _ in range(3):
        assert run.poll()
    run.cancel()
    assert isinstance(run.error, CancelledError)
    assert not run.poll()
    assert list(tmp_path.iterdir()) == []
    assert not list(Path(slicer.app.temporaryPath).glob("medcontext-exchange-*"))


def test_scene_closed_during_an_export(volume: Any, tmp_path: Path) -> None:
    run = ExportRun(addSegmentation(volume, FIRST, ACROSS), volume, "nifti", tmp_path / "out.nii.gz")
    assert run.poll()
    slicer.mrmlScene.Clear(False)
    assert not run.poll()
    assert isinstance(run.error, InputError)
    assert "has been removed" in run.error.message
    assert list(tmp_path.iterdir()) == []


def test_dicom_files_that_are_gone(scan: Any, worker: WorkerProcess, tmp_path: Path) -> None:
    shape = slicer.util.arrayFromVolume(scan).shape
    node = addSegmentation(scan, mask((2, 9), (5, 30), (4, 20), shape=shape))
    scan.SetAttribute("DICOM.instanceUIDs", scan.GetAttribute("DICOM.instanceUIDs") + " 1.2.3")
    with pytest.raises(InputError, match="1 of the 33 DICOM files"):
        export(node, scan, "dicom_seg", tmp_path / "out.dcm", logicWith(worker))


def test_scan_moved_onto_other_voxels(scan: Any, worker: WorkerProcess, tmp_path: Path) -> None:
    shape = slicer.util.arrayFromVolume(scan).shape
    scan.SetSpacing(1.5, 1, 1)
    node = addSegmentation(scan, mask((2, 9), (5, 30), (4, 20), shape=shape))
    with pytest.raises(InputError, match="other voxels than the segmentation"):
        export(node, scan, "dicom_seg", tmp_path / "out.dcm", logicWith(worker))


# RTSTRUCT


class Exportable:
    """What a DICOM plugin of Slicer hands out."""

    def __init__(self, item: int) -> None:
        self.item = item
        self.directory = ""
        self.tags: dict[str, str] = {}

    def setTag(self, name: str, value: str) -> None:
        self.tags[name] = value


class RtPlugin:
    """Stands in for SlicerRT's plugin, which writes its files with Plastimatch."""

    message = ""
    seen: list[Exportable] = []  # noqa: RUF012

    def examineForExport(self, item: int) -> list[Exportable]:
        return [Exportable(item)]

    def export(self, exportables: list[Exportable]) -> str:
        type(self).seen = exportables
        if not self.message:
            (Path(exportables[0].directory) / "rtss.dcm").write_bytes(b"x")
        return self.message


@pytest.fixture
def rt(monkeypatch: pytest.MonkeyPatch) -> type[RtPlugin]:
    plugin = type("Plugin", (RtPlugin,), {})
    monkeypatch.setattr(slicer.modules, "dicomPlugins", {"DicomRtImportExportPlugin": plugin}, raising=False)
    return plugin


def test_rtstruct_goes_through_slicerrt(volume: Any, rt: type[RtPlugin], tmp_path: Path) -> None:
    node = addSegmentation(volume, FIRST)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Someone")
    study = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.SetItemAttribute(patient, "DICOM.PatientID", "P7")
    hierarchy.SetItemAttribute(study, "DICOM.StudyDate", "20260102")
    for data in (volume, node):
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(data), study)
    assert export(node, volume, "rtstruct", tmp_path / "rt") == (tmp_path / "rt" / "rtss.dcm",)
    assert [entry.item for entry in rt.seen] == [hierarchy.GetItemByDataNode(n) for n in (volume, node)]
    for entry in rt.seen:
        assert (entry.tags["PatientID"], entry.tags["StudyDate"]) == ("P7", "20260102")
    with pytest.raises(InputError, match="not empty"):
        export(node, volume, "rtstruct", tmp_path / "rt")
    export(node, volume, "rtstruct", tmp_path / "rt", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["rt"]


def test_rtstruct_failure_is_one_sentence(volume: Any, rt: type[RtPlugin], tmp_path: Path) -> None:
    rt.message = "Must export the primary anatomical (CT/MR) image"
    with pytest.raises(InputError, match="could not write the structure set: Must export"):
        export(addSegmentation(volume, FIRST), volume, "rtstruct", tmp_path / "rt")
    assert list(tmp_path.iterdir()) == []


# What is offered


def reasons(segmentation: Any, volume: Any) -> dict[str, str]:
    return {entry.id: entry.reason for entry in exporters(segmentation, volume)}


def test_each_way_says_why_it_cannot_be_used(volume: Any) -> None:
    node = addSegmentation(volume, FIRST)
    found = reasons(node, volume)
    assert found["nifti"] == found["seg.nrrd"] == ""
    assert "was not loaded from DICOM" in found["dicom_seg"]
    assert "SlicerRT" in found["rtstruct"]
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert "no longer in the DICOM database" in reasons(node, volume)["dicom_seg"]
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    volume.SetAndObserveTransformNodeID(bent.GetID())
    assert all(reasons(None, volume).values())
    assert all(reasons(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"), volume).values())
    found = reasons(node, None)
    assert found["seg.nrrd"] == ""
    assert found["nifti"]


def test_scan_with_an_acquisition_transform_has_no_dicom_seg(volume: Any) -> None:
    node = addSegmentation(volume, FIRST)
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    for place in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
        points.InsertNextPoint(place)
    moved = vtk.vtkPoints()
    moved.DeepCopy(points)
    moved.SetPoint(4, 60, 40, 55)
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    transform.SetAndObserveTransformToParent(spline)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert "tilted or unevenly spaced" in reasons(node, volume)["dicom_seg"]


# Files


@pytest.mark.parametrize(("kind", "name"), [("nifti", "out.nii.gz"), ("seg.nrrd", "out.seg.nrrd")])
def test_existing_file_is_replaced_only_when_allowed(
    volume: Any, tmp_path: Path, kind: str, name: str
) -> None:
    node = addSegmentation(volume, FIRST)
    (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export(node, volume, kind, tmp_path / name)
    assert (tmp_path / name).read_text() == "precious"
    export(node, volume, kind, tmp_path / name, overwrite=True)
    assert (tmp_path / name).stat().st_size > 50


def test_table_beside_the_nifti_is_not_overwritten_either(volume: Any, tmp_path: Path) -> None:
    (tmp_path / "out.labels.csv").write_text("precious")
    with pytest.raises(InputError, match=r"out\.labels\.csv.* exists already"):
        export(addSegmentation(volume, FIRST), volume, "nifti", tmp_path / "out.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["out.labels.csv"]


@pytest.mark.parametrize(("kind", "name"), [("nifti", "out.nii.gz"), ("seg.nrrd", "out.seg.nrrd")])
def test_place_that_cannot_be_written(volume: Any, tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="cannot be written"):
            export(addSegmentation(volume, FIRST), volume, kind, folder / name)
    with pytest.raises(InputError, match="does not end in"):
        export(addSegmentation(volume, FIRST), volume, kind, tmp_path / "out.txt")


@pytest.mark.parametrize(("kind", "name"), [("nifti", "out.nii.gz"), ("seg.nrrd", "out.seg.nrrd")])
def test_full_disk_is_one_sentence_and_the_old_file_stays(
    volume: Any, tmp_path: Path, kind: str, name: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 2, SHAPE).astype(np.uint8)
    node = addSegmentation(volume, noise)
    (tmp_path / name).write_text("precious")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        run = ExportRun(node, volume, kind, tmp_path / name, overwrite=True)
        while run.poll():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(run.error, ResourceError)
    assert "no room" in run.error.message
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "precious")]


def test_empty_segmentations_are_one_sentence(volume: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all segments are empty"):
        export(addSegmentation(volume, np.zeros(SHAPE, np.uint8)), volume, "nifti", tmp_path / "o.nii.gz")
    with pytest.raises(InputError, match="no exporter 'word'"):
        export(addSegmentation(volume, FIRST), volume, "word", tmp_path / "o.doc")
