"""Whether a person changed a segmentation: its voxels, names, colors or codes, and not only how it is shown."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf
from MedContextSegmentLib.Scene.OrientedImage import boundsOf, imageArray, imageBox, shifted, slices, starts
from MedContextSegmentLib.Scene.Terminology import segmentTerminology

Layer = tuple[Any, int]
"""Where the voxels of a label map lie that are not zero, and a checksum of them."""


@dataclass(frozen=True)
class SegmentationContent:
    """What a segmentation holds.

    Attributes:
        segments: id, name, color, codes, layer and value of each segment.
        layers: the label maps.
        stamps: when each label map was changed last.
    """

    segments: tuple[tuple[Any, ...], ...]
    layers: tuple[Layer, ...]
    stamps: tuple[int, ...]

    def sameAs(self, segmentationNode: Any) -> bool:
        """Whether a segmentation holds the same now; its voxels are looked at only where somebody touched them."""
        segments, stamps = _segmentsOf(segmentationNode), _stampsOf(segmentationNode)
        if segments != self.segments:
            return False
        return stamps == self.stamps or _layersOf(segmentationNode) == self.layers


def contentOf(segmentationNode: Any) -> SegmentationContent:
    """What a segmentation holds now."""
    return SegmentationContent(
        _segmentsOf(segmentationNode), _layersOf(segmentationNode), _stampsOf(segmentationNode)
    )


def _segmentsOf(node: Any) -> tuple[tuple[Any, ...], ...]:
    segmentation = node.GetSegmentation()
    found = []
    for name in segmentIdsOf(node):
        segment = segmentation.GetSegment(name)
        color = tuple(round(255 * part) for part in segment.GetColor())
        codes = repr(segmentTerminology(segment))
        place = segmentation.GetLayerIndex(name), segment.GetLabelValue()
        found.append((name, segment.GetName(), color, codes, *place))
    return tuple(found)


def _images(node: Any) -> list[Any]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetLayerDataObject(layer) for layer in range(segmentation.GetNumberOfLayers())]


def _stampsOf(node: Any) -> tuple[int, ...]:
    return tuple(image.GetMTime() for image in _images(node))


def _layersOf(node: Any) -> tuple[Layer, ...]:
    return tuple(map(_layerOf, _images(node)))


def _layerOf(image: Any) -> Layer:
    array = imageArray(image)
    box = boundsOf(array)
    if box is None:
        return None, 0
    return shifted(box, starts(imageBox(image))), zlib.crc32(array[slices(box)].tobytes())
