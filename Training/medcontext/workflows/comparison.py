"""What a model says of a case of a data set, in the data set's own label values, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medcontext.data.case import Case
from medcontext.geometry import Volume
from medcontext.labels import IGNORE, LabelSet
from medcontext.metrics import LabelScore, score_case


def values_between(model: LabelSet, data: LabelSet) -> tuple[np.ndarray, LabelSet]:
    """A table from a model's label values to those of a data set, by name, and the labels that both know.

    Returns:
        256 values, 0 for labels that the data set does not have; and the shared labels as the data set has them.
    """
    by_name = {label.name.casefold(): label for label in data}
    values = np.zeros(256, np.uint8)
    shared = []
    for label in model:
        if other := by_name.pop(label.name.casefold(), None):
            values[label.value] = other.value
            shared.append(other)
    return values, LabelSet(tuple(sorted(shared, key=lambda label: label.value)))


def score_annotated(
    case: Case, prediction: Volume, reference: Volume, labels: LabelSet, tolerance_mm: float = 1.0
) -> list[LabelScore]:
    """Scores of the labels that were annotated in a case; see :func:`medcontext.metrics.score_case`.

    Raises:
        InputError: the prediction holds other labels than ``labels``, or lies on another grid.
    """
    known = set(labels.values if case.annotated.labels is None else case.annotated.labels)
    # A label that is not scored is in the reference all the same.
    reference = only(reference, labels)
    return score_case(prediction, reference, labels, tolerance_mm, case=case.id, annotated=known)


def only(labelmap: Volume, labels: LabelSet) -> Volume:
    """The labelmap with 0 for every label that is not among ``labels``; 255 stays."""
    others = ~np.isin(labelmap.array, [*labels.values, 0, IGNORE])
    return (
        Volume(np.where(others, np.uint8(0), labelmap.array), labelmap.geometry) if others.any() else labelmap
    )


def mean_dice(scores: Sequence[LabelScore]) -> float | None:
    """Mean over the labels that occur in a case or were found there; None where there is none."""
    found = [score.dice for score in scores if score.dice is not None]
    return float(np.mean(found)) if found else None
