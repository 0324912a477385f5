"""What a job's command says that it learns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MedContextSegmentLib.Learn.Command import argumentsOf, optionOf, valuesOf


@dataclass(frozen=True)
class Task:
    """What a job's command says that it does.

    Attributes:
        kind: the command, such as "finetune".
        arguments: what follows ``medcontext``.
        data: case stores and folders that are learnt from.
        output: folder of what is made.
    """

    kind: str = ""
    arguments: tuple[str, ...] = ()
    data: tuple[Path, ...] = ()
    output: Path = Path()


def taskOf(record: Mapping[str, Any], kinds: Collection[str]) -> Task | None:
    """What a job does, given what ``job.json`` holds; None where its command is none of ``kinds``."""
    command = record.get("command")
    arguments = argumentsOf(command) if isinstance(command, list) else []
    if not arguments or arguments[0] not in kinds:
        return None
    at = Path(str(record.get("working_folder", "")))
    data = tuple(at / place for place in valuesOf(arguments, "--data"))
    return Task(arguments[0], tuple(arguments), data, at / optionOf(arguments, "-o", "--output"))
