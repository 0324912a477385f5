"""``medcontext pretrain``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import Console, session
from medcontext.cli.learning import (
    DATA,
    METHOD,
    Config,
    Detach,
    Minutes,
    Network,
    Output,
    Resume,
    Settings,
    Size,
    Steps,
    Title,
    UntilStopped,
)
from medcontext.cli.learning_run import detach, listener
from medcontext.cli.options import Device, Json, Precision, PrecisionName, Seed

if TYPE_CHECKING:
    from medcontext.workflows.pretrain_request import PretrainRequest, PretrainResult


class PretrainingName(StrEnum):
    """Ways to learn from scans alone."""

    VOCO = "voco"
    MAE = "mae"


class PresetName(StrEnum):
    """Saved settings of a method; ``teacher`` is another word for the default of voco."""

    DEFAULT = "default"
    TEACHER = "teacher"
    REPO = "repo"
    PAPER = "paper"
    V2 = "v2"


def pretrain(
    *,
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR|STORE",
            help="Folder of scans, or a data set, of which every scan but those kept for scoring is learnt from; "
            "repeat it.",
        ),
    ],
    output: Output,
    title: Title = "",
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="SCAN", help="Leave out this scan; repeat it.", rich_help_panel=DATA),
    ] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    until_stopped: UntilStopped = False,
    method: Annotated[
        PretrainingName,
        typer.Option(
            help="voco: where in the scan does a piece lie? mae: what is hidden here?", rich_help_panel=METHOD
        ),
    ] = PretrainingName.VOCO,
    network: Network = None,
    size: Size = None,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="PLAN|MODEL",
            help="Network and spacing of this plan, made by 'medcontext plan', or of this model; otherwise a "
            "plan is made from the scans.",
            rich_help_panel=METHOD,
            show_default=False,
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODER",
            help="Go on from this encoder.",
            rich_help_panel=METHOD,
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        PresetName,
        typer.Option(
            help="Of voco: default or teacher (the same), repo and v2 (what the authors' two programs compute), "
            "paper (what their article says).",
            rich_help_panel=METHOD,
        ),
    ] = PresetName.DEFAULT,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    resume: Resume = False,
    in_background: Detach = False,
    as_json: Json = False,
) -> None:
    """Learn from scans that nobody annotated: an encoder to start a training from.

    'medcontext train --init-from ENCODER' starts from what comes out. Whether that helps depends on the data: compare
    it with a training from nothing. Ctrl-C keeps a checkpoint; the same command with --resume goes on from it.
    """
    with session(as_json, gentle=True) as console:
        from medcontext.workflows.pretrain_request import PretrainRequest

        request = PretrainRequest(
            data=tuple(data),
            output=output,
            method=method.value,
            network=network,
            size=None if size is None else size.value,
            preset=preset.value,
            config=config,
            plan=plan_file,
            settings=tuple(settings or ()),
            init_from=init_from,
            minutes=minutes,
            steps=steps,
            until_stopped=until_stopped,
            seed=seed,
            device=device,
            precision=precision.value,
            resume=resume,
            title=title,
            exclude=tuple(exclude or ()),
        )
        if not in_background:
            _run(console, request)
            return
        from medcontext.workflows.pretrain_beforehand import check_pretraining

        check_pretraining(request)
        detach(console, f"Pre-train {output.name}")


def _run(console: Console, request: PretrainRequest) -> None:
    from medcontext.workflows.pretrain import pretrain as run

    done = run(request, *listener(console, request.until_stopped))
    console.say(f"The encoder is in {done.folder.absolute()}")
    if done.sentence:
        console.say(done.sentence)
    console.say(f"Use it: medcontext train --data STORE --init-from {done.folder} -o MODEL")
    _tell(console, done)


def _tell(console: Console, done: PretrainResult) -> None:
    """The ``result`` event: where the encoder is, where it came from and what held-out scans say."""
    card = done.card
    console.result(
        model=str(done.folder.absolute()),
        model_id=card.id,
        parent=None if card.parent is None else card.parent.model_dump(),
        scans=card.training.unlabelled,
        signals=dict(done.signals),
        sentence=done.sentence,
    )
