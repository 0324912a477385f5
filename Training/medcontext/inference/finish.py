"""From blended scores on the model's grid to labels on the image's grid, one output plane at a time.

The result is that of interpolating the scores of all classes to the output grid and labelling them, but those
scores never exist in memory. Most voxels need no interpolation at all: where the eight model voxels around an
output voxel agree on the class, any weighted mean of their scores gives that class too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from medcontext.inference.labelling import ScoreMeaning
from medcontext.inference.region import AxisMap

CHUNK = 1 << 22
"""Scores interpolated at a time: 16 MB of float32 stay in the cache of most CPUs or close to it."""

DENSE_SHARE = 0.3
"""Above this share of voxels near a border, interpolating all of them costs less than picking them out."""

Certainty = Callable[[Tensor, Tensor], Tensor]
"""From normalised scores ``(..., channels)`` and classes ``(...)`` to certainty 0..1."""


@dataclass
class Outputs:
    """Where results go: arrays on the box, the slab axis first, other axes in the model's orientation."""

    labels: np.ndarray
    probabilities: dict[int, np.ndarray] = field(default_factory=dict)
    certainty: np.ndarray | None = None

    @property
    def dense(self) -> bool:
        """Whether scores of all voxels are needed, not only those at borders."""
        return bool(self.probabilities) or self.certainty is not None


@dataclass
class _Plane:
    """One plane of the model's grid: class indices ``(h, w)`` and normalised scores ``(h, w, channels)``."""

    classes: Tensor
    scores: Tensor | None


class _InPlane:
    """Positions of output rows or columns on a device."""

    def __init__(self, positions: AxisMap, device: torch.device) -> None:
        self.low = torch.from_numpy(positions.low).to(device)
        self.high = torch.from_numpy(positions.high).to(device)
        self.share = torch.from_numpy(positions.share).to(device)


