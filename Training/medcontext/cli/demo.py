"""``medcontext demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Device, Json, Seed


def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "medcontext_demo"
    ),
    minutes: Annotated[float, typer.Option(min=0.05, help="Time for each of the two trainings.")] = 2.0,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """See it work on real scans that come with the program, in a few minutes.

    Segments a scan with the bundled model, then learns the hippocampus from four annotated scans, with and
    without MedContext, and scores both on scans that neither has seen.
    """
    with session(as_json, gentle=True) as console:
        from medcontext.workflows.demo import demo as run

        outcome = run(output, minutes=minutes, seed=seed, device=device, reporter=console.reporter)
        console.table(outcome.columns, outcome.rows(), title=outcome.title)
        for line in outcome.closing_lines():
            console.say(line)
        console.result(**outcome.to_json())
