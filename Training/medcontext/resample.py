"""Bringing arrays and volumes to another grid.

Within one box (``resample_array``, ``resample_volume``) outer voxel faces coincide, as in
``Geometry.resampled``: output index ``o`` of ``n`` lies at input index ``(o + 0.5) * N / n - 0.5``.
Between any two placements in the patient use ``resample_to_grid``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Triple, Volume, describe
from medcontext.labels import IGNORE

_TIE = 1e-4
"""Bonus of the nearest voxel's label: decides exact ties (frequent at factor 2) without favouring a class."""

_ITK_TYPES = {"bool": "uint8", "float16": "float32"}
"""Types that ITK lacks, and what stands in for them."""

Box = tuple[slice, slice, slice]
_Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def resample_array(
    array: np.ndarray, shape: Sequence[int], order: int, nearest_axis: int | None = None
) -> np.ndarray:
    """Resample the spatial axes of an array over the same box.

    Args:
        array: ``(C, K, J, I)``.
        shape: output size ``(K, J, I)``.
        order: 1 interpolates linearly. 0 is for labelmaps (unsigned integers or bool): each label is
            interpolated linearly and the strongest wins, so that borders stay smooth; 255 (ignore) goes where
            the nearest voxel has it. Float arrays of order 0 take the nearest voxel.
        nearest_axis: spatial axis (0..2) along which the nearest voxel is taken whatever the order, or None.

    Returns:
        ``(C, *shape)``; float32 for order 1, else the type of ``array``. No copy where nothing changes.
    """
    if array.ndim != 4 or order not in (0, 1):
        raise ValueError(f"Arrays are (C, K, J, I) and orders 0 or 1, not {array.shape} and {order}.")
    target: Triple = (int(shape[0]), int(shape[1]), int(shape[2]))
    if array.shape[1:] == target:
        return array if order == 0 else array.astype(np.float32, copy=False)
    if nearest_axis is not None:
        sizes = list(array.shape)
        sizes[nearest_axis + 1] = target[nearest_axis]
        array = nearest(array, sizes)
    if order == 1:
        return _linear(array, target)
    if not _is_labels(array):
        return nearest(array, (len(array), *target))
    return np.stack([_labels_in_box(channel, target) for channel in array])


