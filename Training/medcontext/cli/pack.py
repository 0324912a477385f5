"""``medcontext pack``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Json


class Purpose(StrEnum):
    """What shall be possible on the other computer."""

    SEGMENT = "segment"
    TRAIN = "train"


class System(StrEnum):
    """Operating system of the other computer."""

    LINUX = "linux"
    WINDOWS = "windows"
    MACOS = "macos"


SYSTEMS = {System.LINUX: "linux", System.WINDOWS: "win32", System.MACOS: "darwin"}


def pack(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    *,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="A model to take along, by id or folder; repeat."
        ),
    ] = None,
    purpose: Annotated[Purpose, typer.Option("--for", help="What it shall be enough for.")] = Purpose.SEGMENT,
    python: Annotated[str, typer.Option(metavar="X.Y", help="Python version of the other Slicer.")] = "3.12",
    system: Annotated[
        System | None, typer.Option(help="Operating system of the other computer; this one's if not given.")
    ] = None,
    constraints: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What 'PythonSlicer -m pip freeze' says there: keeps those versions."
        ),
    ] = None,
    extra_index: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A second package index, such as that of PyTorch builds."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Pack what the Slicer module needs for a computer without a network: packages and models in one folder."""
    with session(as_json) as console:
        from medcontext.workflows.pack import PackRequest, make_pack

        request = PackRequest(
            output=output,
            models=models or (),
            purpose=purpose.value,
            python=python,
            system=None if system is None else SYSTEMS[system],  # type: ignore[arg-type]
            constraints=constraints,
            extra_index=extra_index,
        )
        folder = make_pack(request, console.reporter)
        wheels = sorted(path.name for path in (folder / "wheels").iterdir())
        packed = sorted(path.name for path in (folder / "models").iterdir())
        console.say(f"Packed {len(wheels)} packages and {len(packed)} models into {folder.absolute()}")
        console.say("In Slicer: module MedContext Segment, section Advanced, Offline pack.")
        console.result(folder=str(folder.absolute()), wheels=wheels, models=packed)
