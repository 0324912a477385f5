"""The segments of a segmentation as label maps on the voxels of its scan, as files want them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import (
    boxIsEmpty,
    boxOn,
    boxShape,
    imageArray,
    imageBox,
    intersection,
    matrixArray,
    slices,
    starts,
    transformBetween,
    valuesOn,
)
from MedContextSegmentLib.Scene.Provenance import labelOf
from MedContextSegmentLib.Scene.Terminology import segmentTerminology

MAX_VALUE = 254


@dataclass(frozen=True)
class LayerLabel:
    """A segment in a file.

    Attributes:
        value: voxel value: that of the model's label where a model made the segment.
        layer: index of the label map that holds it.
        name: of the segment.
        color: red, green, blue, each 0 to 255.
        terminology: DICOM codes {category, type, modifier, region}; None if it has none.
        byHand: whether a person made it, and no model.
        voxels: how many it has on the scan's grid.
    """

    value: int
    layer: int
    name: str
    color: tuple[int, int, int]
    terminology: dict[str, Any] | None
    byHand: bool
    voxels: int

    def toJson(self) -> dict[str, Any]:
        """As the worker takes labels."""
        return {
            "value": self.value,
            "name": self.name,
            "color": list(self.color),
            "terminology": self.terminology,
        }


@dataclass(frozen=True, eq=False)
class LabelLayers:
    """A segmentation as label maps; several only where segments overlap.

    Attributes:
        arrays: uint8 ``(K, J, I)``, at least one.
        labels: what their values mean, in the order of the segments; a value is used once.
        ijkToRas: ``(4, 4)`` grid of the scan in its own frame, without parent transforms.
    """

    arrays: list[np.ndarray]
    labels: tuple[LayerLabel, ...]
    ijkToRas: np.ndarray


def collectLayers(segmentationNode: Any, volumeNode: Any) -> Generator[float, None, LabelLayers]:
    """Bring all segments onto the voxels of a scan, nearest voxel, wherever both lie.

    A generator, to be given to ``yield from``: yields the share that is done after each label map.

    Raises:
        InputError: there are no segments, too many, or all are empty on the scan.
    """
    k, j, i = boxShape(imageBox(volumeNode.GetImageData()))
    whole: Box = ((0, k), (0, j), (0, i))
    ijkToRas = gridOf(volumeNode)
    parents = segmentationNode.GetParentTransformNode(), volumeNode.GetParentTransformNode()
    transform = transformBetween(*parents) if parents[0] is not parents[1] else None
    segments = _segments(segmentationNode)
    values = _values(segments)
    found: list[np.ndarray] = []
    layerOf: dict[str, int] = {}
    images = _images(segmentationNode, [segmentId for segmentId, _segment in segments])
    for number, (labelmap, members) in enumerate(images):
        box = intersection(boxOn(labelmap, ijkToRas), whole) if transform is None else whole
        source = valuesOn(labelmap, ijkToRas, box, transform)
        array = _renumbered(source, {inside: values[segmentId] for segmentId, inside in members})
        layer = _merge(found, array, box, (k, j, i))
        layerOf.update((segmentId, layer) for segmentId, _inside in members)
        yield (number + 1) / len(images)
    counts = [_histogram(array) for array in found]
    labels = tuple(
        _label(
            segment, values[segmentId], layerOf[segmentId], int(counts[layerOf[segmentId]][values[segmentId]])
        )
        for segmentId, segment in segments
    )
    if not any(label.voxels for label in labels):
        raise InputError(
            _("There is nothing to export: all segments are empty."), _("Segment the volume first.")
        )
    return LabelLayers(found, labels, ijkToRas)


def gridOf(volumeNode: Any) -> np.ndarray:
    """``(4, 4)`` from ``(i, j, k, 1)`` of a volume's array to RAS mm in its own frame."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    ijkToRas = matrixArray(matrix)
    ijkToRas[:3, 3] += ijkToRas[:3, :3] @ starts(imageBox(volumeNode.GetImageData()))[::-1]
    return ijkToRas


