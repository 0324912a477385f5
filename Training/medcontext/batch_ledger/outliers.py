"""Which cases a person should look at first: volumes, certainty and Dice far from those of the rest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

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
        kind: what the number is; "empty" where no structure was found at all.
        label: the label whose volume or Dice it is; empty otherwise.
    """

    text: str
    distance: float
    kind: Literal["volume", "certainty", "dice", "empty"]
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
        found[case].append(Outlier("nothing was found", math.inf, "empty"))
    for label, values in volumes.items():
        judged = {case: value for case, value in values.items() if case not in empty}
        _add(found, _far_volumes(label, judged))
        _add(found, _against_the_rule(label, judged))
    _add(found, _low("certainty", "", certainties(done)))
    for label, values in volumes_of(done, "dice").items():
        _add(found, _low("dice", label, values))
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
    """A number with up to three digits: 0.00123, 1.2, 12.3, 1234."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


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


def usual_volumes(volumes: Iterable[float]) -> tuple[float, float, float] | None:
    """Median and ends of the range called usual, of the volumes above zero; None where there are fewer than 8."""
    usual = _Usual.of([volume for volume in volumes if volume > 0])
    return (math.exp(usual.middle), *usual.ends()) if usual else None


def usual_shares(shares: Iterable[float]) -> tuple[float, float, float] | None:
    """As :func:`usual_volumes`, of certainties or Dice (0..1)."""
    usual = _Usual.of([_missing(share) for share in shares])
    if usual is None:
        return None
    low, high = (max(0.0, 1.0 - end) for end in reversed(usual.ends()))
    return 1.0 - math.exp(usual.middle), low, high


def _missing(share: float) -> float:
    return max(1.0 - share, _CLOSEST)


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
            yield (
                case,
                Outlier(
                    f"{label} {number_text(volume)} mL, usual {low} to {high}", distance, "volume", label
                ),
            )


def _against_the_rule(label: str, volumes: Mapping[str, float]) -> _Found:
    """Cases without a structure that nearly all others have, and cases with one that nearly no other has."""
    without = [case for case, volume in volumes.items() if volume <= 0]
    having = [case for case, volume in volumes.items() if volume > 0]
    total = len(volumes)
    if len(volumes) < FEWEST:
        return
    for case in without if _unusual(len(without), total) else ():
        yield (
            case,
            Outlier(f"{label} not found, but in {len(having)} of {total} cases", math.inf, "volume", label),
        )
    for case in having if _unusual(len(having), total) else ():
        text = f"{label} {number_text(volumes[case])} mL, not found in {len(without)} of {total} cases"
        yield case, Outlier(text, math.inf, "volume", label)


def _low(kind: Literal["certainty", "dice"], label: str, values: Mapping[str, float]) -> _Found:
    """Shares (0..1) that are far below the others'."""
    name = f"Dice of {label}" if label else kind
    usual, ends = _Usual.of([_missing(value) for value in values.values()]), usual_shares(values.values())
    if usual is None or ends is None:
        return
    for case, value in values.items():
        distance = usual.z(_missing(value))
        if distance > FAR:
            yield (
                case,
                Outlier(f"{name} {value:.2f}, usual {ends[1]:.2f} to {ends[2]:.2f}", distance, kind, label),
            )


def _empty_cases(volumes: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Cases in which no label has a voxel."""
    cases = {case for values in volumes.values() for case in values}
    return cases - {case for values in volumes.values() for case, volume in values.items() if volume > 0}


def _unusual(count: int, total: int) -> bool:
    """Whether so many of all are few enough; among few cases anything may be."""
    others = max(total - 1, 1)
    return total < FEWEST or (total - count) / others >= NEARLY_ALL
