"""``medcontext next``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Device, Json, Model, Precision, PrecisionName, Seed, Store
from medcontext.errors import InputError

if TYPE_CHECKING:
    from medcontext.workflows.suggest import Suggestions

WORDS = {
    "unsure": "the model is unsure",
    "unlike": "unlike the annotated cases",
    "stands_for_many": "many scans are like it",
    "nothing_found": "the model finds nothing",
}
"""What stands in the table for each reason."""

ONLY = "the only one looked at"
"""What stands there where nothing can set a scan apart."""

SKIPPED_SHOWN = 5


def next_case(
    *,
    data: Store,
    model: Model,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Look at so many scans at most, drawn at random.", show_default="all"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Suggestions to show.")] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File for the whole ranking, ending in .json or .csv.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    as_json: Json = False,
) -> None:
    """Say which unlabelled scan to annotate next: where the model is unsure, and what it has not seen yet."""
    with session(as_json, gentle=True) as console:
        from medcontext.io.atomic import check_folder
        from medcontext.workflows.suggest import suggest

        if output is not None:
            if output.suffix.lower() not in (".json", ".csv"):
                raise InputError(f"--output takes a file that ends in .json or .csv, not '{output}'.")
            check_folder(output.parent)
        found = suggest(
            data,
            model,
            limit=limit,
            device=device,
            precision=precision.value,
            seed=seed,
            reporter=console.reporter,
        )
        rows = [
            (
                entry.case,
                entry.score,
                entry.uncertainty,
                "-" if entry.novelty is None else entry.novelty,
                ", ".join(WORDS[reason] for reason in entry.reasons) or ONLY,
            )
            for entry in found.ranking[:count]
        ]
        console.table(["Scan", "Score", "Uncertainty", "Novelty", "Why"], rows)
        for case, reason in list(found.skipped.items())[:SKIPPED_SHOWN]:
            console.say(f"Not looked at: {case}. {reason}")
        if len(found.skipped) > SKIPPED_SHOWN:
            console.say(f"Not looked at: {len(found.skipped) - SKIPPED_SHOWN} more.")
        if output is not None:
            _write(found, output)
            console.say(f"The ranking of {len(found.ranking)} scans is in {output.absolute()}")
        console.result(**found.to_json())


def _write(found: Suggestions, path: Path) -> None:
    from medcontext.io.atomic import replacing

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix.lower() == ".json":
            json.dump(found.to_json(), stream, indent=1)
            return
        writer = csv.writer(stream)
        writer.writerow(["case", "score", "uncertainty", "novelty", "reasons", "images"])
        for entry in (suggestion.to_json() for suggestion in found.ranking):
            texts = [" ".join(entry["reasons"]), ";".join(entry["images"])]
            writer.writerow([entry["case"], entry["score"], entry["uncertainty"], entry["novelty"], *texts])
