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
    left_right: int | None = 2,
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
    moved, moved_labels = _move(images, labels, draws, patch_size, padding)
    out = torch.stack([mirror(part, drawn.flips) for part, drawn in zip(moved, draws, strict=True)])
    if not moved_labels:
        return out, None
    pairs = zip(moved_labels, draws, strict=True)
    return out, torch.stack([mirror_labels(m, d.flips, flip_class_pairs, left_right) for m, d in pairs])


def _move(
    images: torch.Tensor,
    labels: torch.Tensor | None,
    draws: Sequence[SpatialDraw],
    patch_size: Size,
    padding: Padding,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """One ``(C, *patch_size)`` image and label a sample, not mirrored yet; no labels for None."""
    moved, moved_labels = list(images), list(images if labels is None else labels)
    warped = [index for index, drawn in enumerate(draws) if not drawn.is_crop]
    if warped:
        grid = sampling_grid([draws[index] for index in warped], images.shape[2:], patch_size, images.device)
        parts = functional.grid_sample(_pick(images, warped), grid, "bilinear", padding, align_corners=False)
        label_parts = parts if labels is None else _look_up(_pick(labels, warped), grid)
        for row, index in enumerate(warped):
            moved[index], moved_labels[index] = parts[row], label_parts[row]
    for index in set(range(len(draws))).difference(warped):
        start = _start(images.shape[2:], patch_size) + np.asarray(draws[index].offset, int)
        moved[index] = _cut(moved[index], start, patch_size, 0 if padding == "zeros" else None)
        if labels is not None:
            moved_labels[index] = _cut(moved_labels[index], start, patch_size, IGNORE)
    return moved, moved_labels if labels is not None else []


def sampling_grid(
    draws: Sequence[SpatialDraw],
    source_size: Sequence[int],
    patch_size: Size,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Where each output voxel comes from, mirroring left out.

    Positions are worked out at the control points alone and splined between, which is exact for the linear
    part and costs a tenth of ``affine_grid``.

    Returns:
        ``(B, K, J, I, 3)`` positions for ``grid_sample`` with ``align_corners=False``: (I, J, K) in units in
        which the source reaches from -1 to 1.
    """
    source, patch = np.asarray(source_size, float), np.asarray(patch_size, float)
    centre = _start(source_size, patch_size) + (patch - 1) / 2
    fields = []
    for drawn in draws:
        points = (2, 2, 2) if drawn.displacement is None else drawn.displacement.shape[1:]
        ends = [np.linspace(-half, half, n) for half, n in zip((patch - 1) / 2, points, strict=True)]
        position = np.stack(np.meshgrid(*ends, indexing="ij"), -1) @ drawn.matrix.T + centre + drawn.offset
        if drawn.displacement is not None:
            position += np.moveaxis(drawn.displacement, 0, -1)
        control = np.ascontiguousarray(((2 * position + 1) / source - 1)[..., ::-1], np.float32)
        fields.append(upsample(torch.from_numpy(control).to(device), patch_size))
    return torch.stack(fields)


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
    """The box ``(C, *patch_size)`` from voxel ``start``; outside ``fill``, or the nearest voxel for None."""
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
