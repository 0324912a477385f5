"""The points of a learning curve, smoothed and thinned: a run of days is as quick to draw as one of minutes."""

from __future__ import annotations

import math
from collections.abc import Mapping

LIMIT = 2000
"""More points than a plot has pixels say nothing."""

SMOOTHED_SHARE = 50
"""A loss is averaged over about this part of the run so far."""

_MISSING = math.nan


class CurvePoints:
    """Values over the steps of a training, added one after the other.

    A step that comes again replaces what was known of it and of all later ones: a run that was interrupted goes back
    to its last checkpoint, and the next fold of a leave-one-out begins anew.

    Args:
        smoothed: whether values are averaged over time.
        limit: most points that are kept; when there are more, every other one goes.
    """

    _averages: dict[str, tuple[int, float]]
    _stride: int  # every how many additions a row stays; those between only show the present
    _passed: int
    _lastIsPassing: bool

    def __init__(self, smoothed: bool, limit: int = LIMIT) -> None:
        self._smoothed, self._limit = smoothed, max(4, limit)
        self.clear()

    def clear(self) -> None:
        """Forget all points and names."""
        self.names: list[str] = []
        self.rows: list[tuple[float, list[float]]] = []
        self._restart()
        self._changed = 0

    @property
    def empty(self) -> bool:
        """Whether there is no point."""
        return not self.rows

    def add(self, step: float, values: Mapping[str, float | None]) -> None:
        """Add the values of a step; what is not a finite number is left out."""
        known = {
            name: float(value)
            for name, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if not known:
            return
        self.names += [name for name in known if name not in self.names]
        self._takeBack(step)
        row = [_MISSING] * len(self.names)
        for name, value in known.items():
            row[self.names.index(name)] = self._average(name, value)
        if self._lastIsPassing:
            self.rows[-1] = (float(step), row)
        else:
            self.rows.append((float(step), row))
        self._changed = min(self._changed, len(self.rows) - 1)
        self._passed += 1
        self._lastIsPassing = len(self.rows) > 1 and self._passed < self._stride
        if not self._lastIsPassing:
            self._passed = 0
            if len(self.rows) > self._limit:
                self._thin()

    def values(self, name: str) -> list[tuple[float, float]]:
        """The ``(step, value)`` of one name, without the steps at which it has none."""
        column = self.names.index(name)
        pairs = [(step, row[column]) for step, row in self.rows if column < len(row)]
        return [(step, value) for step, value in pairs if not math.isnan(value)]

    def takeChanges(self) -> int:
        """The first row that is not as it was at the last call; the number of rows where all are."""
        changed, self._changed = self._changed, len(self.rows)
        return min(changed, len(self.rows))

    def _average(self, name: str, value: float) -> float:
        if not self._smoothed:
            return value
        seen, average = self._averages.get(name, (0, value))
        share = 1 / max(1.0, (seen + 1) / SMOOTHED_SHARE)
        average += share * (value - average)
        self._averages[name] = (seen + 1, average)
        return average

    def _takeBack(self, step: float) -> None:
        if not self.rows or step > self.rows[-1][0]:
            return
        while self.rows and self.rows[-1][0] >= step:
            self.rows.pop()
        self._changed = min(self._changed, len(self.rows))
        self._passed, self._lastIsPassing = 0, False
        if not self.rows:
            self._restart()

    def _restart(self) -> None:
        self._averages, self._stride = {}, 1
        self._passed, self._lastIsPassing = 0, False

    def _thin(self) -> None:
        """Keep every other row, the last among them."""
        self.rows = self.rows[(len(self.rows) - 1) % 2 :: 2]
        self._stride *= 2
        self._changed = 0
