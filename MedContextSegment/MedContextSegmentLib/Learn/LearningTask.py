"""What a job's command says that it learns, and what came out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.cards import CardSummary, read_summary
from medcontext.events import Event
from MedContextSegmentLib.Learn.FineTuneCommand import FINETUNE, TRAIN, argumentsOf, optionOf
from MedContextSegmentLib.Run.Models import modelKey

KINDS = (FINETUNE, TRAIN)
"""Commands that learn."""

WORSE = "worse"
"""The word of a verdict on a model that is not selected by itself."""


@dataclass(frozen=True)
class Task:
    """What a job's command says that it does.

    Attributes:
        kind: the command: "finetune" or "train".
        arguments: what follows ``medcontext``.
        store: folder of the cases.
        output: folder of the new model.
        parent: the model it starts from; "" from scratch.
    """

    kind: str = ""
    arguments: tuple[str, ...] = ()
    store: Path = Path()
    output: Path = Path()
    parent: str = ""


@dataclass(frozen=True)
class LearningResult:
    """What a training that ended well leaves behind.

    Attributes:
        card: the new model.
        parent: id of the model it was compared with, ""; a person can go back to it.
        word: "better", "worse", "undecided", "too_few" or "".
        sentence: the same in words, with the numbers.
        picture: both models on one case, or None.
    """

    card: CardSummary
    parent: str
    word: str
    sentence: str
    picture: Path | None

    @property
    def key(self) -> str:
        """``id@version`` of the new model."""
        return modelKey(self.card)


def taskOf(record: Mapping[str, Any]) -> Task | None:
    """What a job does, given what ``job.json`` holds; None where it does not learn."""
    command = record.get("command")
    arguments = argumentsOf(command) if isinstance(command, list) else []
    if not arguments or arguments[0] not in KINDS:
        return None
    at = Path(str(record.get("working_folder", "")))
    store, output = optionOf(arguments, "--data"), optionOf(arguments, "-o", "--output")
    parent = optionOf(arguments, "-m", "--init-from")
    return Task(arguments[0], tuple(arguments), at / store, at / output, parent)


def resultOf(event: Event, task: Task) -> LearningResult:
    """What the ``result`` event that ends a training says."""
    verdict, parent = _object(event.get("verdict")), _object(event.get("parent"))
    picture = Path(str(event["picture"])) if event.get("picture") else None
    return LearningResult(
        card=read_summary(Path(str(event.get("model") or task.output))),
        parent=str(parent.get("id") or ""),
        word=str(verdict.get("word") or ""),
        sentence=str(verdict.get("sentence") or ""),
        picture=picture if picture is not None and picture.is_file() else None,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
