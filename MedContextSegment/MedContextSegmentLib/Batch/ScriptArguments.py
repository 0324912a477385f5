"""The arguments of the script ``MedContextBatch.py``: those of the engine, and which of them scenes depend on."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Batch.CaseReading import LABELMAPS

SCENES = "--scenes"
HELP = {"-h", "--help"}


@dataclass(frozen=True)
class ScriptArguments:
    """What was asked for.

    Attributes:
        engine: the arguments of ``medcontext batch``.
        scenes: whether finished cases become scenes.
        output: the output folder, absolute; the current folder where none was given, which the engine refuses.
        shard: number and count of the part of the cases to do; None for all.
        overwrite: whether files that no batch made may be replaced.
        help: whether the options are to be listed instead.
    """

    engine: list[str]
    scenes: bool = False
    output: Path = Path()
    shard: tuple[int, int] | None = None
    overwrite: bool = False
    help: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(_("The arguments cannot be used: {problem}.").format(problem=message))


def parseArguments(arguments: list[str]) -> ScriptArguments:
    """What the arguments ask for; what only the engine knows is left to the engine.

    Raises:
        InputError: there are none, an option lacks its value, or a scene could not be made of what they ask for.
    """
    if not arguments:
        raise InputError(
            _("No scans were given."),
            _("For example: SCANS -m hippocampus -o RESULTS --scenes; -h lists all options."),
        )
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument(SCENES, action="store_true")
    parser.add_argument("--output", "-o", default="")
    parser.add_argument("--format", action="append", default=[])
    parser.add_argument("--shard", default="")
    parser.add_argument("--overwrite", action="store_true")
    known, _others = parser.parse_known_args(arguments)
    if known.scenes and known.format and not set(known.format) & set(LABELMAPS):
        raise InputError(
            _("Scenes are made of a label map, and only {formats} is wanted.").format(
                formats=", ".join(known.format)
            ),
            _("Add --format {name}.").format(name=LABELMAPS[0]),
        )
    engine = [argument for argument in arguments if argument != SCENES]
    return ScriptArguments(
        engine,
        known.scenes,
        Path(known.output).absolute(),  # MRML makes bundles in absolute folders only
        _shard(known),
        known.overwrite,
        help=bool(HELP & set(arguments)),
    )


def _shard(known: Any) -> tuple[int, int] | None:
    number, _slash, count = known.shard.partition("/")
    return (int(number), int(count)) if number.isdecimal() and count.isdecimal() else None
