"""The command that a fine-tuning is: what Slicer starts, and what a person can type instead."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from medcontext.cards import list_cards, user_models

PROGRAM = "medcontext"
FINETUNE, TRAIN = "finetune", "train"
AUTO, NONE = "auto", "none"

ID_LENGTH = 56
"""Ids have 64 characters at most; a number that tells them apart needs some."""


@dataclass(frozen=True)
class FineTuneRequest:
    """What to learn, from what, for how long.

    Attributes:
        store: folder of the cases.
        output: folder of the model that is made.
        parent: ``id@version`` of the model to start from; from scratch when "".
        network: name of the network, from scratch.
        size: "small", "medium" or "large", from scratch.
        minutes: time to learn for; until somebody stops it when None.
        labels: names of the labels to learn; all of the store when empty.
        keep: "auto" or "none": whether labels of the parent that the store does not have are kept.
        leaveOneOut: whether the training is repeated without each case, to score it.
        device: where to compute.
        precision: number format of the network's arithmetic.
    """

    store: Path
    output: Path
    parent: str = ""
    network: str = "dynunet"
    size: str = "small"
    minutes: float | None = 15.0
    labels: tuple[str, ...] = ()
    keep: str = AUTO
    leaveOneOut: bool = False
    device: str = AUTO
    precision: str = AUTO

    def arguments(self) -> list[str]:
        """The arguments after ``medcontext``, without ``--json``."""
        arguments = [FINETUNE if self.parent else TRAIN, "--data", str(self.store)]
        if self.parent:
            arguments += ["-m", self.parent]
        else:
            arguments += ["--network", self.network, "--size", self.size]
        arguments += ["-o", str(self.output)]
        arguments += ["--until-stopped"] if self.minutes is None else ["--minutes", f"{self.minutes:g}"]
        for name in self.labels:
            arguments += ["--labels", name]
        if self.parent and self.keep != AUTO:
            arguments += ["--keep", self.keep]
        if self.leaveOneOut:
            arguments.append("--leave-one-out")
        for option, value in (("--device", self.device), ("--precision", self.precision)):
            if value != AUTO:
                arguments += [option, value]
        return arguments

    def command(self, python: str) -> list[str]:
        """The program and all its arguments.

        Args:
            python: the Python that has the package.
        """
        return [python, "-m", PROGRAM, *self.arguments(), "--json"]


def terminalText(arguments: Sequence[str], platform: str = sys.platform) -> str:
    """What to type at a terminal of this computer for the same.

    Args:
        arguments: those after ``medcontext``; ``--json``, which makes it talk to programs, is left out.
        platform: as ``sys.platform``.
    """
    words = [PROGRAM, *(argument for argument in arguments if argument != "--json")]
    return subprocess.list2cmdline(words) if platform == "win32" else shlex.join(words)


def argumentsOf(command: Sequence[str]) -> list[str]:
    """The arguments after ``medcontext`` of a command that runs it; empty for another command."""
    words = [str(word) for word in command]
    if PROGRAM in words[1:] and words[words.index(PROGRAM, 1) - 1] == "-m":
        return words[words.index(PROGRAM, 1) + 1 :]
    if words and Path(words[0].replace("\\", "/")).stem == PROGRAM:
        return words[1:]
    return []


def optionOf(arguments: Sequence[str], *names: str) -> str:
    """The value of an option given as ``--name value`` or ``--name=value``; "" where it is not given."""
    for index, argument in enumerate(arguments):
        if argument in names and index + 1 < len(arguments):
            return arguments[index + 1]
        name, separator, value = argument.partition("=")
        if separator and name in names:
            return value
    return ""


def newModelId(name: str, taken: Collection[str] | None = None) -> str:
    """An id for a new model that neither a model nor an unfinished training has.

    Args:
        name: what it is made from, such as the store's name.
        taken: ids that are not free; those of the library when None.
    """
    stem = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._")[:ID_LENGTH].strip("-._") or "model"
    known = {card.id for card in list_cards()} if taken is None else set(taken)
    number, found = 1, stem
    while found in known or (user_models() / found).exists():
        number += 1
        found = f"{stem}-{number}"
    return found
