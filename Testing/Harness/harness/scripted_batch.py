"""Running the script ``MedContextBatch.py`` as a person does, on scans of several kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import medcontext
from medcontext.batch_ledger import Layout, Row, read_rows
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_volume, write_volume

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "MedContextSegment" / "Scripts" / "MedContextBatch.py"
IMAGES = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus" / "images"

NAME, NUMBER, PLACE = "Doe^Johanna", "MRN-4711-X", "Haus am See"
SECRETS = ("Johanna", "DOE", "Doe", NUMBER, PLACE, "IM_TIEF")
PATIENCE_SECONDS = 300
TILT = 0.2
"""Shift from slice to slice over their distance."""


@dataclass(frozen=True)
class Batch:
    """What the script left behind.

    Attributes:
        arguments: what it was called with.
        folder: the output folder.
        code: its exit code.
        said: all that it printed.
        rows: of the ledger, by case.
    """

    arguments: tuple[str, ...]
    folder: Path
    code: int
    said: str
    rows: dict[str, Row]

    @property
    def layout(self) -> Layout:
        return Layout(self.folder)

    @property
    def done(self) -> list[str]:
        """The finished cases."""
        return sorted(case for case, row in self.rows.items() if row["state"] == "done")

    @property
    def dicom(self) -> str:
        """The case that came from DICOM."""
        (name,) = (case for case in self.done if case.startswith("series-"))
        return name


def start_script(*arguments: str, home: Path) -> subprocess.Popen[str]:
    """Start the script in plain Python, as a person does; both its streams go into one pipe.

    Args:
        arguments: of the script.
        home: the folder of models and jobs.
    """
    environment = {**os.environ, "MEDCONTEXT_HOME": str(home), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=environment,
    )


def run_script(*arguments: str, home: Path) -> tuple[int, str]:
    """Run the script to its end; its exit code and all that it said."""
    process = start_script(*arguments, home=home)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said


def write_scans(folder: Path) -> None:
    """A NIfTI file, one with left-handed axes, one that is broken, and a tilted DICOM series of a patient."""
    folder.mkdir(parents=True)
    write_volume(folder / "crop.nii.gz", read_volume(IMAGES / "hippocampus_001.nii.gz"))
    write_volume(folder / "turned.nrrd", _left_handed(read_volume(IMAGES / "hippocampus_011.nii.gz")))
    (folder / "broken.nii.gz").write_bytes(b"no image")
    _write_tilted(folder / "Doe_Johanna", read_volume(IMAGES / "hippocampus_024.nii.gz"))


def _left_handed(volume: Volume) -> Volume:
    """The same scan at the same place, its slices counted from the other end."""
    affine = volume.geometry.affine.copy()
    affine[:, 3] += (volume.shape[0] - 1) * affine[:, 2]
    affine[:, 2] *= -1
    assert np.linalg.det(affine[:3, :3]) < 0
    turned = np.ascontiguousarray(volume.array[:, ::-1])
    return Volume(turned, Geometry(volume.shape, affine))


def _write_tilted(folder: Path, volume: Volume) -> None:
    """A DICOM series as a scanner with a tilted gantry writes it, with what says whose it is."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir(parents=True)
    thickness = volume.geometry.spacing[0]
    for k, plane in enumerate(volume.array[0]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, f"1.2.3.4.{k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, f"1.2.3.4.{k + 1}"
        data.PatientName, data.PatientID, data.InstitutionName = NAME, NUMBER, PLACE
        data.Modality, data.StudyInstanceUID, data.SeriesInstanceUID = "MR", "1.2.3", "1.2.3.4"
        data.FrameOfReferenceUID, data.InstanceNumber, data.SeriesNumber = "1.2.9", k + 1, 1
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.Rows, data.Columns = plane.shape
        data.PixelSpacing = list(volume.geometry.spacing[1:])
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-20.0, -30.0 + TILT * thickness * k, thickness * k]
        data.PixelData = plane.astype("<i2").tobytes()
        data.save_as(folder / f"IM_TIEF{k:03d}", enforce_file_format=True)


def records(batch: Batch) -> dict[str, Row]:
    """What became of each scene."""
    return read_rows(batch.layout.scene("x").parent)


def labels_of_model() -> list[dict[str, Any]]:
    """The labels of the bundled model, as its card has them."""
    card = IMAGES.parents[2] / "models" / "hippocampus" / "model.json"
    found: list[dict[str, Any]] = json.loads(card.read_text(encoding="utf-8"))["labels"]
    return found
