"""Arrays on grids and VTK's oriented images: one to the other, and from one grid to another.

A grid is a ``(4, 4)`` matrix from ``(i, j, k, 1)`` to RAS mm in the frame of a node. A box is half-open index ranges
along ``(K, J, I)``; its start may be negative, as a labelmap may reach beyond the scan that it refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from medcontext.geometry import IndexBox as Box

ALIGNED_VOXELS = 0.01
"""Grids whose voxels lie this close to each other everywhere are one grid: headers are rounded text."""
STEP_VOXELS = 1 << 23  # done at a time, so that no step takes long
ROUNDING = 1e-3  # share of a voxel that a corner may be off


def vtkMatrix(matrix: np.ndarray) -> Any:
    """The ``vtkMatrix4x4`` of a ``(4, 4)`` array."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy([float(value) for value in np.asarray(matrix).reshape(-1)])
    return result


def matrixArray(matrix: Any) -> np.ndarray:
    """The ``(4, 4)`` array of a ``vtkMatrix4x4``."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def orientedImage(array: np.ndarray, ijkToRas: np.ndarray, start: Iterable[int] = (0, 0, 0)) -> Any:
    """A ``vtkOrientedImageData`` with a copy of an array.

    Args:
        array: ``(K, J, I)``.
        ijkToRas: the grid, ``(4, 4)``.
        start: index along ``(K, J, I)`` of the first voxel.
    """
    image = slicer.vtkOrientedImageData()
    extent = [(first, first + size - 1) for first, size in zip(start, array.shape, strict=True)]
    image.SetExtent([int(end) for pair in reversed(extent) for end in pair])
    image.SetGeometryFromImageToWorldMatrix(vtkMatrix(ijkToRas))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).reshape(-1), deep=True))
    return image


def newImage(box: Box, ijkToRas: np.ndarray) -> Any:
    """A ``vtkOrientedImageData`` of bytes that are still to be filled, with :func:`imageArray`."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent([end for start, stop in reversed(box) for end in (start, stop - 1)])
    image.SetGeometryFromImageToWorldMatrix(vtkMatrix(ijkToRas))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    return image


def emptyImage(ijkToRas: np.ndarray) -> Any:
    """A ``vtkOrientedImageData`` without voxels, as an empty segment holds."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(0, -1, 0, -1, 0, -1)
    image.SetGeometryFromImageToWorldMatrix(vtkMatrix(ijkToRas))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    return image


def imageBox(image: Any) -> Box:
    """Where the voxels of a ``vtkImageData`` lie in its index space."""
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    return (k0, k1 + 1), (j0, j1 + 1), (i0, i1 + 1)


def boxShape(box: Box) -> tuple[int, int, int]:
    """Number of voxels along ``(K, J, I)``; 0 where a range is empty."""
    k, j, i = (max(0, end - start) for start, end in box)
    return k, j, i


def slabs(box: Box, voxels: int | None = None) -> Iterator[Box]:
    """A box cut across K, so that what is done with each part takes no more than some hundredths of a second.

    Args:
        box: what to cut.
        voxels: in a part, at least one slice; :data:`STEP_VOXELS` when None.
    """
    (first, last), j, i = box
    thickness = max(1, (voxels or STEP_VOXELS) // max(1, boxShape(box)[1] * boxShape(box)[2]))
    for start in range(first, last, thickness):
        yield (start, min(start + thickness, last)), j, i


def boxIsEmpty(box: Box | None) -> bool:
    return box is None or min(boxShape(box)) == 0


def intersection(first: Box, second: Box) -> Box:
    k, j, i = ((max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(first, second, strict=True))
    return k, j, i


def union(boxes: Iterable[Box]) -> Box | None:
    """The smallest box around the boxes that are not empty; None if all are."""
    full = [box for box in boxes if not boxIsEmpty(box)]
    if not full:
        return None
    k, j, i = ((min(box[axis][0] for box in full), max(box[axis][1] for box in full)) for axis in range(3))
    return k, j, i


def shifted(box: Box, offset: Iterable[int]) -> Box:
    k, j, i = ((start + by, end + by) for (start, end), by in zip(box, offset, strict=True))
    return k, j, i


def slices(box: Box, origin: Iterable[int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """What takes ``box`` out of an array whose first voxel has the index ``origin``."""
    k, j, i = (slice(start - by, end - by) for (start, end), by in zip(box, origin, strict=True))
    return k, j, i


def starts(box: Box) -> tuple[int, int, int]:
    return box[0][0], box[1][0], box[2][0]


def boundsOf(mask: np.ndarray) -> Box | None:
    """The smallest box that holds all voxels that are not zero; None if there are none."""
    if mask.dtype.kind not in "biu":
        mask = mask != 0
    # Bits are or-ed many times faster than truth values; each axis is asked only where the ones before are filled.
    if mask.size == 0:
        return None
    planes = np.flatnonzero(np.bitwise_or.reduce(mask.reshape(len(mask), -1), axis=1))
    if planes.size == 0:
        return None
    k = int(planes[0]), int(planes[-1]) + 1
    flat = np.bitwise_or.reduce(mask[slice(*k)], axis=0)
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return k, (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def among(array: np.ndarray, values: Iterable[int]) -> np.ndarray:
    """Where an array holds one of the values; bytes are looked up, which is many times faster than comparing."""
    wanted = list(values)
    if array.dtype != np.uint8:
        return np.isin(array, wanted)
    table = np.zeros(256, bool)
    table[[value for value in wanted if 0 <= value < 256]] = True
    return table[array]


def imageArray(image: Any) -> np.ndarray:
    """A view ``(K, J, I)`` of the voxels of a ``vtkImageData`` with one component; it keeps them alive."""
    shape = boxShape(imageBox(image))
    scalars = image.GetPointData().GetScalars()
    if scalars is None or min(shape) == 0:
        return np.zeros(shape, np.uint8)
    return vtk_to_numpy(scalars).reshape(shape)


def imageMatrix(image: Any) -> np.ndarray:
    """The grid of a ``vtkOrientedImageData``, ``(4, 4)``."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return matrixArray(matrix)


