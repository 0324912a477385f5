"""``medcontext train`` and ``medcontext finetune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import Console, session
from medcontext.cli.learning import METHOD, LearningOptions, Network, Size, with_learning_options
from medcontext.cli.learning_run import detach, listener

if TYPE_CHECKING:
    from medcontext.workflows.request import TrainRequest
    from medcontext.workflows.train import TrainResult

FINETUNE_MINUTES = 10.0


@with_learning_options
def train(
    *,
    options: LearningOptions,
    network: Network = None,
    size: Size = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from the weights of this model or encoder.",
            rich_help_panel=METHOD,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Learn to segment from annotated scans.

    Without --minutes, --steps or --until-stopped the plan made from the data decides how long. Ctrl-C keeps a
    checkpoint; the same command with --resume goes on from it.
    """
    with session(options.as_json, gentle=True) as console:
        chosen = None if size is None else size.value
        request = options.request(network=network, size=chosen, init_from=init_from)
        _begin(console, request, f"Train {options.output.name}" if options.detach else None)


@with_learning_options
def finetune(
    *,
    options: LearningOptions,
    model: Annotated[
        str,
        typer.Option(
            "--init-from", "-m", metavar="MODEL", help="Model or encoder to start from: its id or its folder."
        ),
    ],
) -> None:
    """Teach a model from a few annotated scans of your own, for ten minutes unless told otherwise.

    Network and preprocessing are those of the model. Structures it does not know yet may be among the labels; those
    that only it knows are kept, see --keep. Of an encoder only the network is taken over.
    """
    with session(options.as_json, gentle=True) as console:
        request = options.request(init_from=model)
        if not request.has_end_of_its_own:
            request = options.request(init_from=model, minutes=FINETUNE_MINUTES)
        _begin(console, request, f"Fine-tune {options.output.name}" if options.detach else None)


def _begin(console: Console, request: TrainRequest, job: str | None) -> None:
    """Train here, or where ``job`` is a title, in the background; what is wrong is said here either way."""
    if job is None:
        _run(console, request)
        return
    from medcontext.workflows.beforehand import check_training

    check_training(request)
    detach(console, job)


def _run(console: Console, request: TrainRequest) -> None:
    from medcontext.workflows.train import train as run

    trained = run(request, *listener(console, request.until_stopped))
    console.say(f"The model is in {trained.folder.absolute()}")
    if trained.verdict is not None:
        console.say(trained.verdict.sentence)
    console.say(f"Use it: medcontext segment IMAGE -m {trained.folder} -o OUT")
    _tell(console, trained)


def _tell(console: Console, trained: TrainResult) -> None:
    """The ``result`` event: where the model is, where it came from and what held-out cases say."""
    from medcontext.workflows.encoder_start import read_transfer

    card, verdict = trained.card, trained.verdict
    facts = {} if verdict is None else verdict.to_json()
    told = ("word", "sentence", "cases", "difference", "low", "high")
    console.result(
        model=str(trained.folder.absolute()),
        model_id=card.id,
        parent=None if card.parent is None else card.parent.model_dump(),
        transfer=read_transfer(trained.folder),
        verdict={name: facts.get(name, "" if name in ("word", "sentence") else None) for name in told},
        picture=None if verdict is None or verdict.picture is None else str(verdict.picture.absolute()),
    )
