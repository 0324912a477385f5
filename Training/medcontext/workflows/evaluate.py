"""Scoring a model, or labelmaps that are there already, against the labels of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.data.cache import files_hash
from medcontext.data.case import Case
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import read_labelmap
from medcontext.io.atomic import check_folder
from medcontext.labels import LabelSet
from medcontext.library import check_segments, read_card
from medcontext.metrics import LabelScore, summarise, write_scores
from medcontext.workflows.comparison import score_annotated, values_between

ENDINGS = (".nii.gz", ".seg.nrrd", ".nrrd", ".mha", ".nii")
"""How a labelmap's name may end, the one taken first where there are several."""

Compare = Callable[[Case], tuple[Volume, Volume]]
"""Gives the prediction and the reference of a case, on one grid."""


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
        given = (
            "Neither a model nor a folder of labelmaps was" if model is None else "A model and labelmaps were"
        )
        raise InputError(f"{given} given.", "Give either a model (-m MODEL) or a folder of labelmaps.")
    if output is not None:
        check_folder(output)
    store = CaseStore.open(data)
    cases = choose_cases(store, split)
    if predictions is not None:
        cases = _with_labelmap(Path(predictions), cases, reporter)
        compare, labels = _reader(store, Path(predictions)), store.labels
    else:
        compare, labels = _runner(str(model), store, cases, device, precision, reporter)
    scores: list[LabelScore] = []
    failed: dict[str, MedContextError] = {}
    for index, case in enumerate(cases):
        reporter.check_cancelled()
        reporter.progress("evaluate", index / len(cases))
        try:
            scores += score_annotated(case, *compare(case), labels, tolerance_mm)
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


def _with_labelmap(folder: Path, cases: Sequence[Case], reporter: Reporter) -> list[Case]:
    """The cases that have a labelmap; how many have none is said, since scores of a part may flatter.

    Raises:
        InputError: there is no such folder or it holds none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Name the folder that holds the labelmaps.")
    found = [case for case in cases if _labelmap_of(folder, case)]
    missing = [case.id for case in cases if not _labelmap_of(folder, case)]
    if not found:
        hint = f"They are named after the cases, such as {missing[0]}.nii.gz."
        raise InputError(f"{folder} holds no labelmap of the {len(cases)} cases to score.", hint)
    if missing:
        reporter.warning(
            f"{folder} holds no labelmap of {some(missing)}; only {len(found)} cases are scored."
        )
    return found


def _labelmap_of(folder: Path, case: Case) -> Path | None:
    paths = (folder / f"{case.id}{ending}" for ending in ENDINGS)
    return next((path for path in paths if path.exists()), None)


def _reader(store: CaseStore, folder: Path) -> Compare:
    """Read labelmaps that are there."""

    def compare(case: Case) -> tuple[Volume, Volume]:
        reference = store.read_labels(case)
        path = _labelmap_of(folder, case)
        if path is None:
            raise InputError(
                f"The labelmap of {case.id} has gone from {folder}.", "Put it back and score once more."
            )
        return read_labelmap(path, like=reference.geometry), reference

    return compare


def _runner(
    model: str, store: CaseStore, cases: Sequence[Case], device: str, precision: str, reporter: Reporter
) -> tuple[Compare, LabelSet]:
    """Run a model; its labels take the values that the data set gives to the same names."""
    card = read_card(resolve(model))
    check_segments(card)
    values, labels = _common_labels(card.label_set, store.labels, reporter)
    # Only now: a wrong path should not cost the seconds that torch takes to load.
    from medcontext.workflows.predictor import make_predictor

    predictor, _ = make_predictor(model, device, precision, reporter)
    _warn_of_known_cases(card, cases, reporter)

    def compare(case: Case) -> tuple[Volume, Volume]:
        image = store.read_image(case)
        reference = store.read_labels(case, like=image.geometry)
        found = predictor.predict(image, reporter=reporter).labelmap
        return Volume(values[found.array], found.geometry), reference

    return compare, labels


def _common_labels(model: LabelSet, data: LabelSet, reporter: Reporter) -> tuple[np.ndarray, LabelSet]:
    """A table from model values to data values, and the labels that both know.

    Raises:
        InputError: no name is in both.
    """
    values, shared = values_between(model, data)
    names = [", ".join(label.name for label in labels) for labels in (model, data)]
    if not shared:
        raise InputError(
            f"Model and data share no label: the model knows {names[0]}, the data {names[1]}.",
            "Choose another model, or call the same structure by the same name in dataset.json.",
        )
    if len(shared) < max(len(model), len(data)):
        reporter.warning(
            f"Only {', '.join(label.name for label in shared)} can be scored: the model knows {names[0]}, "
            f"the data {names[1]}."
        )
    return values, shared


def _warn_of_known_cases(card: ModelCard, cases: Sequence[Case], reporter: Reporter) -> None:
    """Scores on scans that a model learnt from say little about others."""
    learnt = card.seen
    seen = [
        case.id for case in cases if learnt and (case.voxels in learnt or files_hash(case.images) in learnt)
    ]
    if seen:
        reporter.warning(
            f"It learnt from {some(seen)} of these {len(cases)}: their scores say little about new ones."
        )


def some(names: Sequence[str]) -> str:
    """``3 cases (a, b, c)``, with at most three names."""
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} case{'s' if len(names) > 1 else ''} ({listed})"


def _shown(value: float | None) -> float | str:
    return "-" if value is None else value
