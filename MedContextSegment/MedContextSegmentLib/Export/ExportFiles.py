"""Segmentations as plain files: ``.seg.nrrd`` as Slicer keeps them, NIfTI label maps as other programs want them."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Export.LabelLayers import LabelLayers, collectLayers
from MedContextSegmentLib.Export.WrittenFiles import Consent, replacing
from MedContextSegmentLib.Scene.OrientedImage import vtkMatrix

NIFTI_SUFFIX = ".nii.gz"
TABLE_SUFFIX = ".labels.csv"
_COMPRESSION = {"useCompression": 1, "compressionParameter": "gzip_fastest"}
"""Slicer writes in the main thread; for label maps the other levels cost several times the time and save little."""


def exportSegNrrd(segmentationNode: Any, path: Path, consent: Consent) -> Generator[float, None, list[Path]]:
    """Write a segmentation with names, colors, codes and tags, as it lies below its transform.

    Raises:
        InputError, ResourceError: it cannot be written there.
    """
    yield from consent.waitFor([path], 0.0)
    yield 0.0
    # Slicer writes a shallow copy, which touches the segmentation itself: it would count as changed since saved.
    with _hiddenNode("vtkMRMLSegmentationNode") as copy:
        copy.CopyContent(segmentationNode, True)
        yield 0.3
        _exportNode(copy, path)
    return [path]


def exportNifti(
    segmentationNode: Any, volumeNode: Any, path: Path, consent: Consent, notes: list[str]
) -> Generator[float, None, list[Path]]:
    """Write a label map on the grid of the scan, and beside it a table of what its values mean.

    Values are those of the model's labels; other segments get free ones. Segments that overlap go into further
    files, ``name-2.nii.gz`` and so on. The table is ``name.labels.csv``.

    Raises:
        InputError: there is nothing to write, or NIfTI cannot hold the grid.
        InputError, ResourceError: it cannot be written there.
    """
    layers: LabelLayers = yield from collectLayers(segmentationNode, volumeNode)
    axes = layers.ijkToRas[:3, :3] / np.linalg.norm(layers.ijkToRas[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise InputError(
            _("NIfTI cannot hold the sheared voxels of '{name}'.").format(name=volumeNode.GetName()),
            _("Save as .seg.nrrd instead."),
        )
    stem = path.name[: -len(NIFTI_SUFFIX)]
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(layers.arrays) + 1))]
    files = [path.with_name(name + NIFTI_SUFFIX) for name in names]
    table = path.with_name(stem + TABLE_SUFFIX)
    yield from consent.waitFor([*files, table], 0.0)
    for number, (file, array) in enumerate(zip(files, layers.arrays, strict=True)):
        _writeLabelmap(file, array, layers.ijkToRas)
        yield number / len(files)
    _writeTable(table, layers, files)
    if len(files) > 1:
        notes.append(_("Segments overlap: they were written into {count} files.").format(count=len(files)))
    return [*files, table]


def _writeLabelmap(path: Path, array: np.ndarray, ijkToRas: np.ndarray) -> None:
    with _hiddenNode("vtkMRMLLabelMapVolumeNode") as node:
        slicer.util.updateVolumeFromArray(node, array)
        node.SetIJKToRASMatrix(vtkMatrix(ijkToRas))
        _exportNode(node, path)


@contextmanager
def _hiddenNode(className: str) -> Iterator[Any]:
    """A node of the scene for the time of the block."""
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node = slicer.mrmlScene.AddNode(node)
    try:
        yield node
    finally:
        if node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)


def _exportNode(node: Any, path: Path) -> None:
    """``exportNode`` leaves the node's own file name and storage alone, which ``saveNode`` does not."""
    with replacing(path) as temporary:
        if not slicer.util.exportNode(node, str(temporary), dict(_COMPRESSION)):
            raise OSError(_("the writer gave up"))


def _writeTable(path: Path, layers: LabelLayers, files: list[Path]) -> None:
    columns = ("value", "name", "red", "green", "blue", "type", "modifier", "file")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for label in layers.labels:
            codes = label.terminology or {}
            coded = [
                "{scheme}:{value}".format(**codes[part]) if codes.get(part) else ""
                for part in ("type", "modifier")
            ]
            rows.writerow([label.value, label.name, *label.color, *coded, files[label.layer].name])
