"""Segmentations as DICOM: SEG by the worker, RTSTRUCT by the extension SlicerRT."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.exchange import ExchangeFolder, SharedArray
from MedContextSegmentLib.Export.LabelLayers import LabelLayers, collectLayers
from MedContextSegmentLib.Export.WrittenFiles import Consent, explained
from MedContextSegmentLib.Scene.Provenance import readFromNode
from MedContextSegmentLib.Scene.VolumeReader import RAS_TO_LPS
from MedContextSegmentLib.Worker.Background import Background
from MedContextSegmentLib.Worker.WorkerChild import WorkerEnd
from MedContextSegmentLib.Worker.WorkerTexts import errorOf, explainEnd

INSTANCES = "DICOM.instanceUIDs"
RT_PLUGIN = "DicomRtImportExportPlugin"
RT_TAGS = {
    "Patient": ("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "PatientComments"),
    "Study": ("StudyDate", "StudyTime", "StudyID", "StudyDescription"),
}


def segProblem(volumeNode: Any) -> str:
    """Why no DICOM SEG can be made for a volume; empty where it can."""
    name = volumeNode.GetName()
    uids = (volumeNode.GetAttribute(INSTANCES) or "").split()
    if not uids:
        return _("'{name}' was not loaded from DICOM, to which a DICOM segmentation must refer.").format(
            name=name
        )
    transform = volumeNode.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        return _(
            "'{name}' has tilted or unevenly spaced slices, on which the segmentation does not lie."
        ).format(name=name)
    if not _fileOf(uids[0]):
        return _("The DICOM files of '{name}' are no longer in the DICOM database.").format(name=name)
    return ""


def rtstructProblem() -> str:
    """Why no RTSTRUCT can be made; empty where it can."""
    if RT_PLUGIN not in getattr(slicer.modules, "dicomPlugins", {}):
        return _("The extension SlicerRT, which writes RT structure sets, is not installed.")
    return ""


def sourceFiles(volumeNode: Any) -> list[str]:
    """The DICOM files that a volume was loaded from.

    Raises:
        InputError: some are no longer known or no longer there.
    """
    uids = (volumeNode.GetAttribute(INSTANCES) or "").split()
    files = [_fileOf(uid) for uid in uids]
    missing = sum(1 for file in files if not file or not Path(file).is_file())
    if missing or not files:
        raise InputError(
            _("{missing} of the {count} DICOM files of '{name}' are no longer there.").format(
                missing=missing, count=len(files), name=volumeNode.GetName()
            ),
            _("Import the scan into the DICOM database again."),
        )
    return list(dict.fromkeys(files))  # a file with several frames counts once


def _fileOf(uid: str) -> str:
    database = getattr(slicer, "dicomDatabase", None)
    return str(database.fileForInstance(uid) or "") if database is not None else ""


def exportSeg(
    segmentationNode: Any, volumeNode: Any, path: Path, worker: Any, consent: Consent, notes: list[str]
) -> Generator[float, None, list[Path]]:
    """Write a DICOM SEG of all segments that are not empty.

    Raises:
        InputError: files of the scan are missing, the worker cannot do it, nothing is marked, or the file exists.
        ResourceError: a disk is full.
    """
    files = sourceFiles(volumeNode)
    yield from consent.waitFor([path], 0.0)
    yield 0.0
    layers: LabelLayers = yield from _scaled(collectLayers(segmentationNode, volumeNode), 0.0, 0.4)
    with ExchangeFolder(Path(slicer.app.temporaryPath)) as folder:
        array = layers.arrays[0] if len(layers.arrays) == 1 else np.stack(layers.arrays)
        shared = yield from _share(folder, array)
        facts = readFromNode(segmentationNode)
        answer = yield from _ask(
            worker,
            labelmap=shared.to_json(),
            affine=(RAS_TO_LPS @ layers.ijkToRas).tolist(),
            labels=[label.toJson() for label in layers.labels],
            by_hand=[label.value for label in layers.labels if label.byHand],
            sources=files,
            output=str(path.absolute()),
            series_description=str(segmentationNode.GetName()),
            model=facts.get("ModelTitle") or "MedContext",
            version=facts.get("ModelVersion") or "unknown",
            facts=facts,
        )
    if answer["empty"]:
        notes.append(_("Empty segments were left out: {names}.").format(names=", ".join(answer["empty"])))
    return [Path(answer["file"])]


def _share(folder: ExchangeFolder, array: np.ndarray) -> Generator[float, None, SharedArray]:
    """Write the array in a thread; stopped, and waited for, where the generator is closed before."""
    stopping: list[CancelledError] = []

    def check() -> None:
        if stopping:
            raise stopping[0]

    sending = Background(lambda: folder.write("labelmap", array, check))
    try:
        while not sending.done:
            yield 0.4
    except GeneratorExit:
        stopping.append(CancelledError(_("Stopped on request.")))
        with contextlib.suppress(MedContextError):
            sending.result()
        raise
    return sending.result()


def _ask(worker: Any, **fields: Any) -> Generator[float, None, dict[str, Any]]:
    """Send the request and wait for its result; cancelled where the generator is closed before."""
    request = worker.send("dicom_seg", **fields)
    try:
        while True:
            over = request.ended  # asked before the events are taken, so that the last one is among them
            for event in request.poll():
                if event["event"] == "error":
                    raise errorOf(event)
                if event["event"] == "result":
                    return dict(event)
            if over:
                raise explainEnd(request.end or WorkerEnd(None, "no answer"))
            yield 0.6
    finally:
        if not request.ended:
            worker.cancel(request)


def _scaled(
    steps: Generator[float, None, LabelLayers], start: float, end: float
) -> Generator[float, None, LabelLayers]:
    while True:
        try:
            share = next(steps)
        except StopIteration as done:
            layers: LabelLayers = done.value
            return layers
        yield start + (end - start) * share


def exportRtstruct(
    segmentationNode: Any, volumeNode: Any, path: Path, consent: Consent
) -> Generator[float, None, list[Path]]:
    """Write the scan and its structure set into a folder, as SlicerRT does. Its writer cannot be interrupted.

    Raises:
        InputError: the folder holds something already and nobody can be asked, cannot be written, or SlicerRT fails.
    """
    mayHoldFiles = consent.everything or consent.waits
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not mayHoldFiles)):
        raise InputError(
            _("The folder '{path}' is not empty.").format(path=path), _("Choose an empty folder.")
        )
    yield 0.0
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".medcontext-", dir=path.parent))
    except OSError as error:
        raise explained(error, path) from error
    try:
        message = _runRtPlugin((volumeNode, segmentationNode), temporary)
        written = sorted(file for file in temporary.rglob("*") if file.is_file())
        if message or not written:
            raise InputError(
                _("SlicerRT could not write the structure set: {reason}.").format(
                    reason=str(message or _("it wrote no file")).strip().rstrip(".")
                )
            )
        targets = [path / file.relative_to(temporary) for file in written]
        yield from consent.waitFor(targets, 0.9)
        path.mkdir(exist_ok=True)
        for file, target in zip(written, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return targets


def _runRtPlugin(nodes: tuple[Any, ...], folder: Path) -> str:
    """What SlicerRT says is wrong; empty where it wrote its files."""
    plugin = slicer.modules.dicomPlugins[RT_PLUGIN]()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    exportables = []
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        tags = _patientTags(hierarchy, hierarchy.GetItemByDataNode(nodes[0]))
        modality = hierarchy.GetItemAttribute(item, "DICOM.Modality")
        if modality and node is nodes[0]:
            tags["Modality"] = modality
        for exportable in plugin.examineForExport(item):
            exportable.directory = str(folder)
            for name, value in (tags | {"SeriesDescription": node.GetName()}).items():
                exportable.setTag(name, value)
            exportables.append(exportable)
    return str(plugin.export(exportables) or "")


def _patientTags(hierarchy: Any, item: int) -> dict[str, str]:
    """Patient and study of an item, which Slicer's export dialog would fill in."""
    tags = {}
    for level, names in RT_TAGS.items():
        ancestor = hierarchy.GetItemAncestorAtLevel(item, level)
        for name in names if ancestor else ():
            value = hierarchy.GetItemAttribute(ancestor, f"DICOM.{name}")
            if value:
                tags[name] = str(value)
    return tags
