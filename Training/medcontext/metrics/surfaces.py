"""Surfaces of masks and the distances between them, in millimetres on the grid they were drawn on."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from medcontext.geometry import Geometry

Box = tuple[slice, slice, slice]


def value_boxes(labelmap: np.ndarray) -> dict[int, Box]:
    """The box around each value of a ``(K, J, I)`` labelmap, background left out."""
    return {value: box for value, box in enumerate(ndimage.find_objects(labelmap), 1) if box is not None}


def union_box(first: Box | None, second: Box | None, shape: tuple[int, int, int]) -> Box | None:
    """The box around both, one voxel wider where the image allows it; None when there is neither."""
    boxes = [box for box in (first, second) if box is not None]
    if not boxes:
        return None
    sides = zip(shape, *boxes, strict=True)
    return tuple(  # type: ignore[return-value]
        slice(max(0, min(s.start for s in slices) - 1), min(n, max(s.stop for s in slices) + 1))
        for n, *slices in sides
    )


def surface_voxels(mask: np.ndarray, ignored: np.ndarray, flat_axes: tuple[int, ...] = ()) -> np.ndarray:
    """The voxels of ``mask`` that share a face with the outside.

    What lies beyond the array is outside; an ignored voxel is neither inside nor outside, so that the cut
    between annotated and unannotated slices is no surface.

    Args:
        mask: bool ``(K, J, I)``; false where ``ignored``.
        ignored: bool ``(K, J, I)``.
        flat_axes: array axes along which the image has one voxel: a 2D image has no surface towards them.
    """
    faces = ndimage.generate_binary_structure(3, 1)
    for axis in flat_axes:
        faces.swapaxes(0, axis)[[0, 2]] = False
    return mask & ~ndimage.binary_erosion(mask | ignored, faces)


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, ignored: np.ndarray, geometry: Geometry
) -> tuple[np.ndarray, np.ndarray]:
    """For each surface voxel of one mask the distance in mm to the nearest surface voxel of the other.

    Positions are those in the patient, so that anisotropic, oblique and sheared (gantry tilt) grids come out
    right. Where the other mask has no surface the distances are infinite.

    Args:
        prediction: bool ``(K, J, I)``; false where ``ignored``.
        reference: bool ``(K, J, I)``; false where ``ignored``.
        ignored: bool ``(K, J, I)``.
        geometry: the grid of the whole image; the arrays may be any crop of it.

    Returns:
        Distances from the prediction to the reference and back, 1D float64.
    """
    flat = tuple(axis for axis in range(3) if geometry.shape[axis] == 1)
    points = [
        np.argwhere(surface_voxels(mask, ignored, flat))[:, ::-1] @ geometry.affine[:3, :3].T
        for mask in (prediction, reference)
    ]
    return _nearest(points[0], points[1]), _nearest(points[1], points[0])


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    # Where torch flushes denormal numbers to zero (tune_cpu), scipy's tree never ends splitting at the
    # coordinate 0, since the number after it is denormal, and crashes. From 1 mm on there are none.
    shift = 1.0 - np.minimum(points.min(0), others.min(0))
    # Bigger leaves than the default 16: the tree is asked once, for all points.
    distances, _ = KDTree(others + shift, leafsize=32).query(points + shift)
    return np.asarray(distances, np.float64)
