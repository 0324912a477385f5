"""A case of a case store in the scene, beside what is there: its scan, and a segmentation with what was annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from medcontext.case_list import CaseSummary, StoreSummary
from medcontext.errors import InputError
from medcontext.labels import Label, default_color
from MedContextSegmentLib.Learn.LabelFiles import FIRST_VALUE_BEYOND, readLabels, unreadable
from MedContextSegmentLib.Learn.StoredPart import VALUE, keepPart, turnBetween
from MedContextSegmentLib.Scene.OrientedImage import (
    boundsOf,
    emptyImage,
    imageArray,
    matrixArray,
    orientedImage,
    slices,
    starts,
)
from MedContextSegmentLib.Scene.ScanFiles import isDicom
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP, modifying, placeBeside
from MedContextSegmentLib.Scene.Terminology import setTerminology

CASE = "MedContextStore.Case"
"""Attribute of nodes: which file of which case they show."""

ENDINGS_4D = (".nii", ".nii.gz")


@dataclass(frozen=True)
class OpenedCase:
    """The nodes of a case: a volume for each channel, and the segmentation; None where nothing is annotated."""

    volumes: tuple[Any, ...]
    segmentation: Any


def openCase(store: StoreSummary, case: CaseSummary) -> tuple[Any, Any]:
    """The volume node of the first channel, and the segmentation node or None; see :func:`openAllOfCase`."""
    opened = openAllOfCase(store, case)
    return opened.volumes[0], opened.segmentation


def openAllOfCase(store: StoreSummary, case: CaseSummary) -> OpenedCase:
    """Bring a case into the scene and show it; what of it is there already is not read again.

    Labels get the names, colours and codes of the store. What nobody annotated is empty.

    Raises:
        InputError: a file is gone or cannot be read; the scene is as it was.
    """
    _checkFiles(case)
    added: list[Any] = []
    try:
        volumes = _volumes(store, case, added)
        segmentation = _segmentation(store, case, volumes[0], added) if case.label is not None else None
    except BaseException:
        for node in added:
            slicer.mrmlScene.RemoveNode(node)
        raise
    slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)
    return OpenedCase(volumes, segmentation)


def _checkFiles(case: CaseSummary) -> None:
    for path in (*case.images, *((case.label,) if case.label is not None else ())):
        try:
            there = path.exists()
        except OSError:  # such as a share that refuses
            there = False
        if not there:
            raise InputError(
                _("The case '{case}' cannot be opened: {path} is not there.").format(case=case.id, path=path),
                _("Connect the drive that holds it, or remove the case."),
            )


def _stamp(path: Path, part: int = 0) -> str:
    """What a node shows: a file as it is now, and which part of it."""
    facts = path.stat()
    return f"{path}|{facts.st_size}|{facts.st_mtime_ns}|{part}"


def openedFrom(store: StoreSummary, volumeNode: Any) -> CaseSummary | None:
    """The case of a store that a volume was opened from; None for any other volume."""
    path = _stamped(volumeNode)[0]
    return next((case for case in store.cases if path in [str(image) for image in case.images]), None)


def openedChannel(store: StoreSummary, volumeNode: Any) -> int | None:
    """Which channel of the store a volume is that was opened from it; None for any other volume."""
    case = openedFrom(store, volumeNode)
    if case is None:
        return None
    path, part = _stamped(volumeNode)
    return [str(image) for image in case.images].index(path) if len(case.images) > 1 else part


def _stamped(volumeNode: Any) -> tuple[str, int]:
    """Path of the file that a volume shows, and which part of it; ("", 0) where none is known."""
    parts = (volumeNode.GetAttribute(CASE) or "").rsplit("|", 3)
    return (parts[0], int(parts[3])) if len(parts) == 4 and parts[3].isdigit() else ("", 0)


def _find(className: str, stamp: str) -> Any:
    nodes = slicer.util.getNodesByClass(className)
    return next((node for node in nodes if node.GetAttribute(CASE) == stamp), None)


# The scan


def _volumes(store: StoreSummary, case: CaseSummary, added: list[Any]) -> tuple[Any, ...]:
    count = len(store.channels)
    if len(case.images) == 1 and count > 1:
        return _parts(store, case, added)
    names = [case.id]
    if len(case.images) > 1:
        titles = [name for name, _modality in store.channels] or [""] * len(case.images)
        names = [f"{case.id} {title}".strip() for title in titles]
    if len(names) != len(case.images):
        text = _("The case '{case}' has {given} image(s), the case store {needed} channel(s).")
        raise InputError(text.format(case=case.id, given=len(case.images), needed=count))
    return tuple(_volume(path, name, case, added) for path, name in zip(case.images, names, strict=True))


def _volume(path: Path, name: str, case: CaseSummary, added: list[Any]) -> Any:
    stamp = _stamp(path)
    node = _find("vtkMRMLScalarVolumeNode", stamp)
    if node is None:
        file = _firstOf(path) if path.is_dir() else path
        try:
            node = slicer.util.loadVolume(str(file), {"name": name, "show": False})
        except RuntimeError as error:
            raise unreadable(case, path) from error
        added.append(node)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(name) if node.GetName() != name else name)
        node.SetAttribute(CASE, stamp)
    return node


def _firstOf(folder: Path) -> Path:
    """The first file of a DICOM folder: Slicer reads all of its series."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return next((file for file in files if isDicom(file)), folder)