class PlaneFinisher:
    """Takes planes of the model's grid in rising order and writes output planes as soon as they can be known.

    Args:
        maps: where output voxels lie along the slab axis, the rows and the columns of a plane.
        meaning: what the scores stand for.
        outputs: where results are written.
        device: where the planes are.
        certainty: how sure a voxel is; needed when ``outputs.certainty`` is asked for.
    """

    def __init__(
        self,
        maps: tuple[AxisMap, AxisMap, AxisMap],
        meaning: ScoreMeaning,
        outputs: Outputs,
        device: torch.device,
        certainty: Certainty | None = None,
    ) -> None:
        self._slab, self._meaning, self._outputs, self._certainty = maps[0], meaning, outputs, certainty
        self._rows, self._columns = _InPlane(maps[1], device), _InPlane(maps[2], device)
        self._needed = set(maps[0].low.tolist()) | set(maps[0].high.tolist())
        self._keeps_scores = outputs.dense or any(positions.interpolates for positions in maps)
        self._planes: dict[int, _Plane] = {}
        self._spare: list[Tensor] = []
        self._next = 0

    def feed(self, index: int, sums: Tensor, weight: Tensor) -> None:
        """Take the plane ``index`` of the network's input and finish all outputs that wait for it only.

        Args:
            index: position along the slab axis.
            sums: ``(channels, h, w)`` weighted scores; not kept.
            weight: ``(h, w)`` summed weights.
        """
        if index not in self._needed:
            return
        # Weights are positive, so that classes can be told before dividing by them.
        classes = self._meaning.classes(sums[: self._meaning.channels], 0)
        self._planes[index] = _Plane(classes, self._normalised(sums, weight) if self._keeps_scores else None)
        while self._next < self._slab.low.size and self._slab.high[self._next] <= index:
            self._finish(self._next)
            self._next += 1
        first = self._slab.low[self._next] if self._next < self._slab.low.size else index + 1
        for old in [i for i in self._planes if i < first]:
            scores = self._planes.pop(old).scores
            if scores is not None:
                self._spare.append(scores)

    def _normalised(self, sums: Tensor, weight: Tensor) -> Tensor:
        """Scores with channels last, in memory that an earlier plane gave back."""
        channels_last = sums.permute(1, 2, 0)
        out = self._spare.pop() if self._spare else torch.empty(channels_last.shape, device=sums.device)
        return torch.div(channels_last, weight.unsqueeze(-1), out=out)

    def _finish(self, output: int) -> None:
        low, high = (self._planes[int(bound[output])] for bound in (self._slab.low, self._slab.high))
        share = float(self._slab.share[output])
        if self._outputs.dense:
            classes = self._dense(low, high, share, output)
        else:
            classes, mixed = self._agreement(low, high)
            at_border = mixed.flatten().nonzero().squeeze(1) if self._keeps_scores else mixed.new_empty(0)
            if at_border.numel() > DENSE_SHARE * mixed.numel():
                classes = self._dense(low, high, share, output)
            elif at_border.numel():
                self._sparse(low, high, share, at_border, classes)
        self._outputs.labels[output] = self._meaning.lookup[classes.cpu().numpy()]

    def _agreement(self, low: _Plane, high: _Plane) -> tuple[Tensor, Tensor]:
        """Class of the voxel before each output voxel, and whether any of the eight around it differs."""
        classes = low.classes
        mixed = classes != high.classes if high is not low else torch.zeros_like(classes, dtype=torch.bool)
        for axis, positions in ((0, self._rows), (1, self._columns)):
            before, after = (
                classes.index_select(axis, positions.low),
                classes.index_select(axis, positions.high),
            )
            differs = mixed.index_select(axis, positions.low) | mixed.index_select(axis, positions.high)
            classes, mixed = before, differs | (before != after)
        return classes, mixed

    def _sparse(self, low: _Plane, high: _Plane, share: float, pixels: Tensor, classes: Tensor) -> None:
        """Interpolate the scores of some pixels of a plane and put their classes into ``classes``."""
        flat = classes.view(-1)
        width = self._columns.low.numel()
        for chunk in pixels.split(max(1, CHUNK // self._scores(low).shape[-1])):
            corners = self._corners(torch.div(chunk, width, rounding_mode="floor"), chunk % width, low)
            scores = self._at(low, *corners)
            if share > 0:
                scores = scores.lerp_(self._at(high, *corners), share)
            flat[chunk] = self._meaning.classes(scores, 1)

    def _corners(self, row: Tensor, column: Tensor, plane: _Plane) -> tuple[list[Tensor], Tensor, Tensor]:
        """Flat indices of the four voxels of a plane around each pixel; share by row and by column."""
        width = plane.classes.shape[1]
        lines = [bound.index_select(0, row) * width for bound in (self._rows.low, self._rows.high)]
        places = [bound.index_select(0, column) for bound in (self._columns.low, self._columns.high)]
        between_rows = self._rows.share.index_select(0, row).unsqueeze(-1)
        between_columns = self._columns.share.index_select(0, column).unsqueeze(-1)
        return [line + place for line in lines for place in places], between_rows, between_columns

    def _at(self, plane: _Plane, corners: list[Tensor], by_row: Tensor, by_column: Tensor) -> Tensor:
        """Scores ``(n, channels)`` of a plane, interpolated within it."""
        scores = self._scores(plane)
        flat = scores.view(-1, scores.shape[-1])
        first, second, third, fourth = (flat.index_select(0, corner) for corner in corners)
        return first.lerp_(second, by_column).lerp_(third.lerp_(fourth, by_column), by_row)

    def _dense(self, low: _Plane, high: _Plane, share: float, output: int) -> Tensor:
        """Interpolate the scores of all pixels, some rows at a time; write what is asked for."""
        scores = self._scores(low)
        if share > 0:
            scores = scores.lerp(self._scores(high), share)
        rows, columns = self._rows, self._columns
        size = rows.low.numel(), columns.low.numel()
        classes = torch.empty(size, dtype=torch.uint8, device=scores.device)
        step = max(1, CHUNK // (size[1] * scores.shape[-1]))
        for begin in range(0, size[0], step):
            part = slice(begin, begin + step)
            lines = scores.index_select(0, rows.low[part])
            lines = lines.lerp_(scores.index_select(0, rows.high[part]), rows.share[part, None, None])
            pixels = lines.index_select(1, columns.low)
            pixels = pixels.lerp_(lines.index_select(1, columns.high), columns.share[:, None])
            classes[part] = self._meaning.classes(pixels[..., : self._meaning.channels], -1)
            self._write(output, part, pixels, classes[part])
        return classes

    def _write(self, output: int, part: slice, pixels: Tensor, classes: Tensor) -> None:
        if self._outputs.probabilities:
            probabilities = self._meaning.probabilities(pixels[..., : self._meaning.channels])
            for channel, target in self._outputs.probabilities.items():
                target[output, part] = probabilities[..., channel].half().cpu().numpy()
        if self._outputs.certainty is not None and self._certainty is not None:
            sure = self._certainty(pixels, classes).mul(255).round_().clamp_(0, 255)
            self._outputs.certainty[output, part] = sure.to(torch.uint8).cpu().numpy()

    @staticmethod
    def _scores(plane: _Plane) -> Tensor:
        if plane.scores is None:
            raise RuntimeError("scores were not kept for interpolation")
        return plane.scores
