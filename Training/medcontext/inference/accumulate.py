"""Blending windows in a slab one patch deep: planes that no later window touches leave it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from medcontext.inference.forward import Forward
from medcontext.inference.windows import WindowGrid
from medcontext.plan import Size


class RollingSlab:
    """Weighted sums of window scores over the part of the volume that is still being worked on.

    Memory is ``classes x patch depth x in-plane size`` float32, whatever the depth of the volume.

    Args:
        classes: channels of the scores.
        grid: the windows.
        axis: array axis along which the slab moves.
        device: where the sums live.
    """

    def __init__(self, classes: int, grid: WindowGrid, axis: int, device: torch.device) -> None:
        size = list(grid.shape)
        size[axis] = grid.patch[axis]
        self.grid, self.axis, self.first = grid, axis, 0
        self.sums = torch.zeros((classes, *size), device=device)
        along_k, along_j, along_i = grid.weights()
        weight = along_k[:, None, None] * along_j[:, None] * along_i
        self._weight = weight.to(device)
        self._totals = [total.to(device) for total in grid.weight_sums()]
        before = grid.before
        self._inner = [slice(b, b + n) for b, n in zip(before, grid.inner, strict=True)]

    def add(self, start: Size, scores: Tensor) -> None:
        """Add the scores ``(classes, *patch)`` of the window that begins at ``start``."""
        begin = list(start)
        begin[self.axis] -= self.first
        region = tuple(slice(b, b + p) for b, p in zip(begin, self.grid.patch, strict=True))
        self.sums[(slice(None), *region)].addcmul_(scores, self._weight)

    def release(self, until: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Hand out the planes before padded index ``until`` and move on; planes of padding are left out.

        Yields:
            ``(index, sums, weight)``: index along the slab axis in the unpadded volume, weighted sums
            ``(classes, h, w)`` and summed weights ``(h, w)``; valid until the next one is asked for.
        """
        in_plane = [a for a in range(3) if a != self.axis]
        rows, columns = (self._inner[a] for a in in_plane)
        weight = self._totals[in_plane[0]][rows, None] * self._totals[in_plane[1]][columns]
        inner = self._inner[self.axis]
        for index in range(max(self.first, inner.start), min(until, inner.stop)):
            sums = self.sums.select(self.axis + 1, index - self.first)[:, rows, columns]
            yield index - inner.start, sums, weight * self._totals[self.axis][index]
        if until < self.grid.shape[self.axis]:
            self._advance(until)

    def _advance(self, until: int) -> None:
        depth, step = self.grid.patch[self.axis], until - self.first
        # Copies go forward in pieces of at most `step` planes, so that source and target never overlap.
        for begin in range(0, max(0, depth - step), max(1, step)):
            length = min(step, depth - step - begin)
            source = self.sums.narrow(self.axis + 1, begin + step, length)
            self.sums.narrow(self.axis + 1, begin, length).copy_(source)
        self.sums.narrow(self.axis + 1, max(0, depth - step), min(step, depth)).zero_()
        self.first = until


def predict_planes(
    forward: Forward,
    image: Tensor,
    grid: WindowGrid,
    *,
    axis: int,
    device: torch.device,
    batch: int = 1,
    slab_device: torch.device | None = None,
    before_call: Callable[[float], None] | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Run a network over all windows and yield finished planes in rising order.

    Args:
        forward: the network with everything that belongs to it; one call takes up to ``batch`` windows.
        image: ``(C, *grid.inner)`` float32, on any device.
        grid: the windows.
        axis: the axis along which planes are finished.
        device: where ``forward`` runs.
        batch: windows in one call.
        slab_device: where sums are kept; ``device`` when None.
        before_call: told the share of windows done before each call; may raise to stop.

    Yields:
        As :meth:`RollingSlab.release`.
    """
    padded, keep = grid.pad(image), slab_device or device
    slab: RollingSlab | None = None
    done = 0
    for index, row in grid.rows(axis):
        if slab is not None:
            yield from slab.release(index)
        for first in range(0, len(row), batch):
            if before_call is not None:
                before_call(done / grid.count)
            starts = row[first : first + batch]
            windows = torch.stack([padded[(slice(None), *_region(s, grid.patch))] for s in starts])
            scores = forward(windows.to(device)).to(keep)
            slab = slab or RollingSlab(scores.shape[1], grid, axis, keep)
            for start, score in zip(starts, scores, strict=True):
                slab.add(start, score)
            done += len(starts)
    if slab is not None:
        yield from slab.release(grid.shape[axis])


def _region(start: Size, patch: Size) -> tuple[slice, ...]:
    return tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))
