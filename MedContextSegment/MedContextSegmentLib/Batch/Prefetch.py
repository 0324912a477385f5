"""Reads the case that comes next while a person looks at this one.

Slicer's own readers work on the main thread and keep all else waiting. The worker reads in its own process, as the
batch did, and hands over voxels: what is left for the main thread is to make nodes of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MedContextSegmentLib.Batch.CaseReading import CaseReader
from MedContextSegmentLib.Batch.CaseRow import CaseRow
from MedContextSegmentLib.Batch.CaseScene import CaseVoxels
from MedContextSegmentLib.Worker.Background import Background

SAMPLED_VOXELS = 1 << 18
SHARES = (0.1, 99.9)
"""Percentiles that are black and white. Slicer looks at all voxels for them, which takes longer than all the rest."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case that was read.

    Attributes:
        voxels: what it consists of.
        windows: what is black and what is white of each channel.
    """

    voxels: CaseVoxels
    windows: tuple[tuple[float, float], ...]


class Prefetch:
    """One case at a time, in a thread.

    Args:
        reader: reads the cases of one batch.
    """

    def __init__(self, reader: CaseReader) -> None:
        self._reader = reader
        self._row: CaseRow | None = None
        self._reading: Background[PreparedCase] | None = None

    @property
    def reading(self) -> bool:
        """Whether a case is being read."""
        return self._reading is not None and not self._reading.done

    def want(self, row: CaseRow) -> None:
        """Begin to read a case, unless that was done; another one that was read is let go of."""
        if self._row != row:
            self._begin(row)

    def take(self, row: CaseRow) -> Background[PreparedCase]:
        """What gives a case: the reading that goes on or has ended, else one that begins now."""
        if self._row != row or self._failed():
            self._begin(row)
        reading = self._reading
        assert reading is not None  # for the type checker: it has just begun
        self.forget()
        return reading

    def turn(self, seconds: float) -> None:
        """Let the thread have its turn, which Slicer does not give while it waits for events."""
        if self._reading is not None:
            self._reading.wait(seconds)

    def forget(self) -> None:
        """Let go of what was read."""
        self._row = self._reading = None

    def _begin(self, row: CaseRow) -> None:
        self._row, self._reading = row, Background(lambda: self._prepared(row))

    def _prepared(self, row: CaseRow) -> PreparedCase:
        voxels = self._reader.read(row.case, row.row)
        return PreparedCase(voxels, tuple(windowOf(array) for _title, array in voxels.channels))

    def _failed(self) -> bool:
        """Whether it was tried before: a file may be there now."""
        if self._reading is None or not self._reading.done:
            return False
        try:
            self._reading.result()
        except Exception:  # told to whoever takes it, if it fails again
            return True
        return False


def windowOf(array: np.ndarray) -> tuple[float, float]:
    """What is black and what is white of a scan ``(K, J, I)``, by voxels all over it."""
    step = max(1, round((array.size / SAMPLED_VOXELS) ** (1 / 3)))
    black, white = np.percentile(array[::step, ::step, ::step], SHARES)
    return float(black), float(max(white, black + 1e-6))
