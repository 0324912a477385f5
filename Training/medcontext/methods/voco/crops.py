"""Base crops on a grid, random crops among them, and how much of a random crop lies in each base crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.data.boxes import cut_box, random_start
from medcontext.methods.voco.config import CropChanges, times
from medcontext.plan import Size


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
    """Where crops lie in a scan, in voxels along ``(K, J, I)``; starts of crops are ``(n, 3)`` integers.

    Attributes:
        grid: base crops.
        cell: of a crop, before it is resized.
        crop: of what the network sees.
    """

    grid: Size
    cell: Size
    crop: Size

    @property
    def region(self) -> Size:
        """What the grid covers."""
        return times(self.grid, self.cell)

    def bases(self) -> np.ndarray:
        """Starts of the base crops, from the grid's corner."""
        axes = [np.arange(g) * c for g, c in zip(self.grid, self.cell, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Starts of ``count`` random crops that lie inside the grid, from its corner."""
        return generator.integers(0, np.subtract(self.region, self.cell) + 1, (count, 3))

    def overlap(self, starts: np.ndarray) -> np.ndarray:
        """The share of each crop that lies in each cell, ``(n, cells)`` float64.

        Boxes share the product of what their sides share: at most ``2^d`` cells are touched, with ``d`` the axes along
        which there is more than one.

        Args:
            starts: of the crops, from the grid's corner.
        """
        shares = []
        for axis, (count, width) in enumerate(zip(self.grid, self.cell, strict=True)):
            apart = np.abs(starts[:, axis, None] - width * np.arange(count))
            shares.append(np.maximum(0.0, 1 - apart / width))
        k, j, i = shares
        return np.einsum("nk,nj,ni->nkji", k, j, i).reshape(len(starts), -1)

    def cut(self, volume: np.ndarray, starts: np.ndarray) -> Tensor:
        """Crops ``(n, C, k, j, i)`` float32 of a scan ``(C, K, J, I)``, of which only the crops are read.

        Args:
            volume: a memory map, for one.
            starts: from the scan's corner.
        """
        boxes = [cut_box(volume, tuple(start), self.cell, 0, np.float32) for start in starts.tolist()]
        crops = torch.from_numpy(np.stack(boxes))
        if self.cell == self.crop:
            return crops
        return F.interpolate(crops, self.crop, mode="trilinear")


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
        samples: Sequence[int],
        generators: Sequence[np.random.Generator],
    ) -> CropBatch:
        """Crops of scans ``(C, K, J, I)``, the random numbers of each scan from its own generator."""
        base, random, overlap = [], [], []
        for volume, generator in zip(volumes, generators, strict=True):
            origin = random_start(volume.shape[1:], self.layout.region, generator)
            starts = self.layout.draw(self.count, generator)
            crops = self.layout.cut(volume, np.concatenate([self.layout.bases(), starts]) + origin)
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
