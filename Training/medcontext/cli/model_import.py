"""``medcontext model import``: models of ours and of other programs come into the library."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medcontext.cli.console import Console, session
from medcontext.cli.options import Json
from medcontext.disk import size_text

if TYPE_CHECKING:
    from medcontext.library import Imported, ImportOptions

_MODEL = "Library"
_CHOICES = "Where the source leaves a choice"


class Checkpoint(StrEnum):
    """Which weights of an nnU-Net."""

    FINAL = "final"
    BEST = "best"


def import_model(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A model of MedContext, an nnU-Net v2 or a MONAI bundle, as folder or .zip; or a file of weights.",
        ),
    ],
    model_id: Annotated[
        str | None,
        typer.Option("--id", help="Id in the library.", show_default=False, rich_help_panel=_MODEL),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title in lists.", show_default=False, rich_help_panel=_MODEL)
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option(help="nnU-Net: such as 3d_fullres.", show_default=False, rich_help_panel=_CHOICES),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="0,1,...",
            help="nnU-Net: the folds that make the ensemble, or all for the fold of that name. Every fold that is "
            "there by default.",
            show_default=False,
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    checkpoint: Annotated[
        Checkpoint,
        typer.Option(help="nnU-Net: weights of the last step or of the best one.", rich_help_panel=_CHOICES),
    ] = Checkpoint.FINAL,
    orientation: Annotated[
        str | None,
        typer.Option(
            metavar="RAS|LPS|...|stored",
            help="What the training images were; 'stored': images are taken as they lie in their file.",
            show_default=False,
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='JSON list of {"value", "name", "color", "terminology"}.',
            show_default=False,
            rich_help_panel=_CHOICES,
        ),
    ] = None,
    inspect: Annotated[bool, typer.Option("--inspect", help="Only say what is there.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a model of MedContext or of another program into the library, or weights as an encoder to start from.

    What it is, its content says. Nothing in it is executed.
    """
    with session(as_json) as console:
        from medcontext.library import ImportOptions
        from medcontext.library import import_model as bring
        from medcontext.library.import_options import parse_folds, read_labels

        options = ImportOptions(
            configuration,
            () if folds is None else parse_folds(folds),
            checkpoint.value,
            orientation,
            None if labels is None else read_labels(labels),
        )
        if inspect:
            _tell(console, source, options)
        else:
            _told(console, source, bring(source, model_id, title, options))


def _told(console: Console, source: Path, imported: Imported) -> None:
    """Say what came into the library."""
    from medcontext.library import read_card

    card = read_card(imported.folder)
    for note in imported.notes:
        console.say(f"Note: {note}")
    if imported.report is not None:
        console.say(imported.report.sentence(source.name))
    console.say(f"Imported as {card.id}")
    if card.kind == "encoder":
        console.say(f"Start from it: medcontext train --init-from {card.id} --data STORE -o MODEL")
    console.result(
        id=card.id,
        kind=card.kind,
        form=imported.form,
        notes=list(imported.notes),
        folder=str(imported.folder.absolute()),
        transfer=None if imported.report is None else imported.report.to_json(),
    )


def _tell(console: Console, source: Path, options: ImportOptions) -> None:
    """Say what is there without importing it."""
    from medcontext.library import inspect_model

    found = inspect_model(source, options)
    console.table(["", ""], _facts(found))
    for note in found["notes"]:
        console.say(f"Note: {note}")
    console.result(model=found.pop("id"), **found)


def _facts(found: dict[str, Any]) -> list[tuple[str, object]]:
    chosen = found["chosen"]
    facts: list[tuple[str, object]] = [
        ("Form", found["form"]),
        ("Title", found["title"]),
        ("Id", found["id"]),
        ("Images", f"{', '.join(found['channels'])} ({found['modality']})"),
        ("Spacing", " x ".join(f"{mm:.3g}" for mm in found["spacing"]) + " mm"),
        ("Orientation", found["orientation"]),
        ("Network", f"{found['network']} ({found['dims']}D)"),
    ]
    if found["labels"]:
        facts.append(("Labels", ", ".join(f"{entry['value']} {entry['name']}" for entry in found["labels"])))
    for option, there in found["choices"].items():
        taken = ", ".join(chosen.get(option, []))
        facts.append((option.capitalize(), f"{taken} of {', '.join(there)}" if len(there) > 1 else taken))
    return [*facts, ("Licence", found["license"]), ("Size", size_text(found["bytes"]))]
