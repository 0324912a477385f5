"""Options that several commands share, worded once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medcontext.errors import InputError


class PrecisionName(StrEnum):
    """Number format of the network's arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class SizeName(StrEnum):
    """How large a network is."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


COMPUTING = "Computing"

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="MODEL", help="Its id (see 'medcontext model list') or its folder."
    ),
]
Store = Annotated[
    Path, typer.Option("--data", help="Data set: a folder with dataset.json, as the Decathlon has it.")
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto (graphics card where one works, else the processor), cuda, cuda:1, mps or cpu.",
        rich_help_panel=COMPUTING,
    ),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        help="Number format; auto takes the fastest that is exact enough.", rich_help_panel=COMPUTING
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs: one JSON event a line on standard output.")]
Seed = Annotated[int, typer.Option(help="Start of all random draws; the same seed repeats a run.")]


def assignments(values: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` options as a dictionary, in the order given.

    Raises:
        InputError: one has no ``=`` or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in values:
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise InputError(f"{option} takes NAME=VALUE, not '{text}'.")
        if name in found:
            raise InputError(f"{option} names '{name}' twice.")
        found[name] = value
    return found
