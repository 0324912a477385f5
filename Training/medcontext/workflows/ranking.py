"""The order in which scans are worth annotating, from how unsure the model is and how new they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medcontext.data.case import Case
from medcontext.inference.second_look import Look

Reason = Literal["unsure", "unlike", "nothing_found"]

OUTSTANDING = 2 / 3
"""A scan that is less sure, or less like the annotated ones, than two thirds of the others is told apart by that."""


@dataclass(frozen=True)
class Suggestion:
    """One scan that could be annotated.

    Attributes:
        case: its id in the store.
        score: 0 to 1; the mean of its places by uncertainty and by novelty among all that were looked at.
        uncertainty: how much views of it disagree, 0 to 1.
        novelty: distance from what is annotated and from the suggestions before it, in standard deviations of the
            encoder's features; None where there was nothing yet to be near to.
        reasons: "unsure" (less sure of it than of most), "unlike" (less like the annotated ones than most),
            "nothing_found" (the model found none of its labels); empty where it is the only one.
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


def rank(looks: Sequence[tuple[Case, Look]], known: Sequence[np.ndarray]) -> list[Suggestion]:
    """The scans in the order to annotate them in.

    Args:
        looks: the scans, with what was seen of them.
        known: features of the annotated cases.
    """
    rows = np.stack([look.features for _case, look in looks] + list(known)).astype(np.float64)
    rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-6)
    own, others = rows[: len(looks)], rows[len(looks) :]
    nearest = np.full(len(own), np.inf)
    for other in others:
        nearest = np.minimum(nearest, _distance(own, other))
    unsure = _places(np.array([look.uncertainty for _case, look in looks]))
    scale = np.sort(nearest) if known else None
    left, ranking = np.ones(len(own), bool), []
    while left.any():
        new = np.ones(len(own)) if scale is None else np.searchsorted(scale, nearest, "right") / len(own)
        score = np.where(left, (unsure + new) / 2, -1)
        best = int(score.argmax())
        left[best] = False
        case, look = looks[best]
        reasons = _reasons(look, unsure[best], None if scale is None else new[best]) if len(own) > 1 else ()
        novelty = float(nearest[best]) if np.isfinite(nearest[best]) else None
        ranking.append(
            Suggestion(case.id, float(score[best]), look.uncertainty, novelty, reasons, tuple(case.images))
        )
        nearest = np.minimum(nearest, _distance(own, own[best]))
        scale = np.sort(nearest) if scale is None else scale
    return ranking


def _distance(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Root of the mean squared difference of each row from one."""
    found: np.ndarray = np.sqrt(np.square(rows - row).mean(1))
    return found


def _places(values: np.ndarray) -> np.ndarray:
    """For each value the share of values that are not larger."""
    return np.searchsorted(np.sort(values), values, "right") / len(values)


def _reasons(look: Look, unsure: float, new: float | None) -> tuple[Reason, ...]:
    if look.found < 0.5:
        return ("nothing_found",)
    reasons: list[Reason] = []
    if unsure >= OUTSTANDING or new is None or unsure >= new:
        reasons.append("unsure")
    if new is not None and (new >= OUTSTANDING or new > unsure):
        reasons.append("unlike")
    return tuple(reasons)
