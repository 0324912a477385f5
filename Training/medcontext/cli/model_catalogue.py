"""``medcontext model catalogue`` and ``download``: models that a catalogue lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Json
from medcontext.disk import size_text
from medcontext.errors import InputError

if TYPE_CHECKING:
    from medcontext.library.catalogue import CatalogueEntry

SHOWN_LABELS = 8
"""Of a model of a hundred labels a table shows so many."""


def labels_text(labels: Sequence[str]) -> str:
    """Names of labels in a cell of a table."""
    more = len(labels) - SHOWN_LABELS
    return ", ".join(labels[:SHOWN_LABELS]) + (f" and {more} more" if more > 0 else "")


def catalogue(
    source: Annotated[
        str | None,
        typer.Argument(metavar="FILE|URL", help="The catalogue: a file, or its address.", show_default=False),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of catalogue files instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the models that a catalogue offers. Only what you name here is fetched."""
    if schema:
        from medcontext.library.catalogue import catalogue_schema

        typer.echo(catalogue_schema(), nl=False)
        return
    with session(as_json, gentle=True) as console:
        if source is None:
            raise InputError("No catalogue was named.", "Give its file or address.")
        from medcontext.library.catalogue import read_catalogue

        found = read_catalogue(source, console.reporter)
        console.table(
            ["Model", "Title", "Images", "Labels", "Size", "Licence"],
            [_row(entry) for entry in found.models],
            found.title or None,
        )
        if found.models:
            console.say(f"Get one: medcontext model download {found.models[0].id} --from {source}")
        entries = [
            entry.model_dump(mode="json") | {"installed": entry.installed is not None}
            for entry in found.models
        ]
        console.result(title=found.title, models=entries)


def _row(entry: CatalogueEntry) -> tuple[str, ...]:
    labels = labels_text(entry.labels)
    name = entry.name if entry.installed is None else f"{entry.name} (here)"
    images = ", ".join(entry.modality)
    return name, entry.title, images, labels, size_text(entry.size), entry.licence


def download(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its id in the catalogue; id@version for an older one.")
    ],
    source: Annotated[
        str, typer.Option("--from", metavar="FILE|URL", help="The catalogue: a file, or its address.")
    ],
    as_json: Json = False,
) -> None:
    """Download a model of a catalogue into the library. A download that was stopped goes on where it was."""
    with session(as_json, gentle=True) as console:
        from medcontext.library.catalogue import download_model

        installed = download_model(source, model, console.reporter)
        entry, imported = installed.entry, installed.imported
        notes = () if imported is None else imported.notes
        for note in notes:
            console.say(f"Note: {note}")
        if imported is None:
            console.say(f"{entry.name} is in the library already.")
        else:
            console.say(f"Imported as {entry.id}. Licence: {entry.licence}")
        if entry.citation:
            console.say(f"Please cite: {entry.citation}")
        console.result(
            id=entry.id,
            version=entry.version,
            folder=str(installed.folder.absolute()),
            downloaded=imported is not None,
            notes=list(notes),
        )
