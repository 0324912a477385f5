"""Is a fine-tuned model better than the one it came from? Asked on scans that neither of them learnt from."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medcontext.data.cache import files_hash
from medcontext.data.case import Case
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.atomic import replacing
from medcontext.labels import LabelSet
from medcontext.metrics.bootstrap import Interval, paired_interval
from medcontext.workflows.comparison import CaseComparison, Side, labels_to_score, only, score_cases
from medcontext.workflows.picture import draw_overlay

Word = Literal["better", "worse", "undecided", "too_few", ""]

LEAST_CASES = 5
"""Fewer held-out cases decide nothing: with four, one case in the wrong direction turns any interval."""

CONFIDENCE = 0.9
NAMED = 4
"""Up to so many labels are named in the sentence; of more, their number."""

VERDICT_FILE, PICTURE_FILE = "verdict.json", "side_by_side.png"


@dataclass(frozen=True)
class Verdict:
    """What held-out cases say about a model and the one it came from.

    Attributes:
        word: "better" or "worse" when at least five cases decide it, else "undecided" or "too_few"; "" where there is
            nothing to compare with.
        sentence: the same for a person, with the numbers.
        labels: names of the labels that were compared.
        cases: one entry for each held-out case.
        interval: of the mean difference child minus parent; None below two cases or without a parent.
        picture: both models on one case beside what a person drew; None without a held-out case.
    """

    word: Word
    sentence: str
    labels: tuple[str, ...] = ()
    cases: list[CaseComparison] = field(default_factory=list)
    interval: Interval | None = None
    picture: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        numbers = {} if self.interval is None else vars(self.interval)
        return {
            "word": self.word,
            "sentence": self.sentence,
            "labels": list(self.labels),
            "cases": len(self.cases),
            "difference": numbers.get("difference"),
            "low": numbers.get("low"),
            "high": numbers.get("high"),
            "confidence": numbers.get("confidence"),
            "by_case": [vars(case) for case in self.cases],
        }


def judge(
    child: Path,
    store: CaseStore,
    *,
    parent: str | Path | None,
    device: str = "auto",
    precision: str = "auto",
    reporter: Reporter | None = None,
) -> Verdict:
    """Compare a model with its parent on the held-out cases of a store, and write down what came out.

    Test cases count as held out. A case whose image either model (or one that it came from) learnt from does not
    count, whatever file it is in. ``training/verdict.json`` and ``training/side_by_side.png`` are written.

    Args:
        child: folder of the new model.
        store: its held-out cases are used.
        parent: library id or folder of the model it came from; None for one trained from scratch.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        reporter: told of progress; cases that cannot be read are warned about.

    Raises:
        InputError: a model cannot be opened.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    names = [child] if parent is None else [child, parent]
    sides = [Side(name, store, device, precision, reporter) for name in names]
    cases, known = held_out_cases(store, frozenset().union(*(side.card.seen for side in sides)))
    labels, compared = labels_to_score(sides)
    title = sides[1].card.title if parent is not None else ""
    sides = sides[: 1 + compared]
    rows = score_cases(store, cases, labels, sides, reporter)
    picture = _draw(child / "training" / PICTURE_FILE, store, _typical(rows), labels, sides) if rows else None
    verdict = conclude(rows, labels, title, compared, ("held-out case", "held-out cases"), picture)
    verdict = replace(verdict, sentence=verdict.sentence + _uncounted(known))
    with replacing(child / "training" / VERDICT_FILE) as temporary:
        temporary.write_text(json.dumps(verdict.to_json(), indent=1) + "\n", encoding="utf-8")
    return verdict


def conclude(
    rows: list[CaseComparison],
    labels: LabelSet,
    parent: str,
    compared: bool,
    kind: tuple[str, str],
    picture: Path | None = None,
) -> Verdict:
    """What the scores of some cases amount to.

    Args:
        rows: the cases.
        labels: what was scored.
        parent: title of the parent; "" where there is none.
        compared: whether the parent knows these labels.
        kind: what the cases are, one and several.
        picture: one of them.
    """
    pairs = [(row.parent, row.child) for row in rows if row.parent is not None and row.child is not None]
    interval = None
    if len(pairs) > 1:
        interval = paired_interval([a for a, _ in pairs], [b for _, b in pairs], confidence=CONFIDENCE)
    word: Word = ""
    if compared:
        word = "too_few" if interval is None or len(pairs) < LEAST_CASES else interval.verdict
    sentence = _sentence(word, rows, interval, parent, labels, kind)
    return Verdict(word, sentence, tuple(label.name for label in labels), rows, interval, picture)


