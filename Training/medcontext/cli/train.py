"""``medcontext train`` and ``medcontext finetune``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import Console, session
from medcontext.cli.options import (
    Device,
    Json,
    Precision,
    PrecisionName,
    Seed,
    SizeName,
    Store,
)

if TYPE_CHECKING:
    from medcontext.workflows.request import TrainRequest

FINETUNE_MINUTES = 10.0
BUDGET, DATA, METHOD = "How long", "Data", "Method"


class MethodName(StrEnum):
    """Ways to learn."""

    MEDCONTEXT = "medcontext"
    SUPERVISED = "supervised"


class PresetName(StrEnum):
    """Saved settings of a method."""

    DEFAULT = "default"
    REPO = "repo"


Output = Annotated[Path, typer.Option("--output", "-o", help="Folder of the new model; made if missing.")]
Unlabelled = Annotated[
    Path | None,
    typer.Option(
        help="Folder of scans without labels to learn from as well.", rich_help_panel=DATA, show_default=False
    ),
]
Shots = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Use only so many of the annotated cases, those for validation included.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.05, help="Time to learn for.", rich_help_panel=BUDGET, show_default=False),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1, help="Optimiser steps instead of a time.", rich_help_panel=BUDGET, show_default=False
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as mask.ratio=0.3; repeat it.",
        rich_help_panel=METHOD,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="JSON or YAML file with changes to the preset; --set wins over it.",
        rich_help_panel=METHOD,
        show_default=False,
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        help="Plan made by 'medcontext plan'; otherwise one is made from the data.",
        rich_help_panel=METHOD,
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Run in the background; follow it with 'medcontext jobs'.")
]
Method = Annotated[MethodName, typer.Option(help="How to learn.", rich_help_panel=METHOD)]
Preset = Annotated[
    PresetName,
    typer.Option(help="repo computes what the authors' published code does.", rich_help_panel=METHOD),
]


def train(
    *,
    data: Store,
    output: Output,
    method: Method = MethodName.MEDCONTEXT,
    network: Annotated[
        str | None,
        typer.Option(
            help="dynunet (the default), segresnet, mednext, unetr, swin_unetr or nnformer.",
            rich_help_panel=METHOD,
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        SizeName, typer.Option(help="Size of the network.", rich_help_panel=METHOD)
    ] = SizeName.SMALL,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from this model's weights.",
            rich_help_panel=METHOD,
            show_default=False,
        ),
    ] = None,
    plan: PlanFile = None,
    preset: Preset = PresetName.DEFAULT,
    config: Config = None,
    settings: Settings = None,
    unlabelled: Unlabelled = None,
    shots: Shots = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    resume: Resume = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Learn to segment from annotated scans.

    Without --minutes or --steps the plan made from the data decides how long. Ctrl-C keeps a checkpoint; the
    same command with --resume goes on from it.
    """
    with session(as_json, gentle=True) as console:
        if detach:
            _detach(console, f"Train {output.name}")
            return
        from medcontext.workflows.request import TrainRequest

        _run(
            console,
            TrainRequest(
                data=data,
                output=output,
                method=method.value,
                network=network,
                size=size.value,
                init_from=init_from,
                preset=preset.value,
                plan=plan,
                config=config,
                settings=settings or [],
                unlabelled=unlabelled,
                shots=shots,
                minutes=minutes,
                steps=steps,
                seed=seed,
                device=device,
                precision=precision.value,
                resume=resume,
            ),
        )


def finetune(
    *,
    model: Annotated[
        str,
        typer.Option("--init-from", "-m", metavar="MODEL", help="Model to start from: its id or its folder."),
    ],
    data: Store,
    output: Output,
    method: Method = MethodName.MEDCONTEXT,
    settings: Settings = None,
    unlabelled: Unlabelled = None,
    shots: Shots = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    resume: Resume = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Teach a model from a few annotated scans of your own, for ten minutes unless told otherwise.

    Network and preprocessing are those of the model; structures it does not know yet may be among the labels.
    """
    with session(as_json, gentle=True) as console:
        if detach:
            _detach(console, f"Fine-tune {output.name}")
            return
        from medcontext.workflows.request import TrainRequest

        _run(
            console,
            TrainRequest(
                data=data,
                output=output,
                method=method.value,
                init_from=model,
                settings=settings or [],
                unlabelled=unlabelled,
                shots=shots,
                minutes=FINETUNE_MINUTES if minutes is None and steps is None else minutes,
                steps=steps,
                seed=seed,
                device=device,
                precision=precision.value,
                resume=resume,
            ),
        )


def _run(console: Console, request: TrainRequest) -> None:
    from medcontext.workflows.train import train as run

    trained = run(request, console.reporter, console.control)
    console.say(f"The model is in {trained.folder.absolute()}")
    console.say(f"Use it: medcontext segment IMAGE -m {trained.folder} -o OUT")
    console.result(model=str(trained.folder.absolute()))


def _detach(console: Console, title: str) -> None:
    """Start this very command again as a job of its own."""
    from medcontext import jobs

    arguments = [argument for argument in sys.argv[1:] if argument not in ("--detach", "--json")]
    job = jobs.start(
        [sys.executable, "-m", "medcontext", *arguments, "--json"], jobs.new_folder(title), title
    )
    console.say(f"Started in the background as {job.id}")
    console.say(f"Follow it: medcontext jobs follow {job.id}")
    console.result(job=job.id, folder=str(job.folder))
