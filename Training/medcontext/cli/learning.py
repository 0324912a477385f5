"""The options that ``medcontext train`` and ``medcontext finetune`` share, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from medcontext.cli.options import (
    Device,
    Json,
    Precision,
    PrecisionName,
    Seed,
    SizeName,
    Store,
    checked_network,
)

if TYPE_CHECKING:
    from medcontext.workflows.request import TrainRequest

BUDGET, DATA, LABELS, METHOD = "How long", "Data", "Structures", "Method"


class MethodName(StrEnum):
    """Ways to learn."""

    MEDCONTEXT = "medcontext"
    SUPERVISED = "supervised"


class PresetName(StrEnum):
    """Saved settings of a method."""

    DEFAULT = "default"
    REPO = "repo"


class KeepName(StrEnum):
    """What becomes of the structures of the model to start from that are not learnt."""

    AUTO = "auto"
    ALL = "all"
    NONE = "none"


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
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="CASE", help="Leave out this case; repeat it.", rich_help_panel=DATA),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="NAME",
        help="Learn only this structure of the data; repeat it.",
        rich_help_panel=LABELS,
    ),
]
Keep = Annotated[
    KeepName,
    typer.Option(
        help="Structures of the model to start from that are not learnt: auto keeps those that the new ones do not "
        "mostly cover.",
        rich_help_panel=LABELS,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.05,
        help="Time to learn for; preparing scans before and judging afterwards come on top.",
        rich_help_panel=BUDGET,
        show_default=False,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1, help="Optimiser steps instead of a time.", rich_help_panel=BUDGET, show_default=False
    ),
]
UntilStopped = Annotated[
    bool,
    typer.Option(
        "--until-stopped",
        help="Learn until stopped, by Ctrl-C or 'medcontext jobs stop'; what is best then is kept.",
        rich_help_panel=BUDGET,
    ),
]
LeaveOneOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-out",
        help="Then learn once more for each annotated case without it, to see how good the model is.",
        rich_help_panel=BUDGET,
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
Method = Annotated[MethodName, typer.Option(help="How to learn.", rich_help_panel=METHOD)]
Preset = Annotated[
    PresetName,
    typer.Option(help="repo computes what the authors' published code does.", rich_help_panel=METHOD),
]
Network = Annotated[
    str | None,
    typer.Option(
        callback=checked_network,
        help="dynunet (the default), segresnet, mednext, unetr, swin_unetr, nnformer or nnunet.",
        rich_help_panel=METHOD,
        show_default=False,
    ),
]
Size = Annotated[
    SizeName | None,
    typer.Option(help="Size of the network: small by default.", rich_help_panel=METHOD, show_default=False),
]
Title = Annotated[str, typer.Option(help="Title of the model in lists.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Run in the background; follow it with 'medcontext jobs'.")
]


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What both commands take."""

    data: Store
    output: Output
    title: Title = ""
    unlabelled: Unlabelled = None
    shots: Shots = None
    exclude: Exclude = None
    labels: Labels = None
    keep: Keep = KeepName.AUTO
    minutes: Minutes = None
    steps: Steps = None
    until_stopped: UntilStopped = False
    leave_one_out: LeaveOneOut = False
    method: Method = MethodName.MEDCONTEXT
    preset: Preset = PresetName.DEFAULT
    config: Config = None
    plan: PlanFile = None
    settings: Settings = None
    seed: Seed = 0
    device: Device = "auto"
    precision: Precision = PrecisionName.AUTO
    resume: Resume = False
    detach: Detach = False
    as_json: Json = False

    def request(self, **more: Any) -> TrainRequest:
        """What to train; ``more`` adds to these options or wins over them."""
        from medcontext.workflows.request import TrainRequest

        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("detach", "as_json"):
            del given[name]
        given |= {name: getattr(self, name).value for name in ("keep", "method", "preset", "precision")}
        given |= {name: given[name] or [] for name in ("exclude", "labels", "settings")}
        return TrainRequest(**(given | more))


def with_learning_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose argument ``options`` is made of the options of :class:`LearningOptions`, beside its own."""
    own = inspect.signature(command, eval_str=True).parameters
    hints = get_type_hints(LearningOptions, include_extras=True)
    shared = inspect.signature(LearningOptions).parameters

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = LearningOptions(**{name: given.pop(name) for name in shared})
        command(options=options, **given)

    parameters = [parameter for name, parameter in own.items() if name != "options"]
    parameters += [parameter.replace(annotation=hints[name]) for name, parameter in shared.items()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