def _segments(segmentationNode: Any) -> list[tuple[str, Any]]:
    segmentation = segmentationNode.GetSegmentation()
    count = segmentation.GetNumberOfSegments()
    if not count:
        raise InputError(_("The segmentation has no segments."), _("Segment the volume first."))
    if count > MAX_VALUE:
        raise InputError(
            _("A label map holds up to {most} segments, not {count}.").format(most=MAX_VALUE, count=count),
            _("Save as .seg.nrrd instead."),
        )
    return [(segmentation.GetNthSegmentID(n), segmentation.GetNthSegment(n)) for n in range(count)]


def _values(segments: list[tuple[str, Any]]) -> dict[str, int]:
    """The model's values for its segments, the first free ones for all others."""
    values: dict[str, int] = {}
    for segmentId, segment in segments:
        wanted = labelOf(segment)
        if wanted is not None and 0 < wanted <= MAX_VALUE and wanted not in values.values():
            values[segmentId] = wanted
    free = (value for value in range(1, MAX_VALUE + 1) if value not in set(values.values()))
    spare = list(free)
    for segmentId, _segment in segments:
        if segmentId not in values:
            values[segmentId] = spare.pop(0)
    return values


def _images(segmentationNode: Any, segmentIds: list[str]) -> list[tuple[Any, list[tuple[str, int]]]]:
    """The label maps of the segments, each with its segments and their values in it."""
    segmentation = segmentationNode.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    shared: dict[Any, list[tuple[str, int]]] = {}
    for segmentId in segmentIds:
        segment = segmentation.GetSegment(segmentId)
        image = segment.GetRepresentation(name)
        if image is not None:
            shared.setdefault(image, []).append((segmentId, segment.GetLabelValue()))
            continue
        # Drawn as a surface: only a copy is converted, so that the segmentation stays as it is.
        image = slicer.vtkOrientedImageData()
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        logic.GetSegmentBinaryLabelmapRepresentation(segmentationNode, segmentId, image, False)
        values = imageArray(image)
        shared[image] = [(segmentId, int(values.max()) if values.size else 1)]
    return list(shared.items())


def _renumbered(array: np.ndarray, values: dict[int, int]) -> np.ndarray:
    """uint8 array with other values; what is not named becomes 0."""
    if array.dtype == np.uint8:
        table = np.zeros(256, np.uint8)
        for old, new in values.items():
            table[old] = new
        return table[array]
    result = np.zeros(array.shape, np.uint8)
    for old, new in values.items():
        result[array == old] = new
    return result


def _histogram(array: np.ndarray) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    for plane in array:  # counting all at once takes eight bytes for each voxel
        counts += np.bincount(plane.reshape(-1), minlength=256)
    return counts


def _merge(layers: list[np.ndarray], array: np.ndarray, box: Box, shape: tuple[int, int, int]) -> int:
    """Put a label map of a box into the first layer where it overlaps nothing; returns which."""
    if boxIsEmpty(box):
        box, array = ((0, 0), (0, 0), (0, 0)), np.zeros((0, 0, 0), np.uint8)
    for number, layer in enumerate(layers):
        part = layer[slices(box)]
        if not ((part != 0) & (array != 0)).any():
            part |= array  # no voxel is set in both
            return number
    layers.append(np.zeros(shape, np.uint8))
    layers[-1][slices(box)] = array
    return len(layers) - 1


def _label(segment: Any, value: int, layer: int, voxels: int) -> LayerLabel:
    red, green, blue = (round(255 * channel) for channel in segment.GetColor())
    return LayerLabel(
        value=value,
        layer=layer,
        name=segment.GetName() or str(value),
        color=(red, green, blue),
        terminology=segmentTerminology(segment),
        byHand=labelOf(segment) is None,
        voxels=voxels,
    )