def transformBetween(sourceTransformNode: Any, targetTransformNode: Any) -> Any:
    """The ``vtkGeneralTransform`` from the frame below one transform node to that below another; None is world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(sourceTransformNode, targetTransformNode, transform)
    return transform


def linearMatrix(transform: Any) -> np.ndarray | None:
    """The ``(4, 4)`` matrix of a ``vtkGeneralTransform``; None if it is not linear."""
    linear = vtk.vtkTransform()
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform, linear):
        return None
    return matrixArray(linear.GetMatrix())


def alignment(source: np.ndarray, target: np.ndarray, size: int = 1024) -> tuple[int, int, int] | None:
    """What to add to an index ``(k, j, i)`` of the grid ``source`` for the same voxel of the grid ``target``.

    Both grids are in one frame. None if the voxels of one do not lie on those of the other (over ``size`` voxels).
    """
    try:
        matrix = np.linalg.solve(target, source)
    except np.linalg.LinAlgError:
        return None
    offset = np.round(matrix[:3, 3])
    drift = np.abs(matrix[:3, :3] - np.eye(3)).max() * size
    if drift > ALIGNED_VOXELS or np.abs(matrix[:3, 3] - offset).max() > ALIGNED_VOXELS:
        return None
    return int(offset[2]), int(offset[1]), int(offset[0])


def placed(image: Any, transform: Any) -> tuple[Any, Any]:
    """An image and a transform of it, with what is linear of the transform in the image's own grid.

    Resampling through a ``vtkGeneralTransform`` takes several times as long as through a matrix.

    Returns:
        A ``vtkOrientedImageData`` that shares the voxels, and the transform that is left; None for none.
    """
    matrix = None if transform is None else linearMatrix(transform)
    if matrix is None:
        return image, transform
    moved = slicer.vtkOrientedImageData()
    moved.ShallowCopy(image)
    moved.SetGeometryFromImageToWorldMatrix(vtkMatrix(matrix @ imageMatrix(image)))
    return moved, None


def resampled(
    image: Any,
    ijkToRas: np.ndarray,
    box: Box,
    transform: Any = None,
    linear: bool = False,
    background: float = 0,
) -> np.ndarray:
    """Voxels of an oriented image at the places of another grid.

    Args:
        image: what to resample, one component.
        ijkToRas: the grid wanted.
        box: the part of it that is wanted.
        transform: from the frame of the image to that of the grid; None if they are the same.
        linear: interpolate; else the nearest voxel counts.
        background: the value outside the image.

    Returns:
        A new array of the shape of ``box``.
    """
    reference = slicer.vtkOrientedImageData()
    reference.SetExtent([end for start, stop in reversed(box) for end in (start, stop - 1)])
    reference.SetGeometryFromImageToWorldMatrix(vtkMatrix(ijkToRas))
    output = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, reference, output, linear, False, transform, float(background)
    )
    array = np.full(boxShape(box), background, imageArray(output).dtype)
    common = intersection(imageBox(output), box)
    if not boxIsEmpty(common):
        array[slices(common, starts(box))] = imageArray(output)[slices(common, starts(imageBox(output)))]
    return array


def valuesOn(image: Any, ijkToRas: np.ndarray, box: Box, transform: Any = None) -> np.ndarray:
    """Like :func:`resampled` with the nearest voxel, without resampling where both grids are one.

    Returns:
        A new array of the shape of ``box``, 0 outside the image.
    """
    array = imageArray(image)
    if array.size == 0:
        return np.zeros(boxShape(box), np.uint8)
    matrix = np.eye(4) if transform is None else linearMatrix(transform)
    offset = None if matrix is None else alignment(matrix @ imageMatrix(image), ijkToRas)
    if offset is None:
        return resampled(image, ijkToRas, box, transform)
    result = np.zeros(boxShape(box), array.dtype)
    there = shifted(imageBox(image), offset)
    common = intersection(there, box)
    if not boxIsEmpty(common):
        result[slices(common, starts(box))] = array[slices(common, starts(there))]
    return result


def boxOn(image: Any, ijkToRas: np.ndarray) -> Box:
    """The box on a grid that holds a labelmap, which may have another grid in the same frame."""
    own = imageBox(image)
    if boxIsEmpty(own):
        return own
    ends = [np.array([start - 0.5, end - 0.5]) for start, end in own]
    k, j, i = (grid.reshape(-1) for grid in np.meshgrid(*ends, indexing="ij"))
    corners = np.stack([i, j, k, np.ones(8)], axis=1) @ (np.linalg.inv(ijkToRas) @ imageMatrix(image)).T
    low = np.floor(corners[:, 2::-1].min(axis=0) + 0.5 + ROUNDING).astype(int)
    high = np.ceil(corners[:, 2::-1].max(axis=0) + 0.5 - ROUNDING).astype(int)
    first, second, third = ((int(a), int(b)) for a, b in zip(low, high, strict=True))
    return first, second, third


def cropped(array: np.ndarray, place: Box | None, box: Box) -> np.ndarray:
    """A copy of what an array at ``place`` has in ``box``; 0 elsewhere."""
    result = np.zeros(boxShape(box), array.dtype)
    common = intersection(place, box) if place is not None else None
    if place is not None and common is not None and not boxIsEmpty(common):
        result[slices(common, starts(box))] = array[slices(common, starts(place))]
    return result
