"""Chosen segments as one label map on the voxels of a scan, with what was odd about them in sentences.

Where segments of different values overlap, the voxel goes to the smaller structure, as a lesion lies inside an organ;
of two that are equally large to the one further down the list. The sentences say how many voxels that were.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import (
    boxIsEmpty,
    imageMatrix,
    shifted,
    slabs,
    slices,
    starts,
    union,
)
from MedContextSegmentLib.Scene.PaintedSlices import PaintedSlices, paintedSlices
from MedContextSegmentLib.Scene.SegmentLayers import SegmentLayer, layersOf
from MedContextSegmentLib.Scene.SegmentNotes import SegmentFound, layerNotes, overlapNotes, segmentNotes
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot

READ_VOXELS = 1 << 22
RESAMPLED_VOXELS = 1 << 19
"""Done at a time: some hundredths of a second."""


@dataclass(frozen=True, eq=False)
class SegmentReading:
    """Segments on the voxels of a scan.

    Attributes:
        labelmap: uint8 ``(K, J, I)``.
        segments: what was found of each, in the order of the list of segments.
        overlaps: number of voxels that went to the first value though the second one has them too.
        painted: the slices that hold a voxel.
        notes: sentences for the person on what was odd.
    """

    labelmap: np.ndarray
    segments: tuple[SegmentFound, ...]
    overlaps: dict[tuple[int, int], int]
    painted: PaintedSlices
    notes: tuple[str, ...]


def readSegments(
    segmentationNode: Any, values: Mapping[str, int], snapshot: VolumeSnapshot
) -> SegmentReading:
    """All of :func:`readingSteps` at once."""
    steps = readingSteps(segmentationNode, values, snapshot)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            reading: SegmentReading = end.value
            return reading


def readingSteps(
    segmentationNode: Any, values: Mapping[str, int], snapshot: VolumeSnapshot
) -> Generator[float, None, SegmentReading]:
    """Read segments in small steps; the scene is not changed.

    Segments on another grid or below other transforms than the scan are resampled, nearest voxel; those that are
    kept as surfaces are filled on the voxels of the scan.

    Args:
        segmentationNode: a ``vtkMRMLSegmentationNode`` of the scene.
        values: the value 1 to 255 of each segment id; several may have one value.
        snapshot: the scan.

    Yields:
        The share that is done.

    Raises:
        InputError: the segmentation or a segment is gone or changed meanwhile, or no voxels can be made of one.
    """
    work = _Work(segmentationNode, values, snapshot)
    for layer in layersOf(segmentationNode, work.segmentIds, snapshot):
        work.layers.append(layer)
        yield 0.05
    for count, layer in enumerate(work.layers, start=1):
        for _step in work.count(layer):
            yield 0.05 + 0.4 * (count - 1) / len(work.layers)
    work.rank()
    for count, layer in enumerate(work.layers, start=1):
        for _step in work.put(layer):
            yield 0.5 + 0.4 * (count - 1) / len(work.layers)
    yield 0.95
    return work.result()


class _Work:
    """A reading under way."""

    def __init__(self, segmentationNode: Any, values: Mapping[str, int], snapshot: VolumeSnapshot) -> None:
        if segmentationNode is None or segmentationNode.GetScene() is None:
            raise InputError(_("The segmentation was deleted."), _("Choose another one."))
        segmentation = segmentationNode.GetSegmentation()
        self._node, self._snapshot = segmentationNode, snapshot
        # In the order of the list of segments, whatever order the person ticked them in.
        self._values = dict(sorted(values.items(), key=lambda item: segmentation.GetSegmentIndex(item[0])))
        self.layers: list[SegmentLayer] = []
        self._outside: dict[str, float] = {}
        self._labelmap = np.zeros(snapshot.array.shape, np.uint8)
        self._own: dict[str, int] = dict.fromkeys(self._values, 0)
        self._voxels: dict[str, int] = dict.fromkeys(self._values, 0)
        self._size = np.zeros(256)  # mm3 of each value
        self._rank = np.zeros(256, np.int64)
        self._overlaps: dict[tuple[int, int], int] = {}
        self._filled: Box | None = None

    @property
    def segmentIds(self) -> list[str]:
        """Of the segments to read, in the order of the list."""
        return list(self._values)

    def count(self, layer: SegmentLayer) -> Generator[None, None, None]:
        """How many voxels the segments of a layer have, on its own grid."""
        array = layer.array
        counts: dict[int, int] = {}
        if layer.outside is not None:
            self._outside[layer.members[0][0]] = layer.outside
        for slab in slabs(((0, array.shape[0]), (0, array.shape[1]), (0, array.shape[2])), READ_VOXELS):
            for value, found in _counts(array[slices(slab)], [value for _id, value in layer.members]).items():
                counts[value] = counts.get(value, 0) + found
            yield
        cubicMm = abs(float(np.linalg.det(imageMatrix(layer.image)[:3, :3])))
        for segmentId, value in layer.members:
            self._own[segmentId] = counts.get(value, 0)
            self._size[self._values[segmentId]] += self._own[segmentId] * cubicMm

    def rank(self) -> None:
        """Who wins where structures overlap."""
        order = {value: place for place, value in enumerate(self._values.values())}
        largest = sorted(order, key=lambda value: (-self._size[value], order[value]))
        for place, value in enumerate(largest, start=1):
            self._rank[value] = place

    def put(self, layer: SegmentLayer) -> Generator[None, None, None]:
        """Write the segments of a layer into the label map."""
        snapshot, reach = self._snapshot, layer.boxOnScan(self._snapshot)
        if boxIsEmpty(reach):
            self._allOutside(layer)
            return
        there = starts(shifted(layer.box, layer.offset)) if layer.box and layer.offset is not None else None
        found: dict[int, int] = {}
        for slab in slabs(reach, READ_VOXELS if there is not None else RESAMPLED_VOXELS):
            part = layer.array[slices(slab, there)] if there is not None else layer.valuesOn(slab, snapshot)
            for value, voxels in _counts(part, [value for _id, value in layer.members]).items():
                found[value] = found.get(value, 0) + voxels
            self._merge(slab, _renumbered(part, {own: self._values[name] for name, own in layer.members}))
            yield
        self._filled = union([reach, *([self._filled] if self._filled else [])])
        for segmentId, own in layer.members:
            self._voxels[segmentId] = found.get(own, 0)
            if segmentId in self._outside:
                continue
            if there is not None:
                total = self._own[segmentId]
                self._outside[segmentId] = 1 - found.get(own, 0) / total if total else 0.0
            else:
                self._outside[segmentId] = layer.outsideShare(own, snapshot)
                yield

    def _allOutside(self, layer: SegmentLayer) -> None:
        for segmentId, _own in layer.members:
            self._outside.setdefault(segmentId, 1.0 if self._own[segmentId] else 0.0)

    def _merge(self, box: Box, new: np.ndarray) -> None:
        old = self._labelmap[slices(box)]
        shared = (old != 0) & (new != 0)
        shared &= old != new
        if not shared.any():
            np.maximum(old, new, out=old)
            return
        before, after = old[shared], new[shared]
        wins = self._rank[after] > self._rank[before]
        np.maximum(old, new, out=old)
        old[shared] = np.where(wins, after, before)
        pairs = np.where(wins, after * np.int64(256) + before, before * np.int64(256) + after)
        for pair, voxels in zip(*np.unique(pairs, return_counts=True), strict=True):
            key = (int(pair) // 256, int(pair) % 256)
            self._overlaps[key] = self._overlaps.get(key, 0) + int(voxels)

    def result(self) -> SegmentReading:
        surfaces = {layer.members[0][0] for layer in self.layers if layer.outside is not None}
        segments = tuple(
            SegmentFound(
                segmentId,
                self._nameOf(segmentId),
                value,
                self._own[segmentId] == 0 and segmentId not in surfaces,
                self._voxels[segmentId],
                self._outside.get(segmentId, 0.0),
            )
            for segmentId, value in self._values.items()
        )
        notes = (
            *segmentNotes(segments, self._snapshot.name),
            *layerNotes(self.layers, segments, self._node.GetName(), self._snapshot.name),
            *overlapNotes(self._overlaps, segments),
        )
        painted = paintedSlices(self._labelmap, self._filled)
        return SegmentReading(self._labelmap, segments, self._overlaps, painted, notes)

    def _nameOf(self, segmentId: str) -> str:
        segment = self._node.GetSegmentation().GetSegment(segmentId)
        return segment.GetName() if segment is not None and segment.GetName() else segmentId


def _counts(array: np.ndarray, values: list[int]) -> dict[int, int]:
    """How often each value occurs."""
    if array.dtype == np.uint8 and len(values) > 3:
        found = np.bincount(array.reshape(-1), minlength=256)
        return {value: int(found[value]) for value in values if 0 <= value < 256}
    return {value: int(np.count_nonzero(array == value)) for value in values}


def _renumbered(array: np.ndarray, values: Mapping[int, int]) -> np.ndarray:
    """uint8 array with other values; what is not named becomes 0."""
    if array.dtype == np.uint8 and len(values) > 3:
        table = np.zeros(256, np.uint8)
        for old, new in values.items():
            table[old] = new
        return table[array]
    result = np.zeros(array.shape, np.uint8)
    for old, new in values.items():
        result |= (array == old).view(np.uint8) * np.uint8(new)
    return result
