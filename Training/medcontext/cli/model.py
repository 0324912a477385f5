"""``medcontext model``: the library of models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Json
from medcontext.errors import InputError

app = typer.Typer(help="See, check, bring in, hand on and remove models.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Id in the library, or a folder.")]


class ExportFormat(StrEnum):
    """What a model can be exported as."""

    ZIP = "zip"
    MONAI_BUNDLE = "monai-bundle"


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that are there."""
    with session(as_json) as console:
        from medcontext.cards import list_cards

        cards = list_cards()
        rows = [
            (
                card.id,
                card.version,
                card.title,
                ", ".join(card.labels),
                _where(card.bundled),
                card.problem or "",
            )
            for card in cards
        ]
        if rows:
            console.table(["Id", "Version", "Title", "Labels", "Where", "Problem"], rows)
        else:
            console.say(
                "There is no model yet: 'medcontext train' makes one, 'medcontext model import' adds one."
            )
        console.result(
            models=[
                {"id": card.id, "version": card.version, "title": card.title, "labels": list(card.labels)}
                | {"folder": str(card.folder), "bundled": card.bundled, "problem": card.problem}
                for card in cards
            ]
        )


def _where(bundled: bool) -> str:
    return "bundled" if bundled else "library"


@app.command()
def show(model: ModelName, as_json: Json = False) -> None:
    """Show what a model needs, what it finds and how it was made."""
    with session(as_json) as console:
        from medcontext.cards import resolve
        from medcontext.library import read_card

        folder = resolve(model)
        card = read_card(folder)
        rows = [
            ("Title", card.title),
            ("Id", f"{card.id} {card.version}"),
            ("Folder", folder.absolute()),
            ("Images", ", ".join(f"{c.name} ({c.modality})" for c in card.input.channels)),
            ("Spacing", " x ".join(f"{s:.3g}" for s in card.input.spacing) + " mm"),
            ("Field of view", _extent(card.input.range.field_of_view)),
            ("Labels", ", ".join(f"{label.value} {label.name}" for label in card.label_set)),
            ("Network", card.network.name),
            ("Method", card.method),
            ("Learnt from", f"{card.training.shots} annotated, {card.training.unlabelled} other scans"),
            ("Licence", card.license),
        ]
        console.table(["", ""], rows)
        console.result(folder=str(folder.absolute()), card=card.model_dump(mode="json"))


def _extent(limits: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
    return " x ".join(f"{low:.0f}-{high:.0f}" for low, high in zip(*limits, strict=True)) + " mm"


@app.command()
def verify(model: ModelName, as_json: Json = False) -> None:
    """Check that a model is complete and unchanged."""
    with session(as_json) as console:
        from medcontext.library import verify as check

        findings = check(model)
        for finding in findings:
            console.say(f"{finding.severity.capitalize()}: {finding.message}")
        errors = [finding.message for finding in findings if finding.severity == "error"]
        console.result(model=model, usable=not errors, findings=[vars(finding) for finding in findings])
        if errors:
            raise InputError(f"{model} cannot be used.", "Import it again from where it came.")
        console.say(f"{model} can be used: complete and unchanged.")


@app.command("import")
def import_model(
    archive: Annotated[Path, typer.Argument(help="A model as .zip, or its folder.")], as_json: Json = False
) -> None:
    """Bring a model into the library."""
    with session(as_json) as console:
        from medcontext.library import import_archive

        folder = import_archive(archive)
        console.say(f"Imported as {folder.name}")
        console.result(id=folder.name, folder=str(folder.absolute()))


@app.command()
def export(
    model: ModelName,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .zip file, or the folder of the bundle.")
    ],
    form: Annotated[
        ExportFormat, typer.Option("--format", help="zip for MedContext, monai-bundle for others.")
    ] = ExportFormat.ZIP,
    as_json: Json = False,
) -> None:
    """Hand a model on: as a zip file, or as a MONAI bundle."""
    with session(as_json) as console:
        from medcontext.cards import resolve
        from medcontext.library import export_archive, export_monai_bundle

        write = export_archive if form is ExportFormat.ZIP else export_monai_bundle
        write(resolve(model), output)
        console.say(f"Exported to {output.absolute()}")
        console.result(output=str(output.absolute()))


@app.command()
def remove(model: ModelName, as_json: Json = False) -> None:
    """Remove a model from the library."""
    with session(as_json) as console:
        from medcontext.library import remove as delete

        delete(model)
        console.say(f"Removed {model}")
        console.result(removed=model)
