"""A result on the voxel grid of the segmentation that takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import (
    boundsOf,
    boxShape,
    intersection,
    orientedImage,
    resampled,
    shifted,
    slabs,
    slices,
    starts,
    union,
)
from MedContextSegmentLib.Scene.SegmentationTarget import Target
from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel


@dataclass(frozen=True)
class Piece:
    """A label of the result, and its box on the grid of the segmentation; None where it has no voxel."""

    label: SegmentLabel
    box: Box | None


class Placement:
    """Brings a result and the region it is for to the grid of a segmentation.

    Attributes:
        values: uint8 ``(K, J, I)`` label map; a view of the result where both grids are one.
        box: where on the grid it lies.
        pieces: its labels.
        region: bool ``(K, J, I)``.
        regionBox: where on the grid the region lies; None for no region.

    Raises:
        InputError: the region is empty.
    """

    def __init__(self, result: SegmentationResult, target: Target, region: np.ndarray | None) -> None:
        self._result, self._target, self._source = result, target, region
        self._sourceBox = boundsOf(region) if region is not None else None
        if region is not None and self._sourceBox is None:
            raise InputError(_("The region is empty."), _("Draw a region that covers a part of the scan."))
        self.values = np.zeros((0, 0, 0), np.uint8)
        self.box: Box = ((0, 0), (0, 0), (0, 0))
        self.pieces: list[Piece] = []
        self.region = np.zeros((0, 0, 0), bool)
        self.regionBox: Box | None = None

    def steps(self) -> Iterator[None]:
        """Fill the attributes, a little at a time."""
        if self._source is not None and self._sourceBox is not None:
            mask = np.asarray(self._source) != 0
            yield from self._bring(mask.view(np.uint8), self._sourceBox)
            self.region, self.regionBox = self.values != 0, self.box
        used = union(label.extent for label in self._result.labels if label.extent)
        if used is None:
            self.values, self.box = np.zeros((0, 0, 0), np.uint8), ((0, 0), (0, 0), (0, 0))
        else:
            yield from self._bring(self._result.labelmap, used)
        for label in self._result.labels:
            yield from self._locate(label)

    def _bring(self, array: np.ndarray, box: Box) -> Iterator[None]:
        """Set ``values`` and ``box`` to a part of an array on the grid of the scan."""
        target = self._target
        if target.offset is not None:
            self.values, self.box = array[slices(box)], shifted(box, target.offset)
            return
        image = orientedImage(array[slices(box)], target.scan.ijkToRas, starts(box))
        wanted = target.boxAround(box)
        values = np.zeros(boxShape(wanted), np.uint8)
        for part in slabs(wanted):
            values[slices(part, starts(wanted))] = resampled(image, target.ijkToRas, part, target.transform)
            yield
        self.values, self.box = values, wanted

    def _locate(self, label: SegmentLabel) -> Iterator[None]:
        """Add the piece of a label."""
        extent = label.extent
        if extent is None or self._target.offset is not None:
            offset = self._target.offset or (0, 0, 0)
            self.pieces.append(Piece(label, shifted(extent, offset) if extent else None))
            return
        inside = intersection(self._target.boxAround(extent), self.box)
        bounds = boundsOf(self.values[slices(inside, starts(self.box))] == label.value)
        self.pieces.append(Piece(label, shifted(bounds, starts(inside)) if bounds else None))
        yield
