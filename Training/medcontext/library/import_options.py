"""What a person may say about a model of another program while it comes in."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medcontext.config import read_data
from medcontext.errors import InputError
from medcontext.labels import Label, LabelSet
from medcontext.library.anatomy import propose_labels

STORED = "stored"
"""Orientation of images that are taken as they lie in their file."""

_CODES = {
    "".join(letters)
    for pairs in itertools.permutations(("LR", "AP", "IS"))
    for letters in itertools.product(*pairs)
}


@dataclass(frozen=True)
class ImportOptions:
    """Choices; what is None or empty the source decides.

    Attributes:
        configuration: of an nnU-Net, such as ``3d_fullres``.
        folds: of an nnU-Net, such as ``("0", "1")`` or ``("all",)``; every one that is there when empty.
        checkpoint: of an nnU-Net: the weights of the last step, or those that did best on its validation cases.
        orientation: code of ``(i, j, k)`` that the training images had, such as ``RAS``, or ``stored``.
        labels: names, colours and codes for label values that the model has; values that are not listed keep theirs.

    Raises:
        InputError: the orientation is none.
    """

    configuration: str | None = None
    folds: tuple[str, ...] = ()
    checkpoint: Literal["final", "best"] = "final"
    orientation: str | None = None
    labels: LabelSet | None = None

    def __post_init__(self) -> None:
        if self.orientation not in (None, STORED) and self.orientation not in _CODES:
            raise InputError(
                f"'{self.orientation}' is no orientation.",
                f"Give three letters such as RAS or LPS, or {STORED}.",
            )

    def refuse(self, *names: str, source: str) -> None:
        """Refuse choices that a source does not leave.

        Args:
            names: of attributes.
            source: what was found, as the subject of the sentence.

        Raises:
            InputError: one of them was chosen.
        """
        plain = ImportOptions()
        given = [name for name in names if getattr(self, name) != getattr(plain, name)]
        if given:
            raise InputError(f"{source} leaves no choice of {', '.join(given)}.", "Import it without that.")


def parse_folds(text: str) -> tuple[str, ...]:
    """``"0,1"`` or ``"all"`` as folds, each once and in order of writing.

    Raises:
        InputError: it is neither.
    """
    folds = [part.strip().removeprefix("fold_") for part in text.split(",") if part.strip()]
    if not folds or not all(re.fullmatch(r"\d{1,3}|all", fold) for fold in folds):
        raise InputError(f"'{text}' names no folds.", "Example: --folds 0,1,2 or --folds all")
    return tuple(dict.fromkeys(folds))


def labels_of(data: Sequence[Any], source: str) -> LabelSet:
    """Labels from a JSON list of ``{value, name, color, terminology}``.

    Colour and codes that are left out are proposed by the name; codes of ``null`` stay none.

    Raises:
        InputError: it is no such list.
    """
    try:
        labels = LabelSet.from_json(data)
        problem = next((f"the colour of {label.name}" for label in labels if not _is_color(label.color)), "")
        proposed = zip(data, labels, propose_labels(labels), strict=True)
        labels = LabelSet(tuple(_filled(entry, said, known) for entry, said, known in proposed))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"{type(error).__name__} {error}"
    if problem:
        raise InputError(
            f"{source} is no list of labels: {problem}.",
            'Write it as [{"value": 1, "name": "liver", "color": [200, 90, 80]}, ...].',
        )
    return labels


def _filled(entry: Mapping[str, Any], said: Label, known: Label) -> Label:
    """A label, with what the entry is silent about as it is proposed."""
    color = said.color if entry.get("color") else known.color
    return replace(
        said, color=color, terminology=said.terminology if "terminology" in entry else known.terminology
    )


def _is_color(parts: tuple[Any, ...]) -> bool:
    return len(parts) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in parts)


def read_labels(path: Path) -> LabelSet:
    """Labels from a JSON or YAML file, see :func:`labels_of`; ``{"labels": [...]}`` is taken too.

    Raises:
        InputError: the file cannot be read or is no such list.
    """
    data = read_data(path)
    data = data.get("labels") if isinstance(data, dict) else data
    if not isinstance(data, list):
        raise InputError(f"{path} holds no list of labels.")
    return labels_of(data, str(path))
