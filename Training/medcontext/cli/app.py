"""The list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

import medcontext
from medcontext.cli.batch import batch
from medcontext.cli.data import app as data
from medcontext.cli.demo import demo
from medcontext.cli.doctor import doctor
from medcontext.cli.evaluate import evaluate
from medcontext.cli.jobs import app as jobs
from medcontext.cli.model import app as model
from medcontext.cli.networks import networks
from medcontext.cli.next import next_case
from medcontext.cli.pack import pack
from medcontext.cli.plan import plan
from medcontext.cli.pretrain import pretrain
from medcontext.cli.propose import propose
from medcontext.cli.segment import segment
from medcontext.cli.train import finetune, train
from medcontext.cli.usage import Commands

EVERY_DAY, LEARN, MANAGE = "Segment", "Learn", "Look after"

app = typer.Typer(
    cls=Commands,
    help="Segment 3D medical images, and teach the program new structures from a few annotated scans.",
    epilog="Start with: medcontext demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medcontext {medcontext.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Segment 3D medical images, and teach the program new structures from a few annotated scans."""


app.command("demo", rich_help_panel=EVERY_DAY)(demo)
app.command("segment", rich_help_panel=EVERY_DAY)(segment)
app.command("batch", rich_help_panel=EVERY_DAY)(batch)
app.command("propose", rich_help_panel=EVERY_DAY)(propose)
app.command("evaluate", rich_help_panel=EVERY_DAY)(evaluate)
app.command("train", rich_help_panel=LEARN)(train)
app.command("finetune", rich_help_panel=LEARN)(finetune)
app.command("pretrain", rich_help_panel=LEARN)(pretrain)
app.command("next", rich_help_panel=LEARN)(next_case)
app.add_typer(data, name="data", rich_help_panel=LEARN)
app.command("plan", rich_help_panel=LEARN)(plan)
app.command("networks", rich_help_panel=LEARN)(networks)
app.add_typer(model, name="model", rich_help_panel=MANAGE)
app.add_typer(jobs, name="jobs", rich_help_panel=MANAGE)
app.command("pack", rich_help_panel=MANAGE)(pack)
app.command("doctor", rich_help_panel=MANAGE)(doctor)