def nearest(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An array of any axes at another size over the same box: the nearest entry. No copy where nothing changes."""
    for axis, (count, wanted) in enumerate(zip(array.shape, shape, strict=True)):
        if count != wanted:
            index = ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)
            array = array.take(index, axis)
    return array


def resample_volume(
    volume: Volume, spacing: tuple[float, float, float], order: int, nearest_axis: int | None = None
) -> Volume:
    """Resample over the same box to the shape closest to ``spacing`` (mm, ``(K, J, I)``).

    ``order`` and ``nearest_axis`` as in :func:`resample_array`.
    """
    shape = volume.geometry.shape_at(spacing)
    array = resample_array(volume.array, shape, order, nearest_axis)
    return Volume(array, volume.geometry if shape == volume.shape else volume.geometry.resampled(shape))


def resample_to_grid(volume: Volume, geometry: Geometry, order: int, fill: float = 0) -> Volume:
    """Sample a volume on any other grid in the same patient; affines may be oblique, flipped or sheared.

    Args:
        volume: what to sample.
        geometry: the grid wanted.
        order: 1 is linear (float32 out); 0 keeps the type: labels as in :func:`resample_array`, floats by the
            nearest voxel.
        fill: value of voxels whose centre lies outside of ``volume``.

    Raises:
        InputError: the two boxes do not overlap.
    """
    if volume.geometry.same_grid(geometry):
        return volume if order == 0 else Volume(volume.array.astype(np.float32, copy=False), volume.geometry)
    _check_overlap(volume.geometry, geometry)
    between = np.linalg.inv(volume.geometry.affine) @ geometry.affine
    if order == 0 and _is_labels(volume.array):
        channels = [_labels_between(channel, geometry.shape, between, fill) for channel in volume.array]
        return Volume(np.stack(channels), geometry)
    dtype = np.dtype(np.float32) if order == 1 else volume.array.dtype
    array = np.empty((volume.channels, *geometry.shape), dtype)
    for source, target in zip(volume.array, array, strict=True):
        target[...] = _sample(source, geometry.shape, between, linear=order == 1, fill=fill)
    return Volume(array, geometry)


def join_channels(channels: Iterable[tuple[str, Volume]], reporter: Reporter) -> Volume:
    """One image of several channels on the grid of the first.

    Those on another grid are resampled linearly, which the reporter is told; outside of them lies their
    smallest value. Each channel is asked for only when those before it are done.

    Args:
        channels: name for people and volume of each, at least one.
        reporter: is warned of resampling.

    Raises:
        InputError: the images do not overlap.
    """
    sources = iter(channels)
    first_name, first = next(sources)
    arrays = [first.array]
    for name, volume in sources:
        other = volume
        if not other.geometry.same_grid(first.geometry):
            reporter.warning(
                f"{name} was resampled to the grid of {first_name} ({describe(first.geometry)})."
            )
            other = resample_to_grid(other, first.geometry, order=1, fill=float(other.array.min()))
        arrays.append(other.array)
    return first if len(arrays) == 1 else Volume(np.concatenate(arrays), first.geometry)


def _is_labels(array: np.ndarray) -> bool:
    return array.dtype.kind in "iub"


def _check_overlap(source: Geometry, target: Geometry) -> None:
    index = source.lps_to_index(target.corners())
    if (index.max(0) < -0.5).any() or (index.min(0) > np.asarray(source.shape) - 0.5).any():
        raise InputError(
            "The two images do not lie in the same place: their boxes do not overlap.",
            "Register them first, or check that they come from the same examination.",
        )


def _linear(array: np.ndarray, shape: Triple) -> np.ndarray:
    import torch
    from torch.nn import functional

    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return functional.interpolate(tensor[None], size=shape, mode="trilinear", align_corners=False)[0].numpy()


def _sample(
    array: np.ndarray, shape: Triple, between: np.ndarray, *, linear: bool, fill: float = 0
) -> np.ndarray:
    """``(K, J, I)`` array at ``between @ (i, j, k, 1)`` for each index of ``shape``, by SimpleITK.

    ITK is told bare indices and the affine between them, which also holds for sheared axes.
    """
    import SimpleITK as sitk

    transform = sitk.AffineTransform(between[:3, :3].ravel().tolist(), between[:3, 3].tolist())
    dtype = "float32" if linear else _ITK_TYPES.get(array.dtype.name, array.dtype.name)
    image = sitk.GetImageFromArray(array.astype(dtype, copy=False))
    interpolator = sitk.sitkLinear if linear else sitk.sitkNearestNeighbor
    size = [int(n) for n in shape[::-1]]
    origin, spacing, direction = [0.0] * 3, [1.0] * 3, np.eye(3).ravel().tolist()
    moved = sitk.Resample(image, size, transform, interpolator, origin, spacing, direction, float(fill))
    return sitk.GetArrayFromImage(moved)


def _labels_in_box(labels: np.ndarray, shape: Triple) -> np.ndarray:
    """``(K, J, I)`` labels to ``shape`` over the same box."""
    tables = [_linear_table(n, m) for n, m in zip(labels.shape, shape, strict=True)]

    def reach(box: Box) -> Box:
        parts = [_reach(table, part) for table, part in zip(tables, box, strict=True)]
        return parts[0], parts[1], parts[2]

    def score(value: int, _: Box, out: Box) -> np.ndarray:
        return _interpolate(labels, value, [tuple(p[o] for p in t) for t, o in zip(tables, out, strict=True)])

    return _strongest_label(labels, nearest(labels, shape), reach, score)


def _labels_between(labels: np.ndarray, shape: Triple, between: np.ndarray, fill: float) -> np.ndarray:
    """``(K, J, I)`` labels on the grid that ``between`` maps to theirs; ``fill`` outside."""
    nearest = _sample(labels, shape, between, linear=False, fill=fill).astype(labels.dtype, copy=False)
    inverse = Geometry(labels.shape, np.linalg.inv(between))

    def grown(box: Box) -> Box:
        """One voxel more on each side: linear interpolation reaches that far."""
        ends = [(max(0, p.start - 1), min(n, p.stop + 1)) for p, n in zip(box, labels.shape, strict=True)]
        return slice(*ends[0]), slice(*ends[1]), slice(*ends[2])

    def reach(box: Box) -> Box:
        ends = np.meshgrid(*((p.start - 1, p.stop) for p in box), indexing="ij")
        corners = inverse.index_to_lps(np.stack(ends, -1).reshape(-1, 3))[:, ::-1]
        low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
        parts = [slice(*np.clip((a, b), 0, n)) for a, b, n in zip(low, high, shape, strict=True)]
        return parts[0], parts[1], parts[2]

    def score(value: int, box: Box, out: Box) -> np.ndarray:
        window = grown(box)
        moved = between.copy()
        moved[:3, 3] += between[:3, :3] @ [p.start for p in out[::-1]] - [p.start for p in window[::-1]]
        size = (out[0].stop - out[0].start, out[1].stop - out[1].start, out[2].stop - out[2].start)
        return _sample(labels[window] == value, size, moved, linear=True)

    return _strongest_label(labels, nearest, reach, score)


def _strongest_label(
    labels: np.ndarray,
    nearest: np.ndarray,
    reach: Callable[[Box], Box],
    score: Callable[[int, Box, Box], np.ndarray],
) -> np.ndarray:
    """The label that scores best at each output voxel; memory is one float32 volume whatever their number.

    Args:
        labels: ``(K, J, I)`` input.
        nearest: output by nearest neighbour; it stays where no label scores, and wherever it is 255.
        reach: from a box of the input to the output box that can see it.
        score: interpolated presence of a value that fills an input box, on an output box.
    """
    from scipy import ndimage

    codes = labels.view(np.uint8) if labels.dtype == bool else labels
    whole = (slice(0, labels.shape[0]), slice(0, labels.shape[1]), slice(0, labels.shape[2]))
    result, best = nearest.copy(), np.zeros(nearest.shape, np.float32)
    for value, box in enumerate([whole, *ndimage.find_objects(codes)]):
        out = reach(box) if box is not None and value != IGNORE else None
        if out is None or any(part.start >= part.stop for part in out):
            continue  # absent, or thinner than an output voxel and between two of them
        strength = score(value, box, out)
        strength += np.float32(_TIE) * (nearest[out] == value)
        wins = strength > best[out]
        np.copyto(best[out], strength, where=wins)
        result[out][wins] = value
    np.copyto(result, nearest, where=nearest == IGNORE)
    return result


def _linear_table(count: int, wanted: int) -> _Table:
    """Lower and upper input index and the weight of the upper one, for each output index."""
    position = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    low = position.astype(np.int64)
    weight = (position - low).astype(np.float32)
    return low, low + (weight > 0), weight


def _reach(table: _Table, part: slice) -> slice:
    """Output indices that see input indices of ``part``; they are contiguous."""
    seen = np.flatnonzero((table[0] < part.stop) & (table[1] >= part.start))
    return slice(int(seen[0]), int(seen[-1]) + 1) if seen.size else slice(0, 0)


def _interpolate(labels: np.ndarray, value: int, tables: Sequence[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Linear interpolation of ``labels == value``, axis by axis, on the input window the tables see."""
    window = tuple(slice(int(low[0]), int(high[-1]) + 1) for low, high, _ in tables)
    score: np.ndarray = (labels[window] == value).astype(np.float32)
    for axis, (low, high, weight) in enumerate(tables):
        if np.array_equal(low, np.arange(low[0], high[-1] + 1)) and not weight.any():
            continue  # this axis stays as it is
        lower = score.take(low - window[axis].start, axis)
        upper = score.take(high - window[axis].start, axis)
        upper -= lower
        upper *= weight.reshape([-1 if a == axis else 1 for a in range(3)])
        lower += upper
        score = lower
    return score
