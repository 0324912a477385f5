"""The order in which scans are worth annotating: by how unsure the model is, and by what they bring nearer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medcontext.data.case import Case

if TYPE_CHECKING:
    from medcontext.inference.second_look import Look

Reason = Literal["unsure", "unlike", "stands_for_many", "nothing_found"]

OUTSTANDING = 2 / 3
"""What is more so than two thirds of the scans is said to be so."""

CHOSEN = 50
"""So many scans are chosen one after another; those behind them follow in the order of their scores then."""

OTHERS = 1000
"""So many scans, drawn at random, stand for a larger pool."""


@dataclass(frozen=True)
class Suggestion:
    """One scan that could be annotated.

    Attributes:
        case: its id in the store.
        score: uncertainty times gain, as a share of that of the first suggestion.
        uncertainty: how much views of it disagree, 0 to 1.
        novelty: distance from what is annotated and from the suggestions before it, in standard deviations of the
            encoder's features; None where there was nothing yet to be near to.
        reasons: "unsure" (less sure of it than of most), "unlike" (less like the annotated ones than most),
            "stands_for_many" (many scans are more like it than like what is annotated), "nothing_found" (the model
            found none of its labels); empty where it is the only one.
        images: its files.
    """

    case: str
    score: float
    uncertainty: float
    novelty: float | None
    reasons: tuple[Reason, ...]
    images: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "case": self.case,
            "score": round(self.score, 4),
            "uncertainty": round(self.uncertainty, 4),
            "novelty": None if self.novelty is None else round(self.novelty, 4),
            "reasons": list(self.reasons),
            "images": [str(path) for path in self.images],
        }


def rank(looks: Sequence[tuple[Case, Look]], known: Sequence[np.ndarray], seed: int = 0) -> list[Suggestion]:
    """The scans in the order to annotate them in: by uncertainty times gain.

    The gain of a scan is how much nearer, summed over all scans, what is not annotated would be to what is: a scan
    that is unlike the annotated ones gains much by itself, one that many others are like gains through them. A scan
    that is unlike everything counts once and no more, so that oddities do not come before what the model will meet.

    Args:
        looks: the scans, with what was seen of them.
        known: features of the annotated cases.
        seed: of the draw from a large pool.
    """
    rows = np.stack([look.features for _case, look in looks] + list(known)).astype(np.float64)
    rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-6)
    pool = _Pool(rows[: len(looks)], rows[len(looks) :], seed)
    unsure, gains = np.array([look.uncertainty for _case, look in looks]), pool.gains()
    reasons = _Reasons(unsure, gains, pool.nearest)
    whole = max(float((unsure * gains).max()), 1e-12)
    left = list(range(len(looks)))
    ranking: list[Suggestion] = []
    while left:
        scores = unsure * pool.gains() / whole
        order = sorted(left, key=lambda index: -scores[index])
        for index in order[:1] if len(ranking) < CHOSEN else order:
            case, look = looks[index]
            why = reasons.of(index, look) if len(looks) > 1 else ()
            facts = float(scores[index]), look.uncertainty, pool.novelty(index), why
            ranking.append(Suggestion(case.id, *facts, tuple(case.images)))
            left.remove(index)
            pool.annotate(index)
    return ranking


class _Pool:
    """Scans as points, and how far each is from the nearest that is annotated."""

    def __init__(self, rows: np.ndarray, known: np.ndarray, seed: int) -> None:
        self._rows = rows
        self.nearest = np.full(len(rows), np.inf)
        for other in known:
            self.nearest = np.minimum(self.nearest, _distance(rows, other))
        some = np.random.default_rng(seed).permutation(len(rows))[:OTHERS]
        self._some = np.sort(some)
        self._between = np.stack([_distance(rows[self._some], row) for row in rows]).astype(np.float32)

    def gains(self) -> np.ndarray:
        """For each scan, how much nearer the others would be to what is annotated."""
        nearest = self.nearest[self._some]
        # With nothing annotated everything is equally far, so that the middle of the scans gains most.
        nearest = np.where(np.isfinite(nearest), nearest, self._between.max())
        gains: np.ndarray = np.maximum(nearest - self._between, 0).sum(1)
        return gains

    def novelty(self, index: int) -> float | None:
        return float(self.nearest[index]) if np.isfinite(self.nearest[index]) else None

    def annotate(self, index: int) -> None:
        self.nearest = np.minimum(self.nearest, _distance(self._rows, self._rows[index]))


class _Reasons:
    """What sets a scan apart from the others."""

    def __init__(self, unsure: np.ndarray, gains: np.ndarray, nearest: np.ndarray) -> None:
        self._unsure, self._gain = _places(unsure), _places(gains)
        self._far = _places(nearest) if np.isfinite(nearest).all() else np.zeros(len(unsure))

    def of(self, index: int, look: Look) -> tuple[Reason, ...]:
        if look.found < 0.5:
            return ("nothing_found",)
        places: dict[Reason, float] = {
            "unsure": self._unsure[index],
            "unlike": self._far[index],
            "stands_for_many": self._gain[index],
        }
        if places["unlike"] >= OUTSTANDING:  # then it gains by itself
            del places["stands_for_many"]
        least = min(OUTSTANDING, max(places.values()))
        return tuple(reason for reason, place in places.items() if place >= least)


def _distance(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Root of the mean squared difference of each row from one."""
    found: np.ndarray = np.sqrt(np.square(rows - row).mean(1))
    return found


def _places(values: np.ndarray) -> np.ndarray:
    """For each value the share of values that are not larger."""
    return np.searchsorted(np.sort(values), values, "right") / len(values)
