"""``medcontext evaluate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Device, Json, Precision, PrecisionName, Store
from medcontext.errors import SomeCasesFailedError


class SplitName(StrEnum):
    """Parts of a data set."""

    TEST = "test"
    TRAINING = "training"
    ALL = "all"


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Argument(
            metavar="LABELMAPS",
            help="Folder of labelmaps <case>.nii.gz to score; leave it out to run a model.",
            show_default=False,
        ),
    ] = None,
    *,
    data: Store,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Model to run and score: its id or its folder.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for scores.csv and scores.json.", show_default=False),
    ] = None,
    split: Annotated[SplitName, typer.Option(help="Which cases of the data set.")] = SplitName.TEST,
    tolerance: Annotated[
        float, typer.Option(metavar="MM", min=0.0, help="Distance that surface Dice forgives.")
    ] = 1.0,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    as_json: Json = False,
) -> None:
    """Score segmentations against what people painted: Dice, HD95 and surface Dice in millimetres.

    Either runs a model on the data set (-m MODEL) or scores labelmaps that are there already.
    """
    with session(as_json, gentle=True) as console:
        from medcontext.workflows.evaluate import evaluate as run
        from medcontext.workflows.evaluate import some

        evaluation = run(
            data,
            model=model,
            predictions=predictions,
            output=output,
            split=split.value,
            tolerance_mm=tolerance,
            device=device,
            precision=precision.value,
            reporter=console.reporter,
        )
        console.table(["Label", "Cases", "Dice", "HD95 (mm)", "Surface Dice"], evaluation.table())
        console.say(f"Mean Dice {evaluation.mean_dice:.3f} over {evaluation.cases} cases")
        if output is not None:
            console.say(f"Scores of every case are in {output.absolute()}")
        console.result(**evaluation.to_json())
        if evaluation.failed:
            raise SomeCasesFailedError(f"{some(list(evaluation.failed))} could not be scored.")
