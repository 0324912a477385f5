"""Moving a batch of images and labels: one interpolation for everything that was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from medcontext.data.augment.draw import SpatialDraw
from medcontext.data.augment.mirror import ClassPairs, mirror, mirror_labels
from medcontext.data.augment.spline import upsample
from medcontext.labels import IGNORE
from medcontext.plan import Size

Padding = Literal["border", "zeros"]


def apply_spatial(
    images: torch.Tensor,
    labels: torch.Tensor | None,
    draws: Sequence[SpatialDraw],
    patch_size: Size,
    flip_class_pairs: ClassPairs = (),
    *,
    left_right: int = 2,
    padding: Padding = "border",
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Cut one patch from each source as drawn.

    A draw of whole voxels copies them unchanged; all others share one linear interpolation of the images and
    one nearest-neighbour look-up of the labels on the same grid.

    Args:
        images: ``(B, C, K, J, I)`` float sources, of the patch size or larger (a margin keeps rotated corners
            filled) or smaller. The inputs are never changed.
        labels: ``(B, 1, K, J, I)`` integer class indices on the same grid, or None.
        draws: one per sample.
        patch_size: voxels of the output ``(K, J, I)``; the patch begins at voxel ``(source - patch) // 2``
            plus the offset drawn.
        flip_class_pairs: class indices that swap when left and right are mirrored.
        left_right: array axis that runs from left to right.
        padding: what images show outside the source: its nearest voxel, or 0. Labels are 255 (ignore) there.

    Returns:
        Images ``(B, C, *patch_size)`` and labels ``(B, 1, *patch_size)`` of the input's types.

    Raises:
        ValueError: the numbers of images, labels and draws differ.
    """
    if len(draws) != len(images) or (labels is not None and labels.shape[2:] != images.shape[2:]):
        raise ValueError(f"{len(draws)} draws and labels must fit images of shape {tuple(images.shape)}.")
    warped = [index for index, drawn in enumerate(draws) if not drawn.is_crop]
    image_parts: list[torch.Tensor] = [images[:0]] * len(draws)
    label_parts: list[torch.Tensor] = [images[:0]] * len(draws)
    if warped:
        grid = sampling_grid([draws[index] for index in warped], images.shape[2:], patch_size, images.device)
        moved = functional.grid_sample(_pick(images, warped), grid, "bilinear", padding, align_corners=False)
        moved_labels = None if labels is None else _look_up(_pick(labels, warped), grid)
        for row, index in enumerate(warped):
            image_parts[index] = moved[row]
            if moved_labels is not None:
                label_parts[index] = moved_labels[row]
    for index in set(range(len(draws))).difference(warped):
        start = _start(images.shape[2:], patch_size) + np.asarray(draws[index].offset, int)
        image_parts[index] = _cut(images[index], start, patch_size, 0.0 if padding == "zeros" else None)
        if labels is not None:
            label_parts[index] = _cut(labels[index], start, patch_size, IGNORE)
    flips = [drawn.flips for drawn in draws]
    out = torch.stack([mirror(part, axes) for part, axes in zip(image_parts, flips, strict=True)])
    if labels is None:
        return out, None
    parts = zip(label_parts, flips, strict=True)
    return out, torch.stack([mirror_labels(part, axes, flip_class_pairs, left_right) for part, axes in parts])


def sampling_grid(
    draws: Sequence[SpatialDraw],
    source_size: Sequence[int],
    patch_size: Size,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Where each output voxel comes from, mirroring left out.

    Returns:
        ``(B, K, J, I, 3)`` positions for ``grid_sample`` with ``align_corners=False``: (I, J, K) in units in
        which the source reaches from -1 to 1.
    """
    source, patch = np.asarray(source_size, float), np.asarray(patch_size, float)
    centre = _start(source_size, patch_size) + (patch - 1) / 2
    theta = np.empty((len(draws), 3, 4))
    for row, drawn in zip(theta, draws, strict=True):
        linear = drawn.matrix * patch[None, :] / source[:, None]
        shift = (2 * (centre + np.asarray(drawn.offset)) + 1 - source) / source
        row[:, :3], row[:, 3] = linear[::-1, ::-1], shift[::-1]
    affine = torch.from_numpy(theta.astype(np.float32)).to(device)
    grid = functional.affine_grid(affine, [len(draws), 1, *patch_size], align_corners=False)
    for index, drawn in enumerate(draws):
        if drawn.displacement is not None:
            control = (drawn.displacement * (2 / source)[:, None, None, None])[::-1].transpose(1, 2, 3, 0)
            points = torch.from_numpy(np.ascontiguousarray(control, np.float32)).to(device)
            grid[index] += upsample(points, patch_size)
    return grid


def _start(source_size: Sequence[int], patch_size: Size) -> np.ndarray:
    """First source voxel of a patch without offset; whole voxels, so that an unmoved patch is a copy."""
    return (np.asarray(source_size) - np.asarray(patch_size)) // 2


def _pick(tensor: torch.Tensor, indices: list[int]) -> torch.Tensor:
    return tensor if len(indices) == len(tensor) else tensor[indices]


def _look_up(labels: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Nearest labels; grid_sample writes 0 outside, so 0 has to stand for "ignore" meanwhile."""
    shifted = labels.float() - IGNORE
    moved = functional.grid_sample(shifted, grid, "nearest", "zeros", align_corners=False)
    return moved.add_(IGNORE).to(labels.dtype)


def _cut(source: torch.Tensor, start: np.ndarray, patch_size: Size, fill: float | None) -> torch.Tensor:
    """The box ``(C, *patch_size)`` from voxel ``start``; outside it ``fill``, or the nearest voxel for None."""
    size = np.asarray(source.shape[1:])
    stop = start + np.asarray(patch_size)
    if (start >= 0).all() and (stop <= size).all():
        return source[(slice(None), *(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)))]
    positions = [torch.arange(int(a), int(b), device=source.device) for a, b in zip(start, stop, strict=True)]
    k, j, i = (p.clamp(0, int(n) - 1) for p, n in zip(positions, size, strict=True))
    box = source[:, k[:, None, None], j[:, None], i]
    if fill is not None:
        k, j, i = ((p < 0) | (p >= int(n)) for p, n in zip(positions, size, strict=True))
        box = box.masked_fill(k[:, None, None] | j[:, None] | i, fill)
    return box
