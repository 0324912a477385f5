"""The sample that comes with the package, offered in Slicer's Sample Data module: nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

import medcontext
from medcontext.errors import InputError
from medcontext.labels import LabelSet
from MedContextSegmentLib.Scene.Terminology import setTerminology

CATEGORY = "MedContext"
NAME = "MedContextHippocampus"
CASE = "hippocampus_024"
"""Held out: no model that comes with the package has seen it."""

FOLDER = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
THUMBNAIL = Path(__file__).parents[2] / "Resources" / "Icons" / f"{NAME}.png"


def registerSampleData() -> None:
    """Add the sample to the Sample Data module; to be connected to the application's ``startupCompleted()``."""
    import SampleData  # a module of Slicer's, there from startup on

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):
        logic.registerCustomSampleDataCategory(CATEGORY, title=CATEGORY)
    logic.registerCustomSampleDataSource(**sampleSource())


def sampleSource() -> dict[str, Any]:
    """The arguments of ``SampleDataLogic.registerCustomSampleDataSource``.

    ``SampleData.downloadSample`` copies the files from their ``file:`` addresses and checks them; the button of the
    Sample Data module loads them in place.
    """
    hashes = _case()["hashes"]
    return {
        "category": CATEGORY,
        "sampleName": NAME,
        "thumbnailFileName": str(THUMBNAIL),
        "uris": [(FOLDER / file).as_uri() for file in hashes],
        "fileNames": [f"{NAME}{_kind(file)}.nii.gz" for file in hashes],
        "nodeNames": [f"{NAME}{_kind(file)}" for file in hashes],
        "checksums": [f"SHA256:{digest}" for digest in hashes.values()],
        "loadFileType": ["SegmentationFile" if _kind(file) else "VolumeFile" for file in hashes],
        "customDownloader": _loadFromButton,
    }


def _loadFromButton(_source: Any) -> None:
    with slicer.util.tryWithErrorDisplay(_("Failed to load the sample.")):
        loadSample()


def loadSample(expert: bool = True) -> tuple[Any, Any]:
    """Load the sample from the package: a T1 MR crop of a hippocampus and its segmentation by an expert.

    Args:
        expert: also load the segmentation, with names, colors and codes.

    Returns:
        The ``vtkMRMLScalarVolumeNode`` and the ``vtkMRMLSegmentationNode`` (None unless asked for).

    Raises:
        InputError: the files are missing or damaged.
    """
    case = _case()
    volume = _load(slicer.util.loadVolume, FOLDER / case["image"], NAME)
    if not expert:
        return volume, None
    labelNode = _load(slicer.util.loadLabelVolume, FOLDER / case["label"], f"{NAME}Labels")
    try:
        return volume, _segmentation(volume, slicer.util.arrayFromVolume(labelNode))
    finally:
        slicer.mrmlScene.RemoveNode(labelNode)


def _segmentation(volume: Any, array: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{NAME}Expert")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for label in LabelSet.from_json(_index()["label_table"]):
        color = [channel / 255 for channel in label.color]
        segmentId = node.GetSegmentation().AddEmptySegment("", label.name, color)
        mask = (array == label.value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volume)
        terminology = label.terminology.to_json() if label.terminology else None
        setTerminology(node.GetSegmentation().GetSegment(segmentId), terminology)
    return node


def _load(reader: Any, path: Path, name: str) -> Any:
    try:
        return reader(str(path), {"name": name})
    except RuntimeError as error:
        raise InputError(
            _("The sample '{path}' cannot be read.").format(path=path), _("Install MedContext again.")
        ) from error


def _index() -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((FOLDER / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            _("The sample in '{folder}' cannot be read.").format(folder=FOLDER),
            _("Install MedContext again."),
        ) from error
    return data


def _case() -> dict[str, Any]:
    return next(case for case in _index()["test"] if case["id"] == CASE)


def _kind(file: str) -> str:
    return "Expert" if file.startswith("labels/") else ""