def _parts(store: StoreSummary, case: CaseSummary, added: list[Any]) -> tuple[Any, ...]:
    """The channels of one file that holds all, as the Medical Segmentation Decathlon has them."""
    (path,) = case.images
    stamps = [_stamp(path, part) for part in range(len(store.channels))]
    found = [_find("vtkMRMLScalarVolumeNode", stamp) for stamp in stamps]
    if all(node is not None for node in found):
        return tuple(found)
    arrays, matrix = _read4D(path, len(stamps), case)
    nodes = []
    for array, stamp, (title, _modality) in zip(arrays, stamps, store.channels, strict=True):
        name = slicer.mrmlScene.GenerateUniqueName(f"{case.id} {title}".strip())
        node = slicer.util.addVolumeFromArray(array, matrix, name)
        added.append(node)
        node.SetAttribute(CASE, stamp)
        nodes.append(node)
    return tuple(nodes)


def _read4D(path: Path, count: int, case: CaseSummary) -> tuple[list[np.ndarray], np.ndarray]:
    """``(K, J, I)`` arrays of a 4D NIfTI file as they lie in it, and the matrix from ``(i, j, k, 1)`` to RAS mm."""
    if not path.name.lower().endswith(ENDINGS_4D):
        raise unreadable(case, path)
    reader = vtk.vtkNIFTIImageReader()
    reader.SetFileName(str(path))
    reader.TimeAsVectorOn()
    reader.Update()
    image = reader.GetOutput()
    scalars = image.GetPointData().GetScalars()
    matrix = reader.GetQFormMatrix() or reader.GetSFormMatrix()
    if scalars is None or matrix is None or scalars.GetNumberOfComponents() != count:
        raise unreadable(case, path)
    i, j, k = image.GetDimensions()
    values = vtk_to_numpy(scalars).reshape(k, j, i, count)
    slope, offset = reader.GetRescaleSlope() or 1.0, reader.GetRescaleIntercept()
    scaled = values if (slope, offset) == (1.0, 0.0) else values * np.float32(slope) + np.float32(offset)
    spacing = np.diag([*image.GetSpacing(), 1.0])  # which the reader's matrix leaves to the image
    grid = matrixArray(matrix) @ spacing
    if reader.GetQFac() < 0:
        # The reader turned the slices around; labels and their slice numbers count as the file does.
        scaled = scaled[::-1]
        grid[:, 3] += (k - 1) * grid[:, 2]
        grid[:, 2] *= -1
    return [np.ascontiguousarray(scaled[..., part]) for part in range(count)], grid


# The labels


def _segmentation(store: StoreSummary, case: CaseSummary, volumeNode: Any, added: list[Any]) -> Any:
    path = case.label
    assert path is not None  # for the type checker: who calls has looked
    stamp = _stamp(path)
    node = _find("vtkMRMLSegmentationNode", stamp)
    if node is not None:
        return node
    stored, grid = readLabels(path, case)
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    turn = turnBetween(grid, matrixArray(matrix), stored.shape)
    labelmap = stored
    if turn is not None:
        labelmap, grid = np.ascontiguousarray(turn.applied(stored)), matrixArray(matrix)
    name = slicer.mrmlScene.GenerateUniqueName(_("{case} segmentation").format(case=case.id))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    added.append(node)
    node.SetAttribute(CASE, stamp)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    placeBeside(node, volumeNode)
    bounds = boundsOf(labelmap)
    image = emptyImage(grid)
    if bounds is not None:
        image = orientedImage(labelmap[slices(bounds)], grid, starts(bounds))
    with modifying(node):
        for label in _labelsOf(store, case, imageArray(image)):
            _addSegment(node, label, image)
    keepPart(node, case, labelmap, turn, stored.shape)
    return node


def _labelsOf(store: StoreSummary, case: CaseSummary, labelmap: np.ndarray) -> Sequence[Label]:
    """The labels that were annotated, and others that are there all the same."""
    known = {label.value: label for label in store.labels}
    wanted = set(known) if case.labels is None else set(case.labels) & set(known)
    there = np.flatnonzero(np.bincount(labelmap.reshape(-1), minlength=FIRST_VALUE_BEYOND))
    values = sorted((wanted | {int(value) for value in there}) - {0})
    return [
        known.get(value) or Label(value, _("Label {value}").format(value=value), default_color(value))
        for value in values
    ]


def _addSegment(node: Any, label: Label, image: Any) -> None:
    """A segment that shows a value of an image that all segments share."""
    segment = slicer.vtkSegment()
    segment.SetLabelValue(label.value)
    segment.AddRepresentation(LABELMAP, image)
    segment.SetName(label.name)
    segment.SetColor(*(part / 255 for part in label.color))
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.SetTag(VALUE, str(label.value))
    setTerminology(segment, label.terminology.to_json() if label.terminology else None)
    segmentation = node.GetSegmentation()
    segmentation.AddSegment(segment, segmentation.GenerateUniqueSegmentID(label.name))