def held_out_cases(store: CaseStore, seen: Collection[str]) -> tuple[list[Case], int]:
    """The labelled cases that no training may use and that are not among ``seen``; and how many are.

    Args:
        store: the data.
        seen: hashes of image files or of voxel values.
    """
    kept = [
        case for case in store.cases if case.label is not None and (case.held_out or case.split == "test")
    ]
    new = [case for case in kept if not was_seen(store, case, seen)]
    return new, len(kept) - len(new)


def was_seen(store: CaseStore, case: Case, seen: Collection[str]) -> bool:
    """Whether the image of a case is among these hashes, by its file or by its voxel values."""
    try:
        if files_hash(case.images) in seen:
            return True
        return bool(seen) and (case.voxels or voxel_hash(store.read_image(case))) in seen
    except InputError:  # a file is missing or broken: reading the case will say so
        return False


def _typical(rows: Sequence[CaseComparison]) -> str:
    """The case with the median difference (or Dice): the best one would flatter, the worst one frighten."""
    ordered = sorted(rows, key=lambda row: ((row.child or 0.0) - (row.parent or 0.0), row.case))
    return ordered[len(ordered) // 2].case


def _draw(path: Path, store: CaseStore, case_id: str, labels: LabelSet, sides: Sequence[Side]) -> Path:
    """What a person drew, the parent's answer and the child's, on one case."""
    image = store.read_image(store.case(case_id))
    reference = store.read_labels(store.case(case_id), like=image.geometry)
    rows = [("by hand", only(reference, labels))]
    rows += [
        (name, only(side.labelmap(image, Reporter()), labels))
        for name, side in zip(("new model", "its parent"), sides, strict=False)
    ]
    draw_overlay(path, image, [rows[0], *reversed(rows[1:])], labels, f"Held-out case {case_id}")
    return path


def _sentence(
    word: Word,
    rows: Sequence[CaseComparison],
    interval: Interval | None,
    parent: str,
    labels: LabelSet,
    kind: tuple[str, str],
) -> str:
    """The verdict for a person, always with its numbers, which are of the same cases for both models."""
    if not rows:
        reason = f"there is no {kind[0]}; hold out at least {LEAST_CASES} to learn whether it is better"
        return f"{'Too few cases to tell' if parent else 'Not scored'}: {reason}."
    names = ", ".join(label.name for label in labels) if len(labels) <= NAMED else f"{len(labels)} labels"
    pairs = [row for row in rows if row.parent is not None]
    if word == "" or not pairs:
        new = ""
        if parent:
            new = f" There is nothing to compare it with: {parent} does not know {names}."
            new = new if word == "" else f" {parent} learnt from {'it' if len(rows) == 1 else 'all of them'}."
        return f"Mean Dice {_mean(rows, 'child')} of {names} on {_count(rows, kind)}.{new}"
    numbers = f"mean Dice {_mean(pairs, 'child')} of {names}, {parent} {_mean(pairs, 'parent')}, "
    numbers += f"on {_count(pairs, kind)}"
    if interval is not None:
        share = f"{100 * interval.confidence:.0f} %"
        limits = f"{interval.low:+.3f} to {interval.high:+.3f}"
        numbers += f"; difference {interval.difference:+.3f}, {share} interval {limits}"
    if len(pairs) < len(rows):
        numbers += f"; {len(rows) - len(pairs)} more without comparison"
    if word == "too_few":
        return f"Too few cases to tell: {numbers}. At least {LEAST_CASES} {kind[1]} are needed."
    if word == "undecided":
        return f"Neither better nor worse as far as these cases can tell: {numbers}."
    return f"{word.capitalize()} than {parent}: {numbers}."


def _count(rows: Sequence[CaseComparison], kind: tuple[str, str]) -> str:
    return f"{len(rows)} {kind[len(rows) != 1]}"


def _uncounted(known: int) -> str:
    if known == 0:
        return ""
    if known == 1:
        return " 1 held-out case does not count: a model learnt from it."
    return f" {known} held-out cases do not count: a model learnt from them."


def _mean(rows: Sequence[CaseComparison], side: Literal["parent", "child"]) -> str:
    known = [value for row in rows if (value := getattr(row, side)) is not None]
    return f"{np.mean(known):.3f}" if known else "-"
