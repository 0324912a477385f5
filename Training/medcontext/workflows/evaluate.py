"""Scoring a model, or labelmaps that are there already, against the labels of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.data.cache import files_hash
from medcontext.data.case import Case
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import read_labelmap
from medcontext.labels import IGNORE, LabelSet
from medcontext.library import LoadedModel
from medcontext.metrics import LabelScore, score_case, summarise, write_scores
from medcontext.workflows.predictor import make_predictor

ENDINGS = (".nii.gz", ".seg.nrrd", ".nrrd", ".mha", ".nii")
"""How a labelmap's name may end, the one taken first where there are several."""

Predict = Callable[[Case], Volume]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a data set.

    Attributes:
        scores: one row for each case and label.
        summary: what they amount to, as ``scores.json`` has it.
        failed: why a case was not scored, by its name.
    """

    scores: list[LabelScore]
    summary: dict[str, Any]
    failed: dict[str, MedContextError]

    @property
    def cases(self) -> int:
        """Number of cases scored."""
        return int(self.summary["cases"])

    @property
    def mean_dice(self) -> float:
        """Mean over the labels of their mean Dice; NaN where no label occurs."""
        mean = self.summary["mean"]["dice"]["mean"]
        return float("nan") if mean is None else float(mean)

    def dice(self, label: str) -> float:
        """Mean Dice of a label; NaN where it does not occur."""
        mean = self.summary["labels"][label]["dice"]["mean"]
        return float("nan") if mean is None else float(mean)

    def table(self) -> list[tuple[str, int, float | str, float | str, float | str]]:
        """For each label its name, number of cases, and the means of Dice, HD95 in mm and surface Dice."""
        return [
            (
                name,
                entry["dice"]["n"],
                *(_shown(entry[m]["mean"]) for m in ("dice", "hd95_mm", "surface_dice")),
            )
            for name, entry in self.summary["labels"].items()
        ]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        failed = [{"case": case, "message": str(error)} for case, error in self.failed.items()]
        return {"summary": self.summary, "failed": failed}


def evaluate(
    data: Path,
    *,
    model: str | Path | None = None,
    predictions: Path | None = None,
    output: Path | None = None,
    split: str = "test",
    tolerance_mm: float = 1.0,
    device: str = "auto",
    precision: str = "auto",
    reporter: Reporter | None = None,
) -> Evaluation:
    """Score a model on a data set, or labelmaps of its cases.

    Args:
        data: case store or Decathlon folder.
        model: library id or folder of the model to run; or
        predictions: folder of labelmaps named after the cases, with the label values of the data set.
        output: folder for ``scores.csv`` and ``scores.json``; nothing is written when None.
        split: ``test`` (held-out cases included), ``training`` or ``all``.
        tolerance_mm: distance that surface Dice forgives.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        reporter: told of progress and warnings.

    Raises:
        InputError: not one of model and predictions was given, there is no labelled case in the split, model
            and data share no label, or not one case could be scored.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    if (model is None) == (predictions is None):
        raise InputError("Give either a model (-m MODEL) or a folder of labelmaps, and not both.")
    store = CaseStore.open(data)
    cases = choose_cases(store, split)
    if predictions is not None:
        predict, labels = _reader(Path(predictions)), store.labels
    else:
        predict, labels = _runner(str(model), store, cases, device, precision, reporter)
    scores: list[LabelScore] = []
    failed: dict[str, MedContextError] = {}
    for index, case in enumerate(cases):
        reporter.check_cancelled()
        reporter.progress("evaluate", index / len(cases))
        try:
            scores += _score(store, case, predict, labels, tolerance_mm)
        except CancelledError:
            raise
        except MedContextError as error:
            failed[case.id] = error
            facts = {"status": "failed", "message": error.message, "hint": error.hint}
            reporter.emit("case", case=case.id, **facts)
    reporter.progress("evaluate", 1)
    if not scores:
        first = next(iter(failed.values()))
        raise InputError(f"No case could be scored; the first one: {first.message}", first.hint)
    summary = write_scores(scores, output) if output is not None else summarise(scores)
    return Evaluation(scores, summary, failed)


