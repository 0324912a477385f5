"""What the tests of batch runs share: real DICOM made of a bundled scan, and the card of the bundled model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medcontext
from medcontext import io
from medcontext.card_schema import ModelCard
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.library import read_card
from medcontext.plan import Channel

RESOURCES = Path(medcontext.__file__).parent / "resources"

SECRETS = {
    "PatientName": "Doe^Johanna",
    "PatientID": "MRN-4711-X",
    "PatientBirthDate": "19610704",
    "AccessionNumber": "ACC998877",
    "SeriesDescription": "Kopf Frau Doe",
    "StudyDescription": "Verlauf Doe",
    "StudyID": "ST5544",
    "ReferringPhysicianName": "Quack^Emil",
    "InstitutionName": "Haus am See",
}
"""What a header says of a patient who does not exist."""

Written = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """Of the bundled model: one channel."""
    return read_card(RESOURCES / "models" / "hippocampus")


@pytest.fixture(scope="session")
def card_of_two(card: ModelCard) -> ModelCard:
    """A model of two channels, FLAIR and T1c."""
    channels = [Channel(name=name, modality="MRI") for name in ("FLAIR", "T1c")]
    return card.model_copy(update={"input": card.input.model_copy(update={"channels": channels})})


@pytest.fixture(scope="session")
def a_scan() -> Volume:
    """A bundled MR with whole numbers, as 7 slices of 20 x 24 pixels."""
    image = io.read_volume(RESOURCES / "samples/hippocampus/images/hippocampus_001.nii.gz")
    return image.crop((10, 10, 5), (7, 20, 24))


@pytest.fixture
def told() -> tuple[Reporter, list[Event]]:
    """A reporter and the events it was told."""
    events: list[Event] = []
    return Reporter(events.append), events


def _header(path: Path, kind: str, fields: dict[str, Any]) -> Any:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    data.SpecificCharacterSet, data.Modality = "ISO_IR 100", "MR"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesNumber = "1.2.3", "1.2.3.4", 7
    data.FrameOfReferenceUID = "1.2.3.9"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    for name, value in fields.items():
        if value is None and name in data:
            del data[name]
        elif value is not None:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    return data


@pytest.fixture(scope="session")
def write_dicom() -> Written:
    """``write_dicom(folder, volume, places=None, names="{:03d}.dcm", compression="", **fields)``: MR slices.

    ``places`` are positions in LPS mm, else those of the volume; a field that is None is left out.
    """
    from pydicom.uid import MRImageStorage

    def write(
        folder: Path,
        volume: Volume,
        places: Sequence[Any] | None = None,
        names: str = "{:03d}.dcm",
        compression: str = "",
        **fields: Any,
    ) -> list[Path]:
        geometry, paths = volume.geometry, []
        for k, plane in enumerate(volume.array[0]):
            path = folder / names.format(k)
            data = _header(path, MRImageStorage, {"InstanceNumber": k + 1})
            data.Rows, data.Columns = plane.shape
            data.PixelSpacing = list(geometry.spacing[1:])
            data.ImageOrientationPatient = geometry.direction[:, :2].T.ravel().tolist()
            place = geometry.index_to_lps(np.array([k, 0, 0])) if places is None else places[k]
            data.ImagePositionPatient = [float(value) for value in place]
            data.PixelData = plane.astype("<i2").tobytes()
            for name, value in fields.items():
                if value is None and name in data:
                    del data[name]
                elif value is not None:
                    setattr(data, name, value)
            if compression:
                data.compress(compression, generate_instance_uid=False)
            data.save_as(path)
            paths.append(path)
        return paths

    return write


@pytest.fixture(scope="session")
def write_frames() -> Callable[..., Path]:
    """``write_frames(path, volume, places, slopes=None, **fields)``: one enhanced MR file with all slices."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import EnhancedMRImageStorage

    def one(**fields: Any) -> Items:
        item = Dataset()
        for name, value in fields.items():
            setattr(item, name, value)
        return Items([item])

    def write(
        path: Path,
        volume: Volume,
        places: Sequence[Any],
        slopes: Sequence[float] | None = None,
        **fields: Any,
    ) -> Path:
        geometry = volume.geometry
        data = _header(path, EnhancedMRImageStorage, fields)
        data.NumberOfFrames, data.Rows, data.Columns = volume.shape
        axes = geometry.direction[:, :2].T.ravel().tolist()
        data.SharedFunctionalGroupsSequence = one(
            PlaneOrientationSequence=one(ImageOrientationPatient=axes),
            PixelMeasuresSequence=one(
                PixelSpacing=list(geometry.spacing[1:]), SliceThickness=geometry.spacing[0]
            ),
        )
        frames = []
        for number, place in enumerate(places):
            frame = Dataset()
            frame.PlanePositionSequence = one(ImagePositionPatient=[float(value) for value in place])
            if slopes is not None:
                frame.PixelValueTransformationSequence = one(
                    RescaleSlope=slopes[number], RescaleIntercept=0, RescaleType="US"
                )
            frames.append(frame)
        data.PerFrameFunctionalGroupsSequence = Items(frames)
        data.PixelData = volume.array[0].astype("<i2").tobytes()
        data.save_as(path)
        return path

    return write


