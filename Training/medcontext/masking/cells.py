"""Which cells of a patch are hidden.

A mask is drawn on a coarse grid of cells and repeated to voxels. True means hidden.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt

from medcontext.config import StrictModel
from medcontext.plan import Size


class MaskConfig(StrictModel):
    """How a mask is drawn."""

    ratio: float = Field(default=0.4, ge=0, le=1)
    """Share of the cells that is hidden (rounded down)."""
    geometry: Literal["tube", "random", "block"] = "tube"
    """tube: the same cells in every slice along tube_axis; random: single cells; block: one cuboid."""
    tube_axis: int = Field(default=0, ge=0, le=2)
    """Array axis (K, J, I) along which tubes run; 0 is the slice axis."""
    cell: PositiveInt | tuple[PositiveInt, PositiveInt, PositiveInt] = 8
    """Voxels per cell on each axis. Small cells are inpainted from their neighbours without context."""

    def on_tokens(self, token: Size) -> MaskConfig:
        """The same mask on cells that are whole tokens of ``token`` voxels: half a token cannot be hidden."""
        cell = (self.cell,) * 3 if isinstance(self.cell, int) else self.cell
        k, j, i = (-(-c // t) * t for c, t in zip(cell, token, strict=True))
        return self.model_copy(update={"cell": (k, j, i)})

    def cells(self, patch_size: Size) -> Size:
        """Number of cells on each axis of a patch, the last one possibly cut."""
        cell = (self.cell,) * 3 if isinstance(self.cell, int) else self.cell
        k, j, i = (-(-n // c) for n, c in zip(patch_size, cell, strict=True))
        return k, j, i


def draw_mask(config: MaskConfig, patch_size: Size, generator: np.random.Generator) -> np.ndarray:
    """Draw one mask, bool ``(K, J, I)`` at voxel resolution."""
    return to_voxels(draw_cells(config, config.cells(patch_size), generator), config, patch_size)


def draw_cells(config: MaskConfig, cells: Size, generator: np.random.Generator) -> np.ndarray:
    """Draw one mask on the cell grid, bool of shape ``cells``."""
    if config.geometry == "tube":
        plane = tuple(n for axis, n in enumerate(cells) if axis != config.tube_axis)
        hidden = _exactly(int(config.ratio * np.prod(plane)), plane, generator)
        return np.broadcast_to(np.expand_dims(hidden, config.tube_axis), cells).copy()
    if config.geometry == "random":
        return _exactly(int(config.ratio * np.prod(cells)), cells, generator)
    return _block(config.ratio, cells, generator)


def to_voxels(cells: np.ndarray, config: MaskConfig, patch_size: Size) -> np.ndarray:
    """Repeat each cell to its voxels and cut to the patch."""
    size = (config.cell,) * 3 if isinstance(config.cell, int) else config.cell
    for axis, repeats in enumerate(size):
        cells = np.repeat(cells, repeats, axis)
    return cells[tuple(slice(0, n) for n in patch_size)]


def complementary_masks(
    config: MaskConfig, patch_size: Size, views: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """``views`` masks that hide every cell equally often (once, when the ratio is 1 / views).

    Each is bool ``(K, J, I)``. Cells are dealt like cards, so that a map made of all views has no blind spots.
    """
    cells = config.cells(patch_size)
    order = generator.permutation(int(np.prod(cells)))
    masks = []
    for view in range(views):
        hidden = np.zeros(order.size, bool)
        hidden[order[view::views]] = True
        masks.append(to_voxels(hidden.reshape(cells), config, patch_size))
    return masks


def _exactly(count: int, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """A bool array of which exactly ``count`` random entries are True."""
    flat = np.zeros(int(np.prod(shape)), bool)
    flat[generator.permutation(flat.size)[:count]] = True
    return flat.reshape(shape)


def _block(ratio: float, cells: Size, generator: np.random.Generator) -> np.ndarray:
    """One cuboid at a random place; each side is ``ratio ** (1/3)`` of the axis, at least one cell if ratio > 0."""
    hidden = np.zeros(cells, bool)
    if ratio <= 0:
        return hidden
    box = []
    for length in cells:
        side = min(length, max(1, round(length * ratio ** (1 / 3))))
        start = int(generator.integers(0, length - side + 1))
        box.append(slice(start, start + side))
    hidden[tuple(box)] = True
    return hidden
