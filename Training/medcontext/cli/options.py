"""Options that several commands share, worded once."""

from __future__ import annotations

import re
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
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def checked_device(name: str) -> str:
    """The name of a device, as far as it can be one.

    Raises:
        InputError: it cannot.
    """
    if not DEVICES.fullmatch(name):
        raise InputError(f"--device takes auto, cpu, mps, cuda or cuda:NUMBER, not '{name}'.", "Try auto.")
    return name


def checked_network(name: str | None) -> str | None:
    """The name of a registered network, or None.

    Raises:
        InputError: there is no such network; the hint names the closest one.
    """
    from medcontext.networks.registry import check_name

    if name is not None:
        check_name(name)
    return name


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
        callback=checked_device,
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
Seed = Annotated[int, typer.Option(min=0, help="Start of all random draws; the same seed repeats a run.")]


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
