"""``medcontext model``: the library of models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cards import IMPORTED
from medcontext.cli import model_catalogue, model_import
from medcontext.cli.console import session
from medcontext.cli.options import Json
from medcontext.disk import folder_size, size_text
from medcontext.errors import InputError

if TYPE_CHECKING:
    from medcontext.card_schema import ModelCard

app = typer.Typer(help="See, check, bring in, hand on and remove models.", no_args_is_help=True)

SEGMENTATION = "segmentation"

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Id in the library, or a folder.")]


class ExportFormat(StrEnum):
    """What a model can be exported as."""

    ZIP = "zip"
    MONAI_BUNDLE = "monai-bundle"
    NNUNET = "nnunet"


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that are there."""
    with session(as_json) as console:
        from medcontext.cards import list_cards, user_models
        from medcontext.home import downloads

        cards = list_cards()
        sizes = [folder_size(card.folder) for card in cards]
        broken = any(card.problem for card in cards)
        rows = [
            (
                card.id,
                card.version,
                card.title,
                model_catalogue.labels_text(card.labels) if card.kind == SEGMENTATION else f"({card.kind})",
                size_text(size),
                _where(card.bundled),
                *([card.problem or ""] if broken else []),
            )
            for card, size in zip(cards, sizes, strict=True)
        ]
        if rows:
            columns = ["Id", "Version", "Title", "Labels", "Size", "Where"]
            console.table([*columns, "Problem"] if broken else columns, rows)
        else:
            console.say(
                "There is no model yet: 'medcontext train' makes one, 'medcontext model import' adds one."
            )
        library = sum(size for card, size in zip(cards, sizes, strict=True) if not card.bundled)
        if library:
            console.say(f"The models in {user_models()} take {size_text(library)}.")
        unfinished = folder_size(downloads())
        if unfinished:
            console.say(f"Unfinished downloads in {downloads()} take {size_text(unfinished)}.")
        console.result(
            models=[
                {"id": card.id, "version": card.version, "title": card.title, "labels": list(card.labels)}
                | {"kind": card.kind, "folder": str(card.folder), "bytes": size}
                | {"bundled": card.bundled, "problem": card.problem}
                for card, size in zip(cards, sizes, strict=True)
            ],
            library_bytes=library,
            unfinished_bytes=unfinished,
        )


app.command("catalogue")(model_catalogue.catalogue)
app.command("download")(model_catalogue.download)
app.command("import")(model_import.import_model)


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
        console.table(["", ""], _facts(card, folder))
        console.result(folder=str(folder.absolute()), card=card.model_dump(mode="json"))


def _facts(card: ModelCard, folder: Path) -> list[tuple[str, object]]:
    """What ``show`` says of a model; of an encoder that other software trained nobody knows the images."""
    spec, record = card.input, card.training
    images: list[tuple[str, object]] = [
        ("Images", ", ".join(f"{c.name} ({c.modality})" for c in spec.channels)),
        ("Spacing", " x ".join(f"{s:.3g}" for s in spec.spacing) + " mm"),
    ]
    if spec.range.field_of_view is not None:
        images.append(("Field of view", _extent(spec.range.field_of_view)))
    learnt = ("Learnt from", f"{record.shots} annotated, {record.unlabelled} other scans")
    if card.kind == SEGMENTATION:
        finds = ("Labels", ", ".join(f"{label.value} {label.name}" for label in card.label_set))
    else:
        finds = ("Kind", f"{card.kind}: segments nothing by itself")
    if card.method == IMPORTED:
        if card.kind != SEGMENTATION:
            images = images[:1]
        learnt = ("From", ", ".join(f"{k}: {v}" for k, v in record.config.items()))
    return [
        ("Title", card.title),
        ("Id", f"{card.id} {card.version}"),
        ("Folder", folder.absolute()),
        *images,
        finds,
        ("Network", card.network.name),
        ("Method", card.method),
        learnt,
        ("Licence", card.license),
    ]


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


@app.command()
def export(
    model: ModelName,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .zip file, or the folder of the other formats.")
    ],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="zip for MedContext; monai-bundle, nnunet (a results folder) for others."
        ),
    ] = ExportFormat.ZIP,
    as_json: Json = False,
) -> None:
    """Hand a model on: as a zip file, as a MONAI bundle, or as a results folder of nnU-Net."""
    with session(as_json) as console:
        from medcontext.cards import resolve
        from medcontext.library import export_archive, export_monai_bundle
        from medcontext.library.nnunet.export import export_nnunet

        notes: tuple[str, ...] = ()
        if form is ExportFormat.NNUNET:
            notes = export_nnunet(model, output, console.reporter)
        else:
            write = export_archive if form is ExportFormat.ZIP else export_monai_bundle
            write(resolve(model), output)
        console.say(f"Exported to {output.absolute()}")
        for note in notes:
            console.say(f"Note: {note}")
        console.result(output=str(output.absolute()), notes=list(notes))


@app.command()
def remove(model: ModelName, as_json: Json = False) -> None:
    """Remove a model from the library."""
    with session(as_json) as console:
        from medcontext.library import remove as delete

        delete(model)
        console.say(f"Removed {model}")
        console.result(removed=model)
