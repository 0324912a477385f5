"""What a correction says, voxel by voxel: the person's answer, the parent's, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medcontext.inference.focus import Box
from medcontext.inference.region import AxisMap, Region
from medcontext.labels import IGNORE

KEEP = 254
"""In a target: here the parent's answer is kept."""

THIN = 2
"""A stroke of at most so many slices was painted slice by slice."""

TOUCHING = np.ones((3, 3, 3), bool)


def looked_at(before: np.ndarray, corrected: np.ndarray) -> np.ndarray:
    """Where a person has looked, to judge by what was changed.

    That is what was changed, and the whole of each slice in which something was painted: who corrects a slice has seen
    what else is in it. Nothing around a stroke: where the model was wrong, it is likely to be wrong next to it too.

    Args:
        before: uint8 ``(K, J, I)``, the model's answer.
        corrected: the same after the correction.

    Returns:
        bool ``(K, J, I)``.
    """
    changed = before != corrected
    looked = changed.copy()
    boxes = _strokes(changed)
    axes = {axis for box in boxes if (axis := _thin_axis(_sizes(box))) is not None}
    # Dots and lines do not tell the view they were painted in; the other strokes do, or all of them together.
    if not axes:
        filled = [int(np.count_nonzero(changed.any(axis=other))) for other in ((1, 2), (0, 2), (0, 1))]
        axes = {axis for axis in [_thin_axis(filled, changed.shape[0])] if axis is not None and boxes}
    common = axes.pop() if len(axes) == 1 else None
    for box in boxes:
        sizes = _sizes(box)
        axis = _thin_axis(sizes)
        if axis is None and common is not None and sizes[common] <= THIN:
            axis = common
        if axis is not None:
            looked[(slice(None),) * axis + (box[axis],)] = True
    return looked


def _strokes(changed: np.ndarray) -> list[Box]:
    """The boxes around the connected pieces of a mask."""
    whole = bounds(changed)
    if whole is None:
        return []
    pieces, _count = ndimage.label(changed[whole], TOUCHING)
    boxes = []
    for found in ndimage.find_objects(pieces):
        k, j, i = (
            slice(outer.start + side.start, outer.start + side.stop)
            for outer, side in zip(whole, found, strict=True)
        )
        boxes.append((k, j, i))
    return boxes


def _sizes(box: Box) -> list[int]:
    return [side.stop - side.start for side in box]


def _thin_axis(sizes: Sequence[int], most: int = THIN) -> int | None:
    """The axis along which something is thinner than along the others; None where there is no such one."""
    smallest, second, _largest = sorted(sizes)
    return list(sizes).index(smallest) if smallest <= most and smallest < second else None


def bounds(mask: np.ndarray, margin: Sequence[int] = (0, 0, 0)) -> Box | None:
    """The smallest box around a mask, widened as far as the array goes; None where the mask is empty."""
    sides = []
    for axis, wide in enumerate(margin):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not filled.size:
            return None
        sides.append(slice(max(0, int(filled[0]) - wide), min(mask.shape[axis], int(filled[-1]) + 1 + wide)))
    return sides[0], sides[1], sides[2]


def targets_on_grid(
    region: Region,
    corrected: np.ndarray,
    looked: np.ndarray,
    changed: np.ndarray,
    values: Sequence[int],
    spacing: Sequence[float],
    near_mm: float,
) -> np.ndarray:
    """What each voxel of the network's input should become.

    Args:
        region: the network's input and where it lies in the scan.
        corrected: uint8 ``(K, J, I)`` label values on the grid of the scan; 255 where nothing is known.
        looked: bool, where ``corrected`` is what a person wants.
        changed: bool, what of it the person had to change.
        values: label values of the model, in the order of its classes.
        spacing: of the network's grid, mm along ``(K, J, I)``.
        near_mm: up to here around what was changed neither side is right: the parent was wrong there, and nobody has
            said what is true.

    Returns:
        uint8 on the network's grid: a class index (background first), :data:`KEEP`, or 255 for nothing.
    """
    classes = np.full(256, IGNORE, np.uint8)
    classes[0] = 0
    classes[list(values)] = np.arange(1, len(values) + 1)
    wanted = np.full(corrected.shape, KEEP, np.uint8)
    wanted[looked] = classes[corrected[looked]]
    target = on_input(region, wanted)
    if near_mm > 0:
        strokes = on_input(region, np.where(changed, np.uint8(0), np.uint8(KEEP)))
        away = ndimage.distance_transform_edt(strokes != 0, spacing)
        target[(target == KEEP) & (away <= near_mm)] = IGNORE
    return target


def on_input(region: Region, target: np.ndarray) -> np.ndarray:
    """A target on the grid of the scan brought to the network's grid, 255 where the scan does not reach.

    Voxels of the network take the nearest voxel of the scan. What a person said of voxels that lie between, on a
    scan finer than the network's grid, is not lost: it goes to the nearest voxel of the network, unless that has an
    answer of its own.
    """
    seen, shape = region.view(target), region.image.shape[1:]
    picks = [_nearest(axis_map, count) for axis_map, count in zip(region.maps, shape, strict=True)]
    moved = seen[np.ix_(*(np.maximum(pick, 0) for pick in picks))].copy()
    for axis, pick in enumerate(picks):
        moved[(slice(None),) * axis + (pick < 0,)] = IGNORE
    said = np.argwhere(seen < KEEP)
    if said.size:
        places = tuple(
            np.rint(axis_map.low + axis_map.share).astype(np.int64)[said[:, axis]]
            for axis, axis_map in enumerate(region.maps)
        )
        silent = moved[places] >= KEEP
        moved[tuple(place[silent] for place in places)] = seen[tuple(said[silent].T)]
    return moved


def _nearest(axis_map: AxisMap, count: int) -> np.ndarray:
    """Index of the output voxel nearest to each of ``count`` input voxels; -1 where none is near."""
    position, at = axis_map.low + axis_map.share, np.arange(count)
    after = np.searchsorted(position, at).clip(0, len(position) - 1)
    before = (after - 1).clip(0)
    index = np.where(np.abs(position[before] - at) <= np.abs(position[after] - at), before, after)
    step = (position[-1] - position[0]) / max(1, len(position) - 1)
    index[np.abs(position[index] - at) > max(0.5, step / 2) + 1e-3] = -1
    return index
