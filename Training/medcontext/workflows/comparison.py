"""Models applied to the cases of a data set, in the data set's own label values, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medcontext.data.case import Case
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, MedContextError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.label_matching import match_labels
from medcontext.labels import IGNORE, Label, LabelSet
from medcontext.metrics import LabelScore, score_case


def values_between(model: LabelSet, data: LabelSet) -> tuple[np.ndarray, LabelSet]:
    """A table from a model's label values to those of a data set, and the labels that both know.

    Labels are matched as fine-tuning matches them, by codes and then by name; where codes contradict but one name is
    exactly the same, the name counts: what a case is scored by must not depend on how well it was coded.

    Returns:
        256 values, 0 for labels that the data set does not have; and the shared labels as the data set has them.
    """
    by_name = {label.name.casefold(): label for label in data}
    values = np.zeros(256, np.uint8)
    shared: dict[int, Label] = {}
    for match in match_labels(list(model), list(data)):
        target = match.target or by_name.get(match.source.name.casefold())
        if target is not None and target.value not in shared:
            values[match.source.value] = target.value
            shared[target.value] = target
    return values, LabelSet(tuple(shared[value] for value in sorted(shared)))


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


def mean_dice(*answers: Sequence[LabelScore]) -> list[float | None]:
    """Mean Dice of several answers to one case, over the labels that are in the case or in any of the answers.

    An answer without a label that is not in the case is right about it: 1, where another one invents it and gets 0.
    None where no label is anywhere.
    """
    occurring = [scores for scores in zip(*answers, strict=True) if any(s.dice is not None for s in scores)]
    if not occurring:
        return [None] * len(answers)
    columns = zip(*occurring, strict=True)
    return [float(np.mean([1.0 if s.dice is None else s.dice for s in column])) for column in columns]


@dataclass(frozen=True)
class CaseComparison:
    """Mean Dice over the common labels of one held-out case, of parent and child; None where none is in it."""

    case: str
    parent: float | None
    child: float | None


class Side:
    """A model, ready to be applied, whose answers are in the label values of a data set.

    Attributes:
        card: of the model.
        shared: the labels that model and data set both know, as the data set has them.

    Raises:
        InputError: the model cannot be opened.
    """

    def __init__(
        self, model: str | Path, store: CaseStore, device: str, precision: str, reporter: Reporter
    ) -> None:
        from medcontext.workflows.predictor import make_predictor

        self._predictor, loaded = make_predictor(model, device, precision, reporter)
        self.card = loaded.card
        self._values, self.shared = values_between(loaded.card.label_set, store.labels)

    def labelmap(self, image: Volume, reporter: Reporter) -> Volume:
        """The answer to one image; labels that the data set does not have are background."""
        found = self._predictor.predict(image, reporter=reporter).labelmap
        return Volume(self._values[found.array], found.geometry)


def labels_to_score(sides: Sequence[Side]) -> tuple[LabelSet, bool]:
    """What is scored: the labels that all sides and the data know, else the child's; and whether both are scored."""
    names = [{label.name for label in side.shared} for side in sides]
    common = set.intersection(*names)
    compared = len(sides) > 1 and bool(common)
    wanted = common if compared else names[0]
    return LabelSet(tuple(label for label in sides[0].shared if label.name in wanted)), compared


def score_cases(
    store: CaseStore, cases: Sequence[Case], labels: LabelSet, sides: Sequence[Side], reporter: Reporter
) -> list[CaseComparison]:
    """Dice of each case that can be read and shows one of the labels."""
    rows = []
    for index, case in enumerate(cases if len(labels) else []):
        reporter.check_cancelled()
        reporter.progress("judge", index / len(cases))
        try:
            image = store.read_image(case)
            reference = store.read_labels(case, like=image.geometry)
            answers = [side.labelmap(image, reporter.silent()) for side in sides]
        except CancelledError:
            raise
        except MedContextError as error:
            reporter.warning(f"Held-out case {case.id} was not scored: {error.message}")
            continue
        dice = mean_dice(
            *(score_annotated(case, only(answer, labels), reference, labels) for answer in answers)
        )
        if dice[0] is not None:
            rows.append(CaseComparison(case.id, dice[1] if len(dice) > 1 else None, dice[0]))
    reporter.progress("judge", 1)
    return rows
