"""From an entry of a catalogue to a model in the library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medcontext.cards import read_summary
from medcontext.events import Reporter
from medcontext.library.catalogue.download import PATIENCE, Patience, downloaded
from medcontext.library.catalogue.fetch import read_catalogue
from medcontext.library.catalogue.form import CatalogueEntry

if TYPE_CHECKING:
    from medcontext.library.import_model import Imported


@dataclass(frozen=True)
class Installed:
    """A model of a catalogue that is in the library.

    Attributes:
        entry: what the catalogue says of it, with a whole address.
        folder: of the model.
        imported: how it came in; None where it was there already.
    """

    entry: CatalogueEntry
    folder: Path
    imported: Imported | None


def download_model(
    source: str, model: str, reporter: Reporter | None = None, patience: Patience = PATIENCE
) -> Installed:
    """Download a model of a catalogue, check it, and bring it into the library; the archive is deleted.

    Args:
        source: path or address of the catalogue.
        model: id in it, or ``id@version``; the newest version where none is said.
        reporter: gets the progress; asked whether to go on. What was received stays for the next call.
        patience: with the network.

    Raises:
        InputError: the catalogue has no such model, or what it names cannot be used.
        ResourceError: the network failed, or the disk is full.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    entry = read_catalogue(source, reporter, patience.stall_s).find(model)
    options = entry.options
    present = entry.installed
    if present is not None:
        return Installed(entry, present.folder, None)
    with downloaded(entry, reporter, patience) as file:
        from medcontext.library.import_model import import_model

        reporter.progress("import", 0)
        imported = import_model(file, entry.id, entry.title, options, entry.version)
        reporter.progress("import", 1)
    arrived = read_summary(imported.folder).version
    if arrived != entry.version:
        reporter.warning(
            f"The model says that it is version {arrived}, not {entry.version} as its catalogue."
        )
    return Installed(entry, imported.folder, imported)
