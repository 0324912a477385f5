"""Commands of the package: what Slicer starts as a job, and what a person can type instead."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from medcontext.cards import list_cards, user_models

PROGRAM = "medcontext"
AUTO = "auto"

ID_LENGTH = 56
"""Ids have 64 characters at most; a number that tells them apart needs some."""


def commandOf(python: str, arguments: Sequence[str]) -> list[str]:
    """The program and all its arguments, for a program that reads what it says.

    Args:
        python: the Python that has the package.
        arguments: those after ``medcontext``.
    """
    return [python, "-m", PROGRAM, *arguments, "--json"]


def timeArguments(minutes: float | None) -> list[str]:
    """How long to learn, as arguments; until somebody stops it when None."""
    return ["--until-stopped"] if minutes is None else ["--minutes", f"{minutes:g}"]


def deviceArguments(device: str, precision: str) -> list[str]:
    """Where to compute and in which format of numbers, as arguments; nothing for what the command chooses itself."""
    given = (("--device", device), ("--precision", precision))
    return [word for option, value in given if value != AUTO for word in (option, value)]


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
    """The first value of an option; "" where it is not given."""
    return next(iter(valuesOf(arguments, *names)), "")


def valuesOf(arguments: Sequence[str], *names: str) -> list[str]:
    """The values of an option that may be given several times, as ``--name value`` or ``--name=value``."""
    values = []
    for index, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if argument in names and index + 1 < len(arguments):
            values.append(arguments[index + 1])
        elif separator and name in names:
            values.append(value)
    return values


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
