"""The label maps that hold chosen segments, each read once however many segments share it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import (
    ROUNDING,
    alignment,
    boundsOf,
    boxIsEmpty,
    emptyImage,
    imageArray,
    imageBox,
    imageMatrix,
    intersection,
    orientedImage,
    placed,
    shifted,
    slices,
    starts,
    transformBetween,
    valuesOn,
)
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP, SAMPLES, SURFACE
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot

SPARE_SHARE = 0.1
"""Of the size of a box below a transform that is not linear: between the points looked at it may bulge."""

SPARE_VOXELS = 2
SAMPLED_VOXELS = 1 << 16
ENOUGH_VOXELS = 500
"""Of a segment on another grid voxels on a lattice are looked at; of a small one, all."""


@dataclass(eq=False)
class SegmentLayer:
    """A label map with the segments that it holds.

    Attributes:
        members: segment id and its value in the label map.
        source: ``vtkOrientedImageData`` of the segmentation.
        image: the same voxels where a linear transform puts them.
        box: what of the image is not zero, in its own indices; None where all is.
        transform: ``vtkGeneralTransform`` from the frame of the image to that of the scan; None for the same.
        offset: what to add to an index ``(k, j, i)`` of the image for that of the scan; None for another grid.
        outside: of a segment that is kept as a surface, about how much of it lies outside of the scan; else None.
        stamp: changes when the voxels do.
    """

    members: list[tuple[str, int]]
    source: Any
    image: Any
    box: Box | None
    transform: Any
    offset: tuple[int, int, int] | None
    outside: float | None = None
    stamp: int = field(init=False)

    def __post_init__(self) -> None:
        self.stamp = self.source.GetMTime()

    @property
    def array(self) -> np.ndarray:
        """What of the image is not zero, ``(K, J, I)``, a view.

        Raises:
            InputError: somebody painted since the layer was made.
        """
        self.check()
        whole = imageArray(self.source)
        if self.box is None:
            return whole[:0]
        place = shifted(self.box, (-start for start in starts(imageBox(self.source))))
        return whole[tuple(slice(*side) for side in place)]

    def check(self) -> None:
        """Whether the voxels are still those that were found.

        Raises:
            InputError: somebody painted since the layer was made.
        """
        if self.source.GetMTime() != self.stamp:
            raise InputError(_("The segmentation was changed while it was read."), _("Do it again."))

    def valuesOn(self, box: Box, snapshot: VolumeSnapshot) -> np.ndarray:
        """A new array of what it holds in a box of the scan's grid, the nearest voxel.

        Raises:
            InputError: somebody painted since the layer was made.
        """
        self.check()
        return valuesOn(self.image, snapshot.ijkToRas, box, self.transform)

    def boxOnScan(self, snapshot: VolumeSnapshot) -> Box:
        """The part of the scan's grid that it may reach, not larger than the scan; empty where it lies beside."""
        whole = wholeBox(snapshot)
        if self.box is None:
            return (0, 0), (0, 0), (0, 0)
        if self.offset is not None:
            return intersection(shifted(self.box, self.offset), whole)
        axes = [np.linspace(start - 0.5, end - 0.5, SAMPLES) for start, end in self.box]
        grid = np.meshgrid(*axes, indexing="ij")
        indices = self.onScan(np.stack([axis.reshape(-1) for axis in grid], axis=1), snapshot)
        low, high = indices.min(axis=0), indices.max(axis=0)
        spare = SPARE_VOXELS + (0 if self.transform is None else SPARE_SHARE * (high - low))
        first, last = np.floor(low - spare), np.ceil(high + spare) + 1
        reach = tuple((int(a), int(b)) for a, b in zip(first, last, strict=True))
        return intersection(reach, whole)  # type: ignore[arg-type]

    def onScan(self, indices: np.ndarray, snapshot: VolumeSnapshot) -> np.ndarray:
        """``(N, 3)`` indices ``(k, j, i)`` of the image as continuous indices of the scan."""
        points = indices[:, ::-1] @ imageMatrix(self.image)[:3, :3].T + imageMatrix(self.image)[:3, 3]
        return _indexOf(_moved(points, self.transform), snapshot)

    def outsideShare(self, value: int, snapshot: VolumeSnapshot) -> float:
        """About how much of a segment on another grid lies outside of the scan, 0 to 1."""
        if self.box is None:
            return 0.0
        array, origin = self.array, np.array(starts(self.box))
        step = max(1, round((array.size / SAMPLED_VOXELS) ** (1 / 3)))
        filled = np.argwhere(array[::step, ::step, ::step] == value) * step
        if len(filled) < ENOUGH_VOXELS and step > 1:  # a small one: all of it
            mask = array == value
            bounds = boundsOf(mask) or ((0, 0), (0, 0), (0, 0))
            filled = np.argwhere(mask[slices(bounds)]) + starts(bounds)
        if len(filled) == 0:
            return 0.0
        return float(_outside(self.onScan(filled + origin, snapshot), snapshot).mean())


def wholeBox(snapshot: VolumeSnapshot) -> Box:
    """All voxels of a scan."""
    k, j, i = snapshot.array.shape
    return (0, k), (0, j), (0, i)


