"""The command ``batch`` as a hospital would use it: a messy export in, stopped in the middle, finished by itself."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medcontext
from harness.only_packages import blocker
from medcontext import io
from medcontext.geometry import Volume
from medcontext.workflows.pack import SHIPPED, TO_SEGMENT

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
INSTALLED = (*TO_SEGMENT, *SHIPPED, "typer", "rich", "pydicom", "highdicom", "scikit-image", "trimesh")
"""What the module installs into Slicer for a batch with every format, and what Slicer ships."""
FORMATS = ("nii.gz", "seg.nrrd", "dicom-seg", "stl", "obj")
PRIVATE = ("Roe", "Jane", "P-4711", "19610203", "A998877")
PATIENCE_SECONDS = 240


def write_dicom(volume: Volume, folder: Path) -> None:
    """A scan as an MR series, one file a slice, written from the last to the first."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    geometry, study, series, frame = volume.geometry, generate_uid(), generate_uid(), generate_uid()
    pixels = (volume.array[0] * (1000 / volume.array.max())).astype("<u2")
    folder.mkdir(parents=True)
    for k in reversed(range(geometry.shape[0])):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(str(folder), {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        data.PatientName, data.PatientID, data.PatientBirthDate = "Roe^Jane", "P-4711", "19610203"
        data.AccessionNumber, data.Modality, data.SeriesNumber = "A998877", "MR", 3
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.Rows, data.Columns = geometry.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.ImagePositionPatient = geometry.index_to_lps(np.array([k, 0, 0])).tolist()
        data.ImageOrientationPatient = geometry.direction[:, :2].T.ravel().tolist()
        data.PixelSpacing = [geometry.spacing[1], geometry.spacing[2]]
        data.PixelData = pixels[k].tobytes()
        data.save_as(folder / f"Roe_Jane_{geometry.shape[0] - k:04d}")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a hospital hands over: nested folders, a DICOM series, odd names, a broken file, and what is no scan."""
    folder = tmp_path_factory.mktemp("export")
    crops = sorted((SAMPLE / "images").glob("*.nii.gz"))
    for number, crop in enumerate(crops[:6]):
        place = folder / "mixed" / f"part {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(crop, place / f"Kopf MR {number} größer.nii.gz")
    write_dicom(io.read_volume(crops[6]), folder / "Roe_Jane" / "study 1")
    (folder / "mixed" / "broken.nii.gz").write_bytes(crops[7].read_bytes()[:1000])
    (folder / "notes.txt").write_text("no scan")
    return folder


def start(export: Path, output: Path) -> subprocess.Popen[str]:
    """The command, in a process group of its own, where only what the module installs can be imported."""
    code = blocker(*INSTALLED) + "from medcontext.__main__ import main\nmain()\n"
    formats = [part for name in FORMATS for part in ("--format", name)]
    arguments = [
        "batch",
        str(export),
        "-m",
        "hippocampus",
        "-o",
        str(output),
        *formats,
        "--device",
        "cpu",
        "--json",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={
            **os.environ,
            "PYTHONUTF8": "1",
            "OMP_NUM_THREADS": "1",
            "MEDCONTEXT_HOME": str(export / ".home"),
        },
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, events and what people read."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


@pytest.fixture(scope="module")
def runs(export: Path) -> dict[str, Any]:
    """A run that was stopped by Ctrl-C after its first case, and the same command again; results lie in the export."""
    output = export / "results"
    first = start(export, output)
    assert first.stdout is not None
    told = []
    for line in first.stdout:
        told.append(json.loads(line))
        if told[-1]["event"] == "case" and told[-1]["status"] == "done":
            break
    first.send_signal(signal.SIGINT)
    stopped = finish(first)
    after_stop = {
        "rows": read_csv(output),
        "report": (output / "report.html").is_file(),
        "results": {path: path.stat().st_mtime_ns for path in output.rglob("*.seg.nrrd")},
    }
    return {
        "output": output,
        "stopped": stopped,
        "after_stop": after_stop,
        "again": finish(start(export, output)),
    }


def read_csv(output: Path) -> dict[str, dict[str, str]]:
    with (output / "ledger.csv").open(encoding="utf-8-sig", newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def test_a_stopped_run_keeps_what_is_finished_and_says_so(runs: dict[str, Any]) -> None:
    code, _, people = runs["stopped"]
    assert code == 3
    assert " of 8 cases" in people
    assert "same command again" in people
    done = [case for case, row in runs["after_stop"]["rows"].items() if row["state"] == "done"]
    assert 1 <= len(done) < 7
    assert runs["after_stop"]["report"]


def test_the_same_command_finishes_the_rest_and_touches_nothing_that_is_done(runs: dict[str, Any]) -> None:
    code, events, people = runs["again"]
    assert code == 5, people
    final = events[-2] if events[-1]["event"] == "error" else events[-1]
    assert final["event"] == "result"
    assert final["reused"] >= 1
    assert final["done"] + final["reused"] == 7
    assert final["failed"] == 1
    for path, written in runs["after_stop"]["results"].items():
        assert path.stat().st_mtime_ns == written
    rows = read_csv(runs["output"])
    assert [row["state"] for row in rows.values()].count("done") == 7
    assert rows["broken"]["state"] == "failed"
    assert rows["broken"]["error"]


def test_every_case_has_every_format_and_they_say_the_same(runs: dict[str, Any]) -> None:
    output, rows = runs["output"], read_csv(runs["output"])
    for case in (name for name, row in rows.items() if row["state"] == "done"):
        labelmap = io.read_labelmap(output / "segmentations" / f"{case}.nii.gz")
        segmentation, labels = io.read_segmentation(output / "segmentations" / f"{case}.seg.nrrd")
        np.testing.assert_array_equal(segmentation.array, labelmap.array)
        assert [label.name for label in labels] == ["Anterior", "Posterior"]
        for label in labels:
            count = np.count_nonzero(labelmap.array == label.value)
            assert int(rows[case][f"{label.name} voxels"]) == count > 0
            for form in ("stl", "obj"):
                surface = trimesh.load(output / "surfaces" / case / f"{label.name}.{form}")
                assert surface.volume == pytest.approx(count, rel=0.1)  # the crops have voxels of 1 mm
        assert (output / "report" / f"{case}.png").is_file()
        assert 0 < float(rows[case]["certainty"]) <= 1


def test_the_series_has_a_dicom_seg_and_the_other_files_a_warning(runs: dict[str, Any], export: Path) -> None:
    output, rows = runs["output"], read_csv(runs["output"])
    (path,) = (output / "dicom").iterdir()
    segments = highdicom.seg.segread(path)
    source = pydicom.dcmread(next((export / "Roe_Jane" / "study 1").iterdir()))
    assert segments.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert segments.PatientID == source.PatientID
    labelmap = io.read_labelmap(output / "segmentations" / f"{path.stem}.nii.gz")
    assert int(segments.pixel_array.sum()) == np.count_nonzero(labelmap.array)
    warned = {case for case, row in rows.items() if "No DICOM SEG was written" in row["warnings"]}
    assert warned == {case for case, row in rows.items() if row["state"] == "done"} - {path.stem}


def test_the_patient_is_named_nowhere_else(runs: dict[str, Any]) -> None:
    output = runs["output"]
    spoken = [json.dumps(runs[run][1]) + runs[run][2] for run in ("stopped", "again")]
    names = [str(path.relative_to(output)) for path in output.rglob("*")]
    texts = [
        path.read_text(encoding="utf-8-sig")
        for path in output.rglob("*")
        if path.suffix in (".jsonl", ".json", ".csv", ".html", ".obj") and path.name != "sources.json"
    ]
    for text in [*spoken, *names, *texts]:
        assert not [name for name in PRIVATE if name in text]
    assert "Roe_Jane" in (output / "sources.json").read_text(encoding="utf-8")
