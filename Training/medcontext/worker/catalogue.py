"""The requests ``catalogue`` and ``download_model``: models that a catalogue lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medcontext.events import Reporter
from medcontext.worker.requests import WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


class CatalogueRequest(WorkerRequest):
    """Read a catalogue."""

    source: str
    """Its path or address."""


class DownloadModelRequest(CatalogueRequest):
    """Download a model of a catalogue into the library."""

    model: str
    """Its id in the catalogue, or ``id@version``."""


def catalogue(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """Read a catalogue; the result has its title and its models, with ``installed`` for those that are here.

    Raises:
        InputError: it is no catalogue.
        ResourceError: the network failed.
        CancelledError: someone asked to stop.
    """
    from medcontext.library.catalogue import read_catalogue

    request = CatalogueRequest.parse(data, "The request 'catalogue'")
    found = read_catalogue(request.source, reporter)
    models = [
        entry.model_dump(mode="json") | {"installed": entry.installed is not None} for entry in found.models
    ]
    return {"title": found.title, "models": models}


def download_model(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """Download a model, check it and import it; the result says what ``import_model`` says.

    Raises:
        InputError: the catalogue does not list it, or what came is not what was meant or no model.
        ResourceError: the network failed (what came is kept for the next time), or the disk is full.
        CancelledError: someone asked to stop; what came is kept.
    """
    from medcontext.library import read_card
    from medcontext.library.catalogue import download_model as download

    request = DownloadModelRequest.parse(data, "The request 'download_model'")
    installed = download(request.source, request.model, reporter)
    card, imported = read_card(installed.folder), installed.imported
    found = {"model": card.id, "version": card.version, "kind": card.kind}
    notes = [] if imported is None else list(imported.notes)
    return found | {"folder": str(installed.folder.absolute()), "notes": notes}
