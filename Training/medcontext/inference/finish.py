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

MIXED = 255
"""Stands where the model voxels around an output voxel differ; no label has this value."""

CHUNK = 1 << 22
"""Scores interpolated at a time: 16 MB of float32 stay in the cache of most CPUs or close to it."""

DENSE_SHARE = 0.3
"""Above this share of voxels near a border, interpolating all of them costs less than picking them out."""

WHOLE_PLANE_SHARE = 8
"""Interpolating two planes as a whole costs about an eighth, per pixel, of picking pixels from the second."""

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
    """One plane of the model's grid: its index, class indices uint8 ``(h, w)`` in main memory, and normalised
    scores ``(h, w, channels)``."""

    index: int
    classes: np.ndarray
    scores: Tensor | None


class _InPlane:
    """Positions of output rows or columns on a device, and those of the voxels before them in main memory."""

    def __init__(self, positions: AxisMap, device: torch.device) -> None:
        self.before, self.interpolates = positions.low, positions.interpolates
        self.low = torch.from_numpy(positions.low).to(device)
        self.high = torch.from_numpy(positions.high).to(device)
        self.share = torch.from_numpy(positions.share).to(device)


def _look_ahead(classes: np.ndarray, mixed: np.ndarray) -> None:
    """Mark voxels ``(n, m)`` whose successor along the first axis has another class, or is marked itself."""
    mixed[:-1] |= mixed[1:] | (classes[:-1] != classes[1:])


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
        self._agreed: tuple[tuple[int, int], np.ndarray, np.ndarray] | None = None
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
        scores = self._normalised(sums, weight) if self._keeps_scores else None
        self._planes[index] = _Plane(index, classes.cpu().numpy(), scores)
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
        target = self._outputs.labels[output]
        if self._outputs.dense:
            target[...] = self._dense(low, high, share, output)
            return
        labels, border = self._agreement(low, high)
        if border.size > DENSE_SHARE * labels.size:
            target[...] = self._dense(low, high, share, output)
            return
        if border.size:
            labels = labels.copy()
            labels.reshape(-1)[border] = self._sparse(low, high, share, border)
        target[...] = labels

    def _agreement(self, low: _Plane, high: _Plane) -> tuple[np.ndarray, np.ndarray]:
        """Labels of an output plane where all model voxels around agree, and flat indices of the other pixels.

        Told on the model's grid, which is mostly the coarser one, and then spread; in main memory, where numpy
        takes a quarter of torch's time for bytes. Outputs between the same two planes share the answer.
        """
        if self._agreed is None or self._agreed[0] != (low.index, high.index):
            mixed = low.classes != high.classes
            if self._rows.interpolates:
                _look_ahead(low.classes, mixed)
            if self._columns.interpolates:
                _look_ahead(low.classes.T, mixed.T)
            labels = self._meaning.lookup.take(low.classes)
            labels[mixed] = MIXED
            spread = labels.take(self._columns.before, 1).take(self._rows.before, 0)
            border = np.flatnonzero(spread == MIXED) if mixed.any() else np.empty(0, np.int64)
            self._agreed = (low.index, high.index), spread, border
        return self._agreed[1:]

    def _sparse(self, low: _Plane, high: _Plane, share: float, pixels: np.ndarray) -> np.ndarray:
        """Labels of some pixels of a plane (flat indices), from interpolated scores."""
        scores, above = self._scores(low), self._scores(high)
        if share > 0 and pixels.size * WHOLE_PLANE_SHARE > low.classes.size:
            scores, share = scores.lerp(above, share), 0.0
        found = np.empty(pixels.size, np.uint8)
        step, width = max(1, CHUNK // scores.shape[-1]), self._columns.before.size
        for begin in range(0, pixels.size, step):
            chunk = torch.from_numpy(pixels[begin : begin + step]).to(scores.device)
            corners = self._corners(torch.div(chunk, width, rounding_mode="floor"), chunk % width, low)
            values = self._at(scores, *corners)
            if share > 0:
                values = values.lerp_(self._at(above, *corners), share)
            found[begin : begin + step] = self._meaning.classes(values, 1).cpu().numpy()
        return self._meaning.lookup.take(found)

    def _corners(self, row: Tensor, column: Tensor, plane: _Plane) -> tuple[list[Tensor], Tensor, Tensor]:
        """Flat indices of the four voxels of a plane around each pixel; share by row and by column."""
        width = plane.classes.shape[1]
        lines = [bound.index_select(0, row) * width for bound in (self._rows.low, self._rows.high)]
        places = [bound.index_select(0, column) for bound in (self._columns.low, self._columns.high)]
        between_rows = self._rows.share.index_select(0, row).unsqueeze(-1)
        between_columns = self._columns.share.index_select(0, column).unsqueeze(-1)
        return [line + place for line in lines for place in places], between_rows, between_columns

    @staticmethod
    def _at(scores: Tensor, corners: list[Tensor], by_row: Tensor, by_column: Tensor) -> Tensor:
        """Scores ``(n, channels)`` of pixels of a plane, interpolated within it."""
        flat = scores.view(-1, scores.shape[-1])
        first, second, third, fourth = (flat.index_select(0, corner) for corner in corners)
        return first.lerp_(second, by_column).lerp_(third.lerp_(fourth, by_column), by_row)

    def _dense(self, low: _Plane, high: _Plane, share: float, output: int) -> np.ndarray:
        """Labels of a plane from the interpolated scores of all pixels, some rows at a time; write what else is
        asked for."""
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
        return self._meaning.lookup.take(classes.cpu().numpy())

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