def layersOf(
    segmentationNode: Any, segmentIds: Iterable[str], snapshot: VolumeSnapshot
) -> Iterator[SegmentLayer]:
    """The label maps of segments; for those that have only a surface one is made on the grid of the scan.

    The segmentation is not changed: its surfaces are converted in a copy.

    Raises:
        InputError: a segment is gone, or is kept in a form of which no voxels can be made.
    """
    segmentation, parent = segmentationNode.GetSegmentation(), segmentationNode.GetParentTransformNode()
    frame = slicer.mrmlScene.GetNodeByID(snapshot.transformNodeId) if snapshot.transformNodeId else None
    transform = transformBetween(parent, frame) if parent is not frame else None
    shared: dict[Any, list[tuple[str, int]]] = {}
    others = []
    for segmentId in segmentIds:
        segment = segmentation.GetSegment(segmentId)
        if segment is None:
            raise InputError(_("A chosen segment is gone."), _("Choose the segments again."))
        image = segment.GetRepresentation(LABELMAP)
        if image is None:
            others.append((segmentId, segment))
        else:
            shared.setdefault(image, []).append((segmentId, segment.GetLabelValue()))
    for image, members in shared.items():
        yield _layer(image, members, transform, snapshot)
    for segmentId, segment in others:
        surface = segment.GetRepresentation(SURFACE)
        if surface is not None:
            image, outside = _filled(surface, transform, snapshot)
            yield _layer(image, [(segmentId, 1)], None, snapshot, outside)
        else:
            image = _converted(segmentationNode, segmentId)
            yield _layer(
                image, [(segmentId, int(imageArray(image).max(initial=0)) or 1)], transform, snapshot
            )


def _layer(
    image: Any,
    members: list[tuple[str, int]],
    transform: Any,
    snapshot: VolumeSnapshot,
    outside: float | None = None,
) -> SegmentLayer:
    array = imageArray(image)
    bounds = boundsOf(array) if array.size else None
    box = shifted(bounds, starts(imageBox(image))) if bounds is not None else None
    moved, bending = placed(image, transform)
    offset = None
    if bending is None and array.size:
        size = max(*array.shape, *snapshot.array.shape)
        offset = alignment(imageMatrix(moved), snapshot.ijkToRas, size)
    return SegmentLayer(members, image, moved, box, bending, offset, outside)


def _filled(surface: Any, transform: Any, snapshot: VolumeSnapshot) -> tuple[Any, float | None]:
    """The voxels of the scan inside a ``vtkPolyData``, and the share of its points that lie outside of the scan;
    None where it has no points.

    Not by Slicer's own conversion: cropped to a scan that the surface does not touch, that one ends the program.
    """
    if surface.GetNumberOfPoints() == 0:
        return emptyImage(snapshot.ijkToRas), None
    points = _moved(np.array(vtk_to_numpy(surface.GetPoints().GetData()), np.float64), transform)
    indices = _indexOf(points, snapshot)
    outside = float(_outside(indices, snapshot).mean())
    first, last = np.floor(indices.min(axis=0)), np.ceil(indices.max(axis=0)) + 1
    reach = tuple((int(a), int(b)) for a, b in zip(first, last, strict=True))
    box = intersection(reach, wholeBox(snapshot))  # type: ignore[arg-type]
    if boxIsEmpty(box):
        return emptyImage(snapshot.ijkToRas), outside
    mesh, places = vtk.vtkPolyData(), vtk.vtkPoints()
    places.SetData(numpy_to_vtk(np.ascontiguousarray(indices[:, ::-1]), deep=True))
    mesh.CopyStructure(surface)
    mesh.SetPoints(places)
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(mesh)
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputConnection(triangles.GetOutputPort())
    stencil.SetOutputSpacing(1, 1, 1)
    stencil.SetOutputOrigin(0, 0, 0)
    stencil.SetOutputWholeExtent([end for start, stop in reversed(box) for end in (start, stop - 1)])
    image = vtk.vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetOutputScalarType(vtk.VTK_UNSIGNED_CHAR)
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.Update()
    return orientedImage(imageArray(image.GetOutput()), snapshot.ijkToRas, starts(box)), outside


def _converted(segmentationNode: Any, segmentId: str) -> Any:
    """A ``vtkOrientedImageData`` of a segment in any other form, made by Slicer in a copy of the segment."""
    image = slicer.vtkOrientedImageData()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.GetSegmentBinaryLabelmapRepresentation(segmentationNode, segmentId, image, False):
        name = segmentationNode.GetSegmentation().GetSegment(segmentId).GetName()
        raise InputError(
            _("The segment '{name}' cannot be turned into voxels.").format(name=name),
            _("Create its binary labelmap in the module Segmentations."),
        )
    return image


def _moved(points: np.ndarray, transform: Any) -> np.ndarray:
    """``(N, 3)`` points below a ``vtkGeneralTransform``; None leaves them where they are."""
    if transform is None:
        return points
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    source.SetData(numpy_to_vtk(np.ascontiguousarray(points, np.float64)))
    transform.TransformPoints(source, target)
    return np.array(vtk_to_numpy(target.GetData()), np.float64)


def _indexOf(points: np.ndarray, snapshot: VolumeSnapshot) -> np.ndarray:
    """RAS mm in the frame of the scan as continuous indices ``(k, j, i)``."""
    matrix = np.linalg.inv(snapshot.ijkToRas)
    return (points @ matrix[:3, :3].T + matrix[:3, 3])[:, ::-1]


def _outside(indices: np.ndarray, snapshot: VolumeSnapshot) -> np.ndarray:
    """Which ``(N, 3)`` indices lie in no voxel of the scan."""
    last = np.array(snapshot.array.shape) - 0.5
    beside = (indices < -0.5 - ROUNDING) | (indices > last + ROUNDING)
    return np.asarray(beside.any(axis=1))
