"""The request ``import_model``: a model comes into the user's library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.events import Reporter
from medcontext.worker.requests import WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


class ImportModelRequest(WorkerRequest):
    """Bring a model into the library."""

    archive: Path
    """A model as .zip or its folder, or a file of Swin UNETR weights."""


def import_model(data: Mapping[str, Any], _services: Services, _reporter: Reporter) -> Result:
    """Check a model and put it into the library; the result says under which id, where, and of which kind it is.

    Raises:
        InputError: it is no model, is damaged, or another one has its id and version.
        ResourceError: the disk is full.
    """
    from medcontext.library import import_model as bring
    from medcontext.library import read_card

    request = ImportModelRequest.parse(data, "The request 'import_model'")
    folder = bring(request.archive).folder
    card = read_card(folder)
    found = {"model": card.id, "version": card.version, "kind": card.kind}
    return found | {"folder": str(folder.absolute())}
