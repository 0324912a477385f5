"""The small picture of a case in the report: what was found over the scan, on three planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from medcontext.errors import InputError
from medcontext.geometry import IndexBox, Triple, Volume
from medcontext.io.atomic import replacing
from medcontext.labels import LabelSet

TILE = 112
"""Pixels of the side of each of the three planes."""

_GAP = 2
_SHOWN = "LPS"
_BACKGROUND = (16, 20, 24)
_VEIL = 0.35  # how much of a pixel inside a structure is its colour; outlines are all colour
_MARGIN = 1.5  # the part of the scan that is shown, in lengths of what was found
_LEAST_MM = 50.0
_SAMPLES = 1_000_000  # voxels that are looked at to find the planes with most of what was found


def write_thumbnail(path: Path, image: Volume, labelmap: Volume, labels: LabelSet) -> None:
    """Write a PNG of an axial, a coronal and a sagittal plane, 340 by 112 pixels.

    Each plane is the one that shows most of what was found; without anything found, the middle one. The patient's
    right is on the left of axial and coronal planes, anterior on the left of sagittal ones; a millimetre has the same
    length in both directions. Grey runs from the 1st to the 99.5th percentile of what is shown.

    Args:
        path: the PNG, written whole or not at all.
        image: its first channel is shown.
        labelmap: ``(1, K, J, I)`` on the grid of the image.
        labels: colours.

    Raises:
        InputError: the labelmap lies on another grid, or the place cannot be written.
        ResourceError: the disk is full.
    """
    if not labelmap.geometry.same_grid(image.geometry):
        raise InputError("A picture needs a labelmap on the grid of the image.")
    shown = image.reorient(_SHOWN)
    grey, marked = shown.array[0], labelmap.reorient(_SHOWN).array[0]
    found = _found(marked)
    planes = _planes(marked, found)
    region = _region(found, shown.geometry.shape, shown.spacing)
    tiles = [_plane(array, planes, region) for array in (grey, marked)]
    pixels = [
        _grey_pixels(plane, _tile_size(region, shown.spacing, axis)) for axis, plane in enumerate(tiles[0])
    ]
    picture = Image.new("RGB", (3 * TILE + 2 * _GAP, TILE), _BACKGROUND)
    window = np.percentile(np.concatenate([plane.ravel() for plane in pixels]), (1, 99.5))
    for axis, plane in enumerate(pixels):
        colored = _colored(plane, tiles[1][axis], window, labels)
        height, width = plane.shape
        place = (axis * (TILE + _GAP) + (TILE - width) // 2, (TILE - height) // 2)
        picture.paste(Image.fromarray(colored), place)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def _found(marked: np.ndarray) -> IndexBox:
    """The smallest box around all marked voxels; the whole volume where there are none."""
    whole = tuple((0, size) for size in marked.shape)
    box: list[tuple[int, int]] = []
    part = marked
    for axis in range(3):  # each axis in turn, so that less and less is looked at
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(part.max(axis=others))
        if not where.size:
            return whole[0], whole[1], whole[2]
        start, stop = int(where[0]), int(where[-1]) + 1
        box.append((start, stop))
        part = part[(slice(None),) * axis + (slice(start, stop),)]
    return box[0], box[1], box[2]


def _planes(marked: np.ndarray, box: IndexBox) -> Triple:
    """Along each axis the plane with most marked voxels; the middle one where several have as many."""
    part = marked[tuple(slice(*ends) for ends in box)]
    step = max(1, round((part.size / _SAMPLES) ** (1 / 3)))
    sample = part[::step, ::step, ::step] != 0
    if not sample.any():  # a few voxels far apart
        step, sample = 1, part != 0
    chosen = []
    for axis, (start, _) in enumerate(box):
        counts = sample.sum(axis=tuple(other for other in range(3) if other != axis))
        best = np.flatnonzero(counts == counts.max())
        chosen.append(start + step * int(best[best.size // 2]))
    return chosen[0], chosen[1], chosen[2]


def _region(found: IndexBox, shape: Triple, spacing: tuple[float, float, float]) -> IndexBox:
    """What is shown: a cube around what was found as far as the volume reaches."""
    side = max((stop - start) * size for (start, stop), size in zip(found, spacing, strict=True))
    side = max(_MARGIN * side, _LEAST_MM)
    region = []
    for (start, stop), size, count in zip(found, spacing, shape, strict=True):
        length = min(count, max(1, round(side / size)))
        first = min(max(0, round((start + stop - length) / 2)), count - length)
        region.append((first, first + length))
    return region[0], region[1], region[2]


def _plane(array: np.ndarray, planes: Triple, region: IndexBox) -> list[np.ndarray]:
    """The three planes as they are looked at: head up, anterior up on the axial one."""
    result = []
    for axis in range(3):
        cut = array[tuple(planes[i] if i == axis else slice(*region[i]) for i in range(3))]
        result.append(cut if axis == 0 else cut[::-1])
    return result


def _tile_size(region: IndexBox, spacing: tuple[float, float, float], axis: int) -> tuple[int, int]:
    """Rows and columns of a plane across ``axis`` that fit into a tile with the right aspect."""
    height, width = (
        (region[other][1] - region[other][0]) * spacing[other] for other in range(3) if other != axis
    )
    scale = TILE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _grey_pixels(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    values = np.nan_to_num(plane.astype(np.float32), posinf=0.0, neginf=0.0)
    return np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR))


def _colored(grey: np.ndarray, marked: np.ndarray, window: np.ndarray, labels: LabelSet) -> np.ndarray:
    """``(H, W, 3)``: grey values with a veil and an outline of each label."""
    inside = _shrunk(marked, grey.shape)
    palette = np.zeros((256, 3), np.float32)
    alpha = np.zeros(256, np.float32)
    for label in labels:
        palette[label.value], alpha[label.value] = label.color, _VEIL
    low, high = window
    level = np.clip((grey - low) / max(high - low, 1e-6), 0, 1)[..., None] * 255
    share = alpha[inside]
    share[_outline(inside) & (share > 0)] = 1.0
    mixed = level * (1 - share[..., None]) + palette[inside] * share[..., None]
    return mixed.round().astype(np.uint8)


def _shrunk(marked: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The labels at the centres of pixels; small things between the centres are kept where there is background."""
    pairs = list(zip(size, marked.shape, strict=True))
    centres = [(np.arange(pixels) * 2 + 1) * count // (2 * pixels) for pixels, count in pairs]
    highest = marked
    for axis, (pixels, count) in enumerate(pairs):
        highest = np.maximum.reduceat(highest, np.arange(pixels) * count // pixels, axis=axis)
    at_centre = marked[np.ix_(*centres)]
    return np.where(at_centre == 0, highest, at_centre).astype(np.intp)


def _outline(inside: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour of another label."""
    edge = np.zeros(inside.shape, bool)
    down, right = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge
