"""Which cases a person should look at first: volumes, certainty and Dice far from those of the rest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from medcontext.batch_ledger.reading import volumes_of
from medcontext.batch_ledger.rows import DONE, Row

FEWEST = 8
"""Fewer cases do not tell what is usual."""

FAR = 3.5
"""Robust z-score (median and MAD) from which a number is an outlier, as Iglewicz and Hoaglin advise."""

USUAL = 2.0
"""The range called usual: so many robust standard deviations around the median, about 19 of 20 cases."""

NEARLY_ALL = 0.9
"""Share of the others that have a structure, or have it not, from which the opposite is an outlier."""

_LEAST_SPREAD = 0.05
"""In logarithms: differences of a few percent are no news, however alike the rest is."""

_TO_SIGMA = 1.4826  # MAD of a normal distribution to its standard deviation
_CLOSEST = 1e-3  # to certainty 1 or Dice 1


@dataclass(frozen=True)
class Outlier:
    """One number of a case that is far from the rest.

    Attributes:
        text: in words, such as "Anterior 0.2 mL, usual 1.1 to 1.9".
        distance: robust z-score without its sign; infinite where something is there, or not, against the rule.
        label: the label whose volume or Dice it is; empty otherwise.
    """

    text: str
    distance: float
    label: str = ""


def find_outliers(rows: Mapping[str, Row]) -> dict[str, list[Outlier]]:
    """Case -> what is unusual, the farthest first; cases without a reason are left out.

    Volumes are compared by their logarithms, certainty and Dice by the logarithm of what is missing to 1, and only
    where they are low. Only finished cases count, and at least 8 are needed to know what is usual.

    Args:
        rows: the newest row of each case, see :func:`read_rows`.
    """
    done = {case: row for case, row in rows.items() if row.get("state") == DONE}
    found: dict[str, list[Outlier]] = {case: [] for case in done}
    volumes = volumes_of(done)
    empty = _empty_cases(volumes)
    for case in empty if _unusual(len(empty), len(done)) else ():
        found[case].append(Outlier("nothing was found", math.inf))
    for label, values in volumes.items():
        judged = {case: value for case, value in values.items() if case not in empty}
        _add(found, _far_volumes(label, judged))
        _add(found, _against_the_rule(label, judged))
    _add(found, _low("certainty", certainties(done)))
    for label, values in volumes_of(done, "dice").items():
        _add(found, _low(f"Dice of {label}", values, label))
    for reasons in found.values():
        reasons.sort(key=lambda outlier: -outlier.distance)
    return {case: reasons for case, reasons in found.items() if reasons}


def outliers(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    """Case -> the reasons in words, see :func:`find_outliers`."""
    return {case: [outlier.text for outlier in found] for case, found in find_outliers(rows).items()}


def review_order(rows: Mapping[str, Row], found: Mapping[str, Sequence[Outlier]] | None = None) -> list[str]:
    """The finished cases, those first that need a person: the farthest outliers, then the least certain ones.

    Args:
        rows: the newest row of each case, see :func:`read_rows`.
        found: what :func:`find_outliers` gave for these rows, where that was asked already.
    """
    done = {case: row for case, row in rows.items() if row.get("state") == DONE}
    unusual = find_outliers(done) if found is None else found
    distance = {case: reasons[0].distance for case, reasons in unusual.items()}
    sure = certainties(done)
    return sorted(done, key=lambda case: (-distance.get(case, 0.0), sure.get(case, math.inf), case))


def certainties(rows: Mapping[str, Row]) -> dict[str, float]:
    """The certainty of each case that has one, 0..1."""
    numbers = {case: row.get("certainty") for case, row in rows.items()}
    return {case: float(number) for case, number in numbers.items() if isinstance(number, int | float)}


def number_text(value: float) -> str:
    """A number with about three digits: 0.123, 1.23, 12.3, 1234."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 0.001 else f"{value:.1g}"


@dataclass(frozen=True)
class _Usual:
    """Median and spread of the logarithms of positive numbers."""

    middle: float
    spread: float

    @classmethod
    def of(cls, values: Collection[float]) -> _Usual | None:
        """None where there are too few."""
        if len(values) < FEWEST:
            return None
        logarithms = [math.log(value) for value in values]
        middle = statistics.median(logarithms)
        deviation = statistics.median(abs(value - middle) for value in logarithms)
        return cls(middle, max(_TO_SIGMA * deviation, _LEAST_SPREAD))

    def z(self, value: float) -> float:
        return (math.log(value) - self.middle) / self.spread

    def ends(self) -> tuple[float, float]:
        reach = USUAL * self.spread
        return math.exp(self.middle - reach), math.exp(self.middle + reach)


def usual_volumes(values: Iterable[float]) -> tuple[float, float] | None:
    """The range of volumes called usual, in the unit of the volumes; None where there are too few above zero."""
    usual = _Usual.of([value for value in values if value > 0])
    return usual.ends() if usual else None


_Found = Iterable[tuple[str, Outlier]]


def _add(found: dict[str, list[Outlier]], new: _Found) -> None:
    for case, outlier in new:
        found[case].append(outlier)


def _far_volumes(label: str, volumes: Mapping[str, float]) -> _Found:
    usual = _Usual.of([value for value in volumes.values() if value > 0])
    if usual is None:
        return
    low, high = (number_text(end) for end in usual.ends())
    for case, volume in volumes.items():
        distance = abs(usual.z(volume)) if volume > 0 else 0.0
        if distance > FAR:
            yield case, Outlier(f"{label} {number_text(volume)} mL, usual {low} to {high}", distance, label)


def _against_the_rule(label: str, volumes: Mapping[str, float]) -> _Found:
    """Cases without a structure that nearly all others have, and cases with one that nearly no other has."""
    without = [case for case, volume in volumes.items() if volume <= 0]
    having = [case for case, volume in volumes.items() if volume > 0]
    total = len(volumes)
    if len(volumes) < FEWEST:
        return
    for case in without if _unusual(len(without), total) else ():
        yield case, Outlier(f"{label} not found, but in {len(having)} of {total} cases", math.inf, label)
    for case in having if _unusual(len(having), total) else ():
        text = f"{label} {number_text(volumes[case])} mL, not found in {len(without)} of {total} cases"
        yield case, Outlier(text, math.inf, label)


def _low(name: str, values: Mapping[str, float], label: str = "") -> _Found:
    """Shares (0..1) that are far below the others'."""
    missing: Callable[[float], float] = lambda value: max(1.0 - value, _CLOSEST)  # noqa: E731
    usual = _Usual.of([missing(value) for value in values.values()])
    if usual is None:
        return
    low, high = (f"{max(0.0, 1.0 - end):.2f}" for end in reversed(usual.ends()))
    for case, value in values.items():
        distance = usual.z(missing(value))
        if distance > FAR:
            yield case, Outlier(f"{name} {value:.2f}, usual {low} to {high}", distance, label)


def _empty_cases(volumes: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Cases in which no label has a voxel."""
    cases = {case for values in volumes.values() for case in values}
    return cases - {case for values in volumes.values() for case, volume in values.items() if volume > 0}


def _unusual(count: int, total: int) -> bool:
    """Whether so many of all are few enough; among few cases anything may be."""
    others = max(total - 1, 1)
    return total < FEWEST or (total - count) / others >= NEARLY_ALL