@pytest.fixture(scope="session")
def write_report() -> Callable[..., Path]:
    """``write_report(path, **fields)``: a DICOM report, which has no pixels."""
    from pydicom.uid import ComprehensiveSRStorage

    def write(path: Path, **fields: Any) -> Path:
        data = _header(path, ComprehensiveSRStorage, {"Modality": "SR", **fields})
        for name in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"):
            del data[name]
        del data.PhotometricInterpretation
        data.save_as(path)
        return path

    return write


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """DICOM fields of a patient who does not exist."""
    return dict(SECRETS)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of one MR channel and two labels that takes milliseconds a case."""
    import torch

    from medcontext import networks
    from medcontext.card_schema import InputRange, InputSpec
    from medcontext.library import save_model
    from medcontext.plan import NetworkSpec

    patch, ones = (16, 16, 16), (1.0, 1.0, 1.0)
    kwargs = networks.default_kwargs("dynunet", patch, ones, "small") | {
        "filters": [4, 8, 8],
        "deep_heads": 1,
    }
    kwargs |= {key: kwargs[key][:3] for key in ("strides", "kernels")}
    spec = InputSpec(
        channels=[Channel(name="T1", modality="MRI")],
        spacing=ones,
        orientation="LPS",
        patch_size=patch,
        range=InputRange(spacing=((0.5, 0.5, 0.5), (4, 4, 4)), field_of_view=((5, 5, 5), (100, 100, 100))),
    )
    labels = [{"value": 1, "name": "Front"}, {"value": 4, "name": "Back"}]
    card = ModelCard(
        id="tiny",
        title="Tiny",
        method="supervised",
        network=NetworkSpec(name="dynunet", kwargs=kwargs),
        input=spec,
        labels=labels,
    )
    torch.manual_seed(1)
    network = networks.build(card.network, in_channels=1, classes=3)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, card, [network.state_dict()])
    return folder


@pytest.fixture
def write_scans() -> Callable[..., list[Path]]:
    """``write_scans(folder, count, start=0, shape=(9, 10, 11))``: NIfTI files of noise, ``scan_0.nii.gz`` and on."""

    def write(
        folder: Path, count: int, start: int = 0, shape: tuple[int, int, int] = (9, 10, 11)
    ) -> list[Path]:
        paths = []
        for number in range(start, start + count):
            array = np.random.default_rng(number).normal(size=(1, *shape)).astype(np.float32)
            paths.append(folder / f"scan_{number}.nii.gz")
            io.write_volume(paths[-1], Volume(array, Geometry.from_spacing(shape)))
        return paths

    return write
