"""What the tests of reading and writing share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.events import Reporter

Warned = tuple[Reporter, list[str]]


@pytest.fixture
def warned() -> Warned:
    """A reporter and the list of what it was warned of."""
    messages: list[str] = []

    def sink(event: dict[str, Any]) -> None:
        if event["event"] == "warning":
            messages.append(event["message"])

    return Reporter(sink), messages


def _write_slice(path: Path, pixels: np.ndarray, position: Any, fields: dict[str, Any]) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.SeriesNumber = "CT", "1.2.3", 1
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.ImagePositionPatient = [float(v) for v in position]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [0.8, 0.5]
    data.PixelData = pixels.astype("<i2").tobytes()
    for name, value in fields.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)


@pytest.fixture
def write_slice() -> Callable[..., None]:
    """``write_slice(path, pixels (J, I), position, {DICOM keyword: value})`` writes one CT slice."""
    return _write_slice


@pytest.fixture
def write_series() -> Callable[..., None]:
    """``write_series(folder, heights, **fields)``: 6 x 5 slices, each filled with ten times its height."""

    def write(folder: Path, heights: Any, **fields: Any) -> None:
        for number, z in enumerate(heights):
            pixels = np.full((6, 5), round(10 * z), np.int16)
            _write_slice(folder / f"{number:03d}.dcm", pixels, (-3.0, 4.0, z), fields)

    return write
