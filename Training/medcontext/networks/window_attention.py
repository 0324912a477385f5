"""Attention among the tokens of a window, to the same features or to those of a skip connection.

Token grids are channels-last, ``(B, k, j, i, C)``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from medcontext.plan import Size


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a learnt bias for each relative position.

    Args:
        channels: C, a multiple of ``heads``.
        heads: attention heads.
        window: largest window in tokens; a smaller one uses the middle of the bias table.
    """

    def __init__(self, channels: int, heads: int, window: Size) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.projection = nn.Linear(channels, channels)
        spans = [2 * n - 1 for n in window]
        self.bias = nn.Parameter(nn.init.trunc_normal_(torch.empty(heads, math.prod(spans)), std=0.02))
        self.register_buffer("offsets", _relative_positions(window), persistent=False)

    def forward(self, x: Tensor, context: Tensor, window: Size, allowed: Tensor | None) -> Tensor:
        """Attend from ``x`` to ``context``, both ``(B, windows, N, C)`` with N tokens of ``window``.

        Args:
            x: gives the queries.
            context: gives keys and values.
            window: tokens on each axis, at most those of the table.
            allowed: bool ``(windows, N, N)``, which tokens may see each other; None is all.
        """
        query = self._split(self.query(x))
        key, value = (self._split(part) for part in self.key_value(context).chunk(2, dim=-1))
        score = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + self._position_bias(window)
        if allowed is not None:
            score = score.masked_fill(~allowed.unsqueeze(1), float("-inf"))
        mixed = score.softmax(-1).to(value.dtype) @ value
        return self.projection(mixed.transpose(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        """``(B, windows, N, C)`` to ``(B, windows, heads, N, C / heads)``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def _position_bias(self, window: Size) -> Tensor:
        """``(heads, N, N)``."""
        k, j, i = window
        offsets = self.get_buffer("offsets")[:k, :j, :i, :k, :j, :i]
        tokens = k * j * i
        return self.bias[:, offsets.reshape(-1)].view(self.heads, tokens, tokens)


class WindowBlock(nn.Module):
    """Transformer block: window attention and a feed-forward part, each behind a norm and around a shortcut.

    Args:
        channels: C.
        heads: attention heads.
        window: tokens that attend to each other on each axis; cut where the grid is smaller.
        shifted: move the windows by half their size, so that neighbours of the block before meet.
        cross: keys and values come from a skip connection, which is also added to the shortcut.
        mlp_ratio: widening of the feed-forward part.
        drop_path: share of the residual branches skipped in training.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: Size,
        *,
        shifted: bool,
        cross: bool = False,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.norm = nn.LayerNorm(channels)
        self.context_norm = nn.LayerNorm(channels) if cross else None
        self.attention = WindowAttention(channels, heads, window)
        hidden = int(channels * mlp_ratio)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels)
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Transform tokens ``(B, k, j, i, C)``; ``skip`` of the same shape for a cross block."""
        windows = Windows((x.shape[1], x.shape[2], x.shape[3]), self.window, self.shifted)
        query = windows.split(self.norm(x))
        context = query
        if self.context_norm is not None and skip is not None:
            context = windows.split(self.context_norm(skip))
            x = x + skip
        attended = self.attention(query, context, windows.window, windows.allowed(x.device))
        x = x + self.drop_path(windows.join(attended))
        return x + self.drop_path(self.feed_forward(x))


class Windows:
    """How a token grid is cut into windows.

    The grid is padded behind to whole windows and, for shifted windows, rolled around its edges; tokens that
    come from opposite edges or from the padding never see the others.

    Args:
        grid: tokens on each axis.
        window: wanted window; an axis with fewer tokens is one window, and is not shifted.
        shifted: move the windows by half their size.
    """

    def __init__(self, grid: Size, window: Size, shifted: bool) -> None:
        self.grid = grid
        self.window = _size(min(n, w) for n, w in zip(grid, window, strict=True))
        self.counts = _size(-(-n // w) for n, w in zip(grid, self.window, strict=True))
        shift = (w // 2 if shifted and n > w else 0 for n, w in zip(grid, window, strict=True))
        self.shift = _size(shift)

    @property
    def padding(self) -> Size:
        """Tokens added behind each axis."""
        return _size(c * w - n for c, w, n in zip(self.counts, self.window, self.grid, strict=True))

    def split(self, x: Tensor) -> Tensor:
        """``(B, k, j, i, C)`` to ``(B, windows, N, C)``."""
        if any(self.padding):
            x = F.pad(x, (0, 0, *itertools.chain(*((0, n) for n in reversed(self.padding)))))
        if any(self.shift):
            x = x.roll([-s for s in self.shift], (1, 2, 3))
        for axis, (count, size) in enumerate(zip(self.counts, self.window, strict=True)):
            x = x.unflatten(1 + 2 * axis, (count, size))
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)

    def join(self, x: Tensor) -> Tensor:
        """``(B, windows, N, C)`` back to ``(B, k, j, i, C)``."""
        x = x.unflatten(2, self.window).unflatten(1, self.counts).permute(0, 1, 4, 2, 5, 3, 6, 7)
        for axis in range(3):
            x = x.flatten(1 + axis, 2 + axis)
        if any(self.shift):
            x = x.roll(self.shift, (1, 2, 3))
        k, j, i = self.grid
        return x[:, :k, :j, :i]

    def allowed(self, device: torch.device) -> Tensor | None:
        """Which tokens of a window may see each other, bool ``(windows, N, N)``, or None for all."""
        if not any(self.shift) and not any(self.padding):
            return None
        regions = [self._regions(axis, device) for axis in range(3)]
        labels = regions[0][:, None, None] * 16 + regions[1][:, None] * 4 + regions[2]
        for axis, (count, size) in enumerate(zip(self.counts, self.window, strict=True)):
            labels = labels.unflatten(2 * axis, (count, size))
        labels = labels.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(0, 2)
        return labels.unsqueeze(-1) == labels.unsqueeze(-2)

    def _regions(self, axis: int, device: torch.device) -> Tensor:
        """Along one axis after the roll: 0 for tokens in place, 1 for those rolled over, 2 for padding."""
        grid, shift = self.grid[axis], self.shift[axis]
        place = torch.arange(grid + self.padding[axis], device=device).roll(-shift)
        return torch.where(place >= grid, 2, (place < shift).long())


def _relative_positions(window: Size) -> Tensor:
    """Index into the bias table for each pair of tokens, ``(*window, *window)``.

    An offset of 0 is the middle of the table, so that a slice for a smaller window reads the same offsets.
    """
    index = torch.zeros(*window, *window, dtype=torch.long)
    for axis, size in enumerate(window):
        place = torch.arange(size)
        offset = place[:, None] - place[None, :] + size - 1
        shape = [1] * 6
        shape[axis] = shape[axis + 3] = size
        index = index * (2 * size - 1) + offset.view(shape)
    return index


def _size(values: Iterable[int]) -> Size:
    k, j, i = values
    return k, j, i
