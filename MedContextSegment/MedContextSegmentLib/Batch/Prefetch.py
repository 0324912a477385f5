"""Reads the case that comes next while a person looks at this one.

Slicer's own readers work on the main thread and keep all else waiting. The worker reads in its own process, as the
batch did, and hands over voxels: what is left for the main thread is to make nodes of them.
"""

from __future__ import annotations

from MedContextSegmentLib.Batch.CaseReading import CaseReader
from MedContextSegmentLib.Batch.CaseRow import CaseRow
from MedContextSegmentLib.Batch.CaseScene import CaseVoxels
from MedContextSegmentLib.Worker.Background import Background


class Prefetch:
    """One case at a time, in a thread.

    Args:
        reader: reads the cases of one batch.
    """

    def __init__(self, reader: CaseReader) -> None:
        self._reader = reader
        self._row: CaseRow | None = None
        self._reading: Background[CaseVoxels] | None = None

    @property
    def reading(self) -> bool:
        """Whether a case is being read."""
        return self._reading is not None and not self._reading.done

    def want(self, row: CaseRow) -> None:
        """Begin to read a case, unless that was done; another one that was read is let go of."""
        if self._row != row:
            self._begin(row)

    def take(self, row: CaseRow) -> Background[CaseVoxels]:
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
        reader = self._reader
        self._row, self._reading = row, Background(lambda: reader.read(row.case, row.row))

    def _failed(self) -> bool:
        """Whether it was tried before: a file may be there now."""
        if self._reading is None or not self._reading.done:
            return False
        try:
            self._reading.result()
        except Exception:  # told to whoever takes it, if it fails again
            return True
        return False
