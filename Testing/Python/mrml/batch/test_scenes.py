"""The scenes that the script leaves behind open in Slicer with what the engine found, and tell of no patient."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from harness.runs import segmentArrays
from harness.scripted_batch import SECRETS, Batch, labels_of_model, records
from medcontext.batch.case import BatchCase
from medcontext.batch.reading import read_case
from medcontext.batch_ledger import DONE
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import read_labelmap
from MedContextSegmentLib.Scene import Provenance
from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf
from MedContextSegmentLib.Scene.OrientedImage import alignment, imageMatrix
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP
from MedContextSegmentLib.Scene.Terminology import segmentTerminology
from MedContextSegmentLib.Scene.VolumeReader import readVolume

KINDS = ["crop", "turned", "tilted DICOM"]


def named(batch: Batch, kind: str) -> str:
    """The case that is of such a kind."""
    return batch.dicom if kind == "tilted DICOM" else kind


def opened(batch: Batch, case: str) -> tuple[Any, Any]:
    """Open the scene of a case as File > Open does; its volume and its segmentation."""
    slicer.util.loadScene(str(batch.layout.scene(case)), {})
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return volume, segmentation


def read_by_engine(batch: Batch, case: str) -> Volume:
    """The scan of a case as the engine sees it."""
    entry = json.loads(batch.layout.sources.read_text(encoding="utf-8"))[case]
    files = {key: tuple(map(Path, entry.get(key, ()))) for key in ("paths", "series")}
    return read_case(BatchCase(case, **files), Reporter(), odd="resample").image


def at(volume: Volume, node: Any) -> np.ndarray:
    """The values of a volume at the voxels of a node, ``(K, J, I)``; both grids must be one, whatever their order."""
    geometry = readVolume(node).geometry
    places = geometry.index_to_lps(np.stack(np.indices(geometry.shape), axis=-1).reshape(-1, 3))
    indices = volume.geometry.lps_to_index(places)
    assert np.abs(indices - np.rint(indices)).max() < 0.01
    k, j, i = np.rint(indices).astype(int).T
    return volume.array[0][k, j, i].reshape(geometry.shape)


def test_a_broken_scan_stops_nothing_and_shows_in_the_exit_code(batch: Batch) -> None:
    assert batch.code == 5, batch.said
    assert len(batch.done) == 3
    made = {case: record["state"] for case, record in records(batch).items()}
    assert made == dict.fromkeys(batch.done, DONE)
    folder = batch.layout.scene("x").parent
    assert sorted(path.stem for path in folder.glob("*.mrb")) == batch.done
    assert not list(folder.glob(".making*"))
    assert "Scenes: 3 made, 0 as before, 0 failed." in batch.said
    assert "Traceback" not in batch.said


@pytest.mark.parametrize("kind", KINDS)
def test_the_scene_shows_the_scan_that_was_segmented(batch: Batch, kind: str) -> None:
    case = named(batch, kind)
    volume, _segmentation = opened(batch, case)
    assert volume.GetName() == case
    expected = read_by_engine(batch, case)
    shown = slicer.util.arrayFromVolume(volume)
    assert shown.size == expected.array.size
    assert np.array_equal(shown, at(expected, volume))
    if kind == "crop":  # of whole numbers, which need not become larger
        assert shown.dtype == np.int16
    for number in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = slicer.mrmlScene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == volume.GetID()


@pytest.mark.parametrize("kind", KINDS)
def test_segments_are_the_results_of_the_engine_voxel_by_voxel(batch: Batch, kind: str) -> None:
    case = named(batch, kind)
    volume, segmentation = opened(batch, case)
    result = at(read_labelmap(batch.layout.segmentation(case, "nii.gz")), volume)
    labels = labels_of_model()
    found = segmentArrays(segmentation, volume)
    assert list(found) == [label["name"] for label in labels]
    for label in labels:
        assert np.array_equal(found[label["name"]] > 0, result == label["value"])
        assert found[label["name"]].any()
    role = segmentation.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReferenceID(role) == volume.GetID()
    for segmentId in segmentIdsOf(segmentation):  # what a person paints needs no resampling
        image = segmentation.GetSegmentation().GetSegment(segmentId).GetRepresentation(LABELMAP)
        assert alignment(imageMatrix(image), readVolume(volume).ijkToRas) is not None


def test_segments_are_like_those_of_the_module(batch: Batch) -> None:
    """Colours, codes, and the tags by which the module knows which segments a model may write again."""
    _volume, node = opened(batch, "crop")
    card = json.loads((batch.folder / "batch.json").read_text(encoding="utf-8"))["model"]
    key = Provenance.modelKey(card)
    segmentation = node.GetSegmentation()
    for number, label in enumerate(labels_of_model()):
        segment = segmentation.GetNthSegment(number)
        assert [round(255 * part) for part in segment.GetColor()] == label["color"]
        assert segmentTerminology(segment) == label["terminology"]
        assert Provenance.labelOf(segment, key) == label["value"]
    facts = Provenance.readFromNode(node)
    assert facts["ModelTitle"] == card["title"] != card["id"]
    assert json.loads(facts["Settings"])["volumes"] == ["crop"]


def test_nothing_tells_whose_scan_it_is(batch: Batch) -> None:
    told = {"output": batch.said.encode()}
    for path in batch.folder.rglob("*"):
        told[path.name] = b"" if path.is_dir() or path.name == "sources.json" else path.read_bytes()
    with zipfile.ZipFile(batch.layout.scene(batch.dicom)) as bundle:
        told |= {f"in the scene: {name}": bundle.read(name) for name in bundle.namelist()}
    scene = next(text for name, text in told.items() if name.endswith(".mrml"))
    assert str(batch.folder).encode() not in scene
    for secret in SECRETS:
        assert [name for name, text in told.items() if secret.encode() in text or secret in name] == []
