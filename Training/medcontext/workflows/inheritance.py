"""What a model takes over from the one that it starts from: which structures, and where each comes from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.errors import InputError
from medcontext.io.atomic import replacing
from medcontext.label_matching import match_labels, plain_name
from medcontext.labels import IGNORE, Label, LabelSet, default_color
from medcontext.workflows.heads import Glance, Row, dice_at_start, row_of_new
from medcontext.workflows.request import Keep

COVERED = 0.5
"""A structure of the parent of which new ones cover more than this share is replaced by them."""
LEAST_SHARE = 0.1
"""What the parent sees in less than this share of a new structure is not worth a word: mostly its border."""


@dataclass(frozen=True)
class Inheritance:
    """Which classes a child has and where they come from.

    Attributes:
        labels: the child's, in the order of its classes: those that are learnt, then those that are kept.
        learnt: for each label that is learnt its class in the data set, background being 0.
        kept: class of the parent to class of the child, of the structures that only the parent teaches.
        rows: for each class of the child, background included, where its rows of the heads come from.
        ready: the lowest Dice, over what is learnt, that the child has in the cases before it learns; 0 where all
            starts anew.
        told: the same for a person.
    """

    labels: LabelSet
    learnt: tuple[int, ...]
    kept: Mapping[int, int]
    rows: tuple[Row, ...]
    ready: float = 0.0
    told: str = ""

    def write(self, path: Path, parent: str) -> None:
        """Write as JSON, for a run that goes on and for other processes; ``parent`` is the hash of its weights."""
        data: dict[str, Any] = {"parent": parent, "labels": self.labels.to_json(), "learnt": self.learnt}
        data |= {"kept": list(self.kept.items()), "rows": [row.to_json() for row in self.rows]}
        data |= {"ready": self.ready, "told": self.told}
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path, parent: str) -> Inheritance:
        """What :meth:`write` wrote.

        Raises:
            InputError: the file is missing or broken, or the parent was another one.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if data["parent"] != parent:
                raise InputError(
                    "The model that this run began from was exchanged for another one.",
                    "Put it back, or start anew in another folder.",
                )
            kept = {int(parent): int(child) for parent, child in data["kept"]}
            rows = tuple(Row.from_json(row) for row in data["rows"])
            labels = LabelSet.from_json(data["labels"])
            return cls(labels, tuple(data["learnt"]), kept, rows, float(data["ready"]), data["told"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is missing or broken.", "Start anew in another folder.") from error


def from_scratch(labels: LabelSet, learnt: Sequence[int]) -> Inheritance:
    """Of a model without a parent, or of one whose parent knows no structures."""
    chosen = tuple(label for place, label in enumerate(labels, start=1) if place in learnt)
    return Inheritance(LabelSet(chosen), tuple(learnt), {}, (Row(),) * (len(chosen) + 1))


def decide(
    labels: LabelSet,
    learnt: Sequence[int],
    parent: LabelSet,
    keep: Keep,
    glance: Glance,
    title: str = "the parent",
) -> Inheritance:
    """Decide where each class of the child comes from.

    Args:
        labels: of the data set.
        learnt: its classes (places in ``labels`` counted from 1) that are learnt.
        parent: labels of the parent, in the order of its classes.
        keep: which of the parent's other structures stay.
        glance: of the parent at the cases.
        title: of the parent.
    """
    wanted = [labels.labels[place - 1] for place in learnt]
    place_of = {label.value: place for place, label in enumerate(parent, start=1)}
    matches = match_labels(wanted, list(parent))
    known = [None if match.target is None else place_of[match.target.value] for match in matches]
    others = [place for place in place_of.values() if place not in known]
    covered = {place: glance.covered(place) for place in others}
    replaced = [place for place in others if keep == "auto" and covered[place] > COVERED]
    kept = [place for place in others if keep != "none" and place not in replaced]
    stay = [0, *(place for place in known if place is not None), *kept]
    rows = [
        row_of_new(glance, index, stay) if place is None else Row.of(place)
        for index, place in enumerate(known, start=1)
    ]
    ready = _ready(glance, rows, known, stay)
    names = ["background", *(label.name for label in parent)]
    gone = [place for place in others if place not in (*kept, *replaced)]
    told = [
        f"The network of '{title}' is taken over.",
        *_said_of_learnt([label.name for label in wanted], known, glance.seen[1:], names),
        *(f"{names[p]} is replaced: {covered[p]:.0%} of it is painted as something else." for p in replaced),
        *_said_of_kept(names, kept, gone, glance.seen),
    ]
    if ready > 0:
        told.append(f"Before it learns it has a Dice of {ready:.2f} or more in these cases.")
    return Inheritance(
        LabelSet((*wanted, *_named_apart(wanted, [parent.labels[place - 1] for place in kept], labels))),
        tuple(learnt),
        {place: len(wanted) + number for number, place in enumerate(kept, start=1)},
        (Row.of(0), *rows, *(Row.of(place) for place in kept)),
        ready,
        " ".join(told),
    )


def _ready(glance: Glance, rows: Sequence[Row], known: Sequence[int | None], stay: Sequence[int]) -> float:
    """The lowest Dice at the start, of what is learnt; 0 where something starts anew."""
    if not all(row.weights for row in rows):
        return 0.0
    starts = [
        dice_at_start(glance, index, row, [other for other in stay if other != place])
        for index, (row, place) in enumerate(zip(rows, known, strict=True), start=1)
    ]
    return min((dice for dice in starts if dice is not None), default=0.0)


def _named_apart(wanted: Sequence[Label], kept: Sequence[Label], labels: LabelSet) -> list[Label]:
    """Labels that are kept, with values, names and colours that clash with nothing.

    One that the data set has too, though it is not learnt, is called as it is there.
    """
    values = {label.value for label in labels}
    names = {plain_name(label.name) for label in wanted}
    colors = {label.color for label in wanted}
    result = []
    for match in match_labels(list(kept), [label for label in labels if label not in wanted]):
        label = match.target or match.source
        value = label.value if match.target is not None else _free(label.value, values)
        name, number = label.name, 1
        while plain_name(name) in names:
            number += 1
            name = f"{label.name.strip()} {number}"
        tries = (label.color, *(default_color(n) for n in range(value, value + IGNORE)))
        color = next((color for color in tries if color not in colors), label.color)
        result.append(Label(value, name, color, label.terminology))
        values.add(value)
        names.add(plain_name(name))
        colors.add(color)
    return result


def _free(value: int, taken: Collection[int]) -> int:
    """The value, or the lowest one that is free.

    Raises:
        InputError: none is left.
    """
    for candidate in (value, *range(1, IGNORE)):
        if candidate not in taken:
            return candidate
    raise InputError(
        f"Together the labels are more than {IGNORE - 1}.", "Leave some out with --labels or --keep none."
    )


def _said_of_learnt(
    learnt: Sequence[str], known: Sequence[int | None], seen: np.ndarray, names: Sequence[str]
) -> list[str]:
    """Where each label that is learnt comes from, in words."""
    told = []
    old = [name for name, place in zip(learnt, known, strict=True) if place is not None]
    if old:
        told.append(f"It knows {', '.join(old)} already.")
    for name, place, counts in zip(learnt, known, seen, strict=True):
        if place is not None:
            continue
        shares = counts / max(1, counts.sum())
        parts = [f"{names[p]} ({share:.0%})" for p, share in enumerate(shares) if share >= LEAST_SHARE]
        told.append(
            f"{name} is new and starts from {' and '.join(parts)}." if parts else f"{name} starts anew."
        )
    return told


def _said_of_kept(
    names: Sequence[str], kept: Sequence[int], gone: Sequence[int], seen: np.ndarray
) -> list[str]:
    """What is kept and what is given up, in words."""
    told = []
    if kept:
        told.append(f"Kept as the parent sees it: {', '.join(names[place] for place in kept)}.")
    if gone:
        told.append(f"Given up: {', '.join(names[place] for place in gone)}.")
    if fading := ", ".join(names[place] for place in kept if not seen[:, place].sum()):
        told.append(
            f"The parent sees no {fading} in these cases: nothing reminds the model of it as it learns."
        )
    return told