def choose_cases(store: CaseStore, split: str) -> list[Case]:
    """The labelled cases of a part of a data set.

    Raises:
        InputError: the part is unknown or has no labelled case.
    """
    choices: dict[str, Callable[[Case], bool]] = {
        "test": lambda case: case.split == "test" or case.held_out,
        "training": lambda case: case.trainable,
        "all": lambda _: True,
    }
    if split not in choices:
        raise InputError(f"There is no split '{split}'.", f"Allowed: {', '.join(choices)}.")
    cases = [case for case in store.cases if case.label is not None and choices[split](case)]
    if not cases:
        hint = "Choose --split training or all, or mark cases as held out with 'medcontext data split'."
        raise InputError(f"{store.folder} holds no labelled case in the split '{split}'.", hint)
    return cases


def _score(
    store: CaseStore, case: Case, predict: Predict, labels: LabelSet, tolerance_mm: float
) -> list[LabelScore]:
    reference = store.read_labels(case)
    known = set(labels.values if case.annotated.labels is None else case.annotated.labels)
    shared = set(labels.values)
    # A label that the model does not know is in the reference all the same; it is not what is scored here.
    others = ~np.isin(reference.array, [*shared, 0, IGNORE])
    if others.any():
        reference = Volume(np.where(others, np.uint8(0), reference.array), reference.geometry)
    return score_case(predict(case), reference, labels, tolerance_mm, case=case.id, annotated=known & shared)


def _reader(folder: Path) -> Predict:
    """Read labelmaps that are there."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Name the folder that holds the labelmaps.")

    def predict(case: Case) -> Volume:
        for ending in ENDINGS:
            path = folder / f"{case.id}{ending}"
            if path.exists():
                return read_labelmap(path)
        raise InputError(f"{folder} holds no labelmap of case {case.id}.", f"It should be {case.id}.nii.gz.")

    return predict


def _runner(
    model: str, store: CaseStore, cases: Sequence[Case], device: str, precision: str, reporter: Reporter
) -> tuple[Predict, LabelSet]:
    """Run a model; its labels take the values that the data set gives to the same names."""
    predictor, loaded = make_predictor(model, device, precision, reporter)
    _warn_of_known_cases(loaded, cases, reporter)
    values, labels = _common_labels(loaded.card.label_set, store.labels, reporter)

    def predict(case: Case) -> Volume:
        reporter.case = case.id
        try:
            found = predictor.predict(store.read_image(case), reporter=reporter).labelmap
        finally:
            reporter.case = None
        return Volume(values[found.array], found.geometry)

    return predict, labels


def _common_labels(model: LabelSet, data: LabelSet, reporter: Reporter) -> tuple[np.ndarray, LabelSet]:
    """A table from model values to data values, and the labels that both know.

    Raises:
        InputError: no name is in both.
    """
    by_name = {label.name.casefold(): label for label in data}
    values = np.zeros(256, np.uint8)
    shared = []
    for label in model:
        if other := by_name.pop(label.name.casefold(), None):
            values[label.value] = other.value
            shared.append(other)
    names = [", ".join(label.name for label in labels) for labels in (model, data)]
    if not shared:
        raise InputError(f"Model and data share no label: the model knows {names[0]}, the data {names[1]}.")
    if len(shared) < max(len(model), len(data)):
        reporter.warning(
            f"Only {', '.join(label.name for label in shared)} can be scored: the model knows {names[0]}, "
            f"the data {names[1]}."
        )
    return values, LabelSet(tuple(sorted(shared, key=lambda label: label.value)))


def _warn_of_known_cases(model: LoadedModel, cases: Sequence[Case], reporter: Reporter) -> None:
    """Scores on scans that a model learnt from say little about others."""
    learnt = set(model.card.training.case_hashes)
    seen = [case.id for case in cases if files_hash(case.images) in learnt] if learnt else []
    if seen:
        reporter.warning(
            f"The model learnt from {len(seen)} of these {len(cases)} scans (such as {seen[0]}): "
            "their scores say nothing about new ones."
        )


def _shown(value: float | None) -> float | str:
    return "-" if value is None else value
