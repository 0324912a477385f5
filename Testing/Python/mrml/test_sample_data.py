"""The bundled sample: offered to Slicer's Sample Data module, and loaded with names and colours."""

from __future__ import annotations

import hashlib
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.errors import InputError
from MedContextSegmentLib.Scene.Terminology import segmentTerminology


@pytest.fixture
def lib() -> Any:
    from MedContextSegmentLib.Setup import SampleData

    return SampleData


def test_addresses_lead_to_files_with_the_checksums_given(lib: Any, tmp_path: Path) -> None:
    source = lib.sampleSource()
    lists = [source[key] for key in ("uris", "fileNames", "nodeNames", "checksums", "loadFileType")]
    assert {len(entries) for entries in lists} == {2}
    for uri, name, checksum in zip(source["uris"], source["fileNames"], source["checksums"], strict=True):
        # As SampleDataLogic.downloadFile does.
        urllib.request.urlretrieve(uri, tmp_path / name, lambda *_: None)
        algorithm, _, digest = checksum.partition(":")
        assert algorithm == "SHA256"
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert source["loadFileType"] == ["VolumeFile", "SegmentationFile"]


def test_addresses_survive_spaces_and_umlauts(lib: Any, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "Müller's files"
    folder.symlink_to(lib.FOLDER, target_is_directory=True)
    monkeypatch.setattr(lib, "FOLDER", folder)
    path, _ = urllib.request.urlretrieve(lib.sampleSource()["uris"][0], tmp_path / "copy.nii.gz")
    assert Path(path).stat().st_size > 10_000


def test_thumbnail_is_there_in_the_size_slicer_asks_for(lib: Any) -> None:
    from matplotlib.image import imread

    picture = imread(lib.sampleSource()["thumbnailFileName"])
    assert picture.shape[:2] == (280, 260)
    assert (np.ptp(picture[..., :3], axis=2) > 0.3).sum() > 300, "no coloured outline"


def test_registered_once_however_often_asked(lib: Any, monkeypatch: Any) -> None:
    registered: list[dict[str, Any]] = []

    class Logic:
        """The two functions of Slicer's SampleDataLogic."""

        @staticmethod
        def registerCustomSampleDataCategory(name: str, title: str = "") -> None:
            assert (name, title) == ("MedContext", "MedContext")

        @staticmethod
        def registerCustomSampleDataSource(**source: Any) -> None:
            if str(source) not in map(str, registered):
                registered.append(source)

    module = ModuleType("SampleData")
    module.SampleDataLogic = Logic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "SampleData", module)
    lib.registerSampleData()
    lib.registerSampleData()
    assert [source["sampleName"] for source in registered] == ["MedContextHippocampus"]
    # Slicer 5.10 has no categories of one's own.
    del Logic.registerCustomSampleDataCategory
    lib.registerSampleData()


def test_button_loads_scan_and_expert_segmentation(lib: Any) -> None:
    lib.sampleSource()["customDownloader"](None)
    volume = slicer.util.getNode("MedContextHippocampus")
    segmentation = slicer.util.getNode("MedContextHippocampusExpert")
    segments = segmentation.GetSegmentation()
    found = {segments.GetNthSegment(n).GetName(): segments.GetNthSegmentID(n) for n in range(2)}
    assert set(found) == {"Anterior", "Posterior"}
    for segmentId in found.values():
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, volume)
        assert array.shape == slicer.util.arrayFromVolume(volume).shape
        assert 500 < int(array.sum()) < 5000
    assert segments.GetSegment(found["Anterior"]).GetColor() == pytest.approx((230 / 255, 159 / 255, 0))
    terminology = segmentTerminology(segments.GetSegment(found["Anterior"]))
    assert terminology is not None
    assert terminology["type"]["meaning"] == "Hippocampus"
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0


def test_scan_alone(lib: Any) -> None:
    volume, segmentation = lib.loadSample(expert=False)
    assert segmentation is None
    assert volume.GetDisplayNode() is not None


def test_missing_files_are_one_sentence(lib: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(lib, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        lib.loadSample()
