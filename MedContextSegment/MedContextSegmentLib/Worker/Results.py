"""What a segmentation run gave: the worker's answer, parsed, with its arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.exchange import SharedArray
from medcontext.geometry import IndexBox


@dataclass(frozen=True)
class SegmentLabel:
    """One label of a result.

    Attributes:
        value: voxel value in the label map.
        name: display name.
        color: red, green, blue, each 0 to 255.
        terminology: DICOM codes {category, type, modifier, ...}, each {scheme, value, meaning}; None where the
            model gives none.
        extent: smallest box that holds the label; None when the label has no voxel.
        voxels: number of voxels.
        volumeMl: volume in mL.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: dict[str, Any] | None
    extent: IndexBox | None
    voxels: int
    volumeMl: float


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """The answer to a ``segment`` or ``redo`` request.

    Attributes:
        labelmap: uint8 ``(K, J, I)`` on the grid of the first channel.
        certainty: uint8 of the same shape (255 sure, 0 where nothing was predicted); None unless asked for.
        labels: the labels of the model, those without voxels included.
        model: {id, version, title, sha256, license}.
        device: where it was computed, such as "CPU".
        precision: "fp32", "bf16" or "fp16".
        seconds: time of each stage in s.
        software: versions {medcontext, torch, python}.
        warm: whether the model was in the worker's memory already.
    """

    labelmap: np.ndarray
    certainty: np.ndarray | None
    labels: tuple[SegmentLabel, ...]
    model: dict[str, Any]
    device: str
    precision: str
    seconds: dict[str, float]
    software: dict[str, str]
    warm: bool


def readResult(event: Mapping[str, Any]) -> SegmentationResult:
    """Parse a ``result`` event and read its arrays into memory, so that their files can be removed.

    Args:
        event: the event of a ``segment`` or ``redo`` request.

    Raises:
        InputError: a part is missing or malformed, or an array cannot be read.
    """
    try:
        labelmap = _array(event["labelmap"])
        certainty = _array(event["certainty"]) if event.get("certainty") else None
        labels = tuple(_label(entry) for entry in event["labels"])
        result = SegmentationResult(
            labelmap=labelmap,
            certainty=certainty,
            labels=labels,
            model=dict(event["model"]),
            device=str(event["device"]),
            precision=str(event["precision"]),
            seconds={str(stage): float(value) for stage, value in event["seconds"].items()},
            software={str(name): str(version) for name, version in event["software"].items()},
            warm=bool(event.get("warm", False)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = _("The answer of the worker is malformed: {problem}.")
        raise InputError(text.format(problem=repr(error))) from error
    if labelmap.ndim != 3 or (certainty is not None and certainty.shape != labelmap.shape):
        problem = _("its arrays do not have one shape (K, J, I)")
        raise InputError(_("The answer of the worker is malformed: {problem}.").format(problem=problem))
    return result


def _array(data: Any) -> np.ndarray:
    """A copy in memory; the mapping is let go of at once, as Windows removes no file that is mapped."""
    array: np.ndarray = np.array(SharedArray.from_json(data).open(), subok=False)
    if array.dtype != np.uint8:
        raise ValueError(f"an array of {array.dtype} instead of uint8")
    return array


def _label(entry: Mapping[str, Any]) -> SegmentLabel:
    red, green, blue = (int(part) for part in entry["color"])
    extent = entry.get("extent")
    terminology = entry.get("terminology")
    return SegmentLabel(
        value=int(entry["value"]),
        name=str(entry["name"]),
        color=(red, green, blue),
        terminology=dict(terminology) if terminology else None,
        extent=_box(extent) if extent is not None else None,
        voxels=int(entry["voxels"]),
        volumeMl=float(entry["volume_ml"]),
    )


def _box(extent: Any) -> IndexBox:
    (k0, k1), (j0, j1), (i0, i1) = extent
    return (int(k0), int(k1)), (int(j0), int(j1)), (int(i0), int(i1))


def restrictResult(result: SegmentationResult, mask: np.ndarray) -> SegmentationResult:
    """The result inside a mask: no label and no uncertainty outside of it.

    Args:
        result: what the worker gave; its arrays are changed.
        mask: bool ``(K, J, I)``.

    Raises:
        InputError: the mask has another shape.
    """
    if mask.shape != result.labelmap.shape:
        raise InputError(
            _("The mask has the shape {mask}, the result {result} (K, J, I).").format(
                mask=mask.shape, result=result.labelmap.shape
            )
        )
    result.labelmap[~mask] = 0
    if result.certainty is not None:
        result.certainty[~mask] = 255
    return replace(result, labels=tuple(_counted(label, result.labelmap) for label in result.labels))


def _counted(label: SegmentLabel, labelmap: np.ndarray) -> SegmentLabel:
    """The label with the number, volume and extent of the voxels that it still has."""
    if label.extent is None:
        return label
    found = labelmap[tuple(slice(*side) for side in label.extent)] == label.value
    voxels = int(np.count_nonzero(found))
    if not voxels:
        return replace(label, extent=None, voxels=0, volumeMl=0.0)
    sides = []
    for axis, (start, _end) in enumerate(label.extent):
        filled = np.flatnonzero(found.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append((start + int(filled[0]), start + int(filled[-1]) + 1))
    volume = label.volumeMl * voxels / label.voxels
    return replace(label, extent=(sides[0], sides[1], sides[2]), voxels=voxels, volumeMl=volume)
