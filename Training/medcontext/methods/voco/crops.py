"""Base crops on a grid, random crops beside them, and how much of each base crop a random crop covers.

Boxes are ``(start, extent)`` in voxels of the grid that they are drawn on, arrays ``(n, 3)`` float64 along (K, J, I).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medcontext.methods.voco.config import CropChanges, VoCoConfig
from medcontext.methods.voco.cutting import cut
from medcontext.plan import Size

LEAST_IN_CELL = 8
"""Voxels that a cell spans at least on each axis of a scan that is resized."""


@dataclass(frozen=True)
class CropBatch:
    """Crops of some scans, cut and changed.

    Attributes:
        base: ``(V, cells, C, k, j, i)`` float32; cells in the order of (K, J, I), the last axis fastest.
        random: ``(V, n, C, k, j, i)`` float32.
        overlap: ``(V, n, cells)`` float32, the share of each random crop in each cell; rows sum to one.
        samples: global sample indices ``(V,)``.
    """

    base: Tensor
    random: Tensor
    overlap: Tensor
    samples: Tensor

    def to(self, device: torch.device) -> CropBatch:
        """The same on a device, without waiting for it; the indices stay."""
        base, random, overlap = (
            t.to(device, non_blocking=True) for t in (self.base, self.random, self.overlap)
        )
        return CropBatch(base, random, overlap, self.samples)


@dataclass(frozen=True)
class Layout:
    """Where base crops lie and how large everything is, in voxels.

    Attributes:
        grid: base crops along (K, J, I).
        cell: of a base or random crop before it is resized.
        crop: of what the network sees.
        resized: of every whole scan before it is cut; None where scans keep their size.
    """

    grid: Size
    cell: Size
    crop: Size
    resized: Size | None = None

    @classmethod
    def of(cls, config: VoCoConfig, crop: Size) -> Layout:
        """The layout of a configuration whose network sees crops of ``crop`` voxels."""
        if config.resize_volume is not None:
            cell = _divided(config.resize_volume, config.grid)
            return cls(config.grid, cell, crop, config.resize_volume)
        cell = (config.cell,) * 3 if isinstance(config.cell, int) else config.cell or crop
        return cls(config.grid, cell, crop)

    @property
    def region(self) -> Size:
        """What the grid covers."""
        return _times(self.grid, self.cell)

    @property
    def least(self) -> Size:
        """The smallest scan that crops can be cut from, as it is before it is resized."""
        return self.region if self.resized is None else _times(self.grid, (LEAST_IN_CELL,) * 3)

    def origin(self, shape: Size, generator: np.random.Generator) -> np.ndarray:
        """Where the grid begins in a scan of ``shape``: anywhere that it fits, ``(3,)``.

        Raises:
            ValueError: it fits nowhere.
        """
        room = np.array(self.resized or shape, np.int64) - np.array(self.region, np.int64)
        if (room < 0).any():
            raise ValueError(f"a grid of {self.region} voxels does not fit into a scan of {shape}")
        return generator.integers(0, room + 1).astype(np.float64)

    def bases(self) -> np.ndarray:
        """Starts of the cells, from the grid's own corner."""
        axes = [np.arange(g) * c for g, c in zip(self.grid, self.cell, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float64)

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Starts of ``count`` random crops that lie inside the grid, from its own corner."""
        room = np.array(self.region, np.int64) - np.array(self.cell, np.int64)
        return generator.integers(0, room + 1, (count, 3)).astype(np.float64)

    def overlap(self, starts: np.ndarray) -> np.ndarray:
        """The share of each crop that lies in each cell, ``(n, cells)`` float64.

        Boxes overlap by the product of what their sides share: at most ``2^d`` cells are touched, with ``d`` the axes
        along which there is more than one.

        Args:
            starts: of the crops, ``(n, 3)`` from the grid's corner.
        """
        shares = []
        for axis, (count, width) in enumerate(zip(self.grid, self.cell, strict=True)):
            apart = np.abs(starts[:, axis, None] - width * np.arange(count))
            shares.append(np.maximum(0.0, 1 - apart / width))
        k, j, i = shares
        return np.einsum("nk,nj,ni->nkji", k, j, i).reshape(len(starts), -1)

    def cut(self, volume: np.ndarray, starts: np.ndarray) -> Tensor:
        """Crops ``(n, C, k, j, i)`` float32 of a scan ``(C, K, J, I)``.

        Args:
            volume: any number type; only what the crops cover is read.
            starts: ``(n, 3)`` from the scan's corner, on the grid of the resized scan where it is resized.
        """
        scale = np.ones(3)
        if self.resized is not None:
            scale = np.array(volume.shape[1:]) / self.resized
        extent = scale * self.cell
        return torch.stack([cut(volume, scale * start, extent, self.crop) for start in starts])


@dataclass(frozen=True)
class CropMaker:
    """Makes the crops of a step.

    Attributes:
        layout: of the crops.
        count: random crops of a scan.
        changes: to each crop.
    """

    layout: Layout
    count: int
    changes: CropChanges

    def __call__(
        self,
        volumes: Sequence[np.ndarray],
        generators: Sequence[np.random.Generator],
        samples: Sequence[int],
    ) -> CropBatch:
        """Crops of scans ``(C, K, J, I)``, the random numbers of each scan from its own generator."""
        base, random, overlap = [], [], []
        for volume, generator in zip(volumes, generators, strict=True):
            _, k, j, i = volume.shape
            origin = self.layout.origin((k, j, i), generator)
            starts = self.layout.draw(self.count, generator)
            crops = self.layout.cut(volume, origin + np.concatenate([self.layout.bases(), starts]))
            crops = torch.stack([changed(crop, self.changes, generator) for crop in crops])
            base.append(crops[: -self.count])
            random.append(crops[-self.count :])
            overlap.append(torch.from_numpy(self.layout.overlap(starts)).float())
        return CropBatch(
            torch.stack(base), torch.stack(random), torch.stack(overlap), torch.tensor(list(samples))
        )


def changed(crop: Tensor, changes: CropChanges, generator: np.random.Generator) -> Tensor:
    """A crop ``(C, k, j, i)`` mirrored, turned and shifted in intensity as drawn."""
    flips, turn, shift = generator.random(3), generator.random(), generator.random()
    quarters, amount = int(generator.integers(1, 4)), float(generator.uniform(-1, 1))
    axes = [axis + 1 for axis in range(3) if flips[axis] < changes.flip]
    if axes:
        crop = crop.flip(axes)
    if turn < changes.rotate:
        square = crop.shape[-1] == crop.shape[-2]
        crop = crop.rot90(quarters if square else 2, (-2, -1))
    if shift < changes.shift_probability:
        crop = crop + changes.shift * amount
    return crop.contiguous()


def _times(a: Size, b: Size) -> Size:
    k, j, i = (m * n for m, n in zip(a, b, strict=True))
    return k, j, i


def _divided(a: Size, b: Size) -> Size:
    k, j, i = (m // n for m, n in zip(a, b, strict=True))
    return k, j, i
