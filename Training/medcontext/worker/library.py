"""The requests ``inspect_model`` and ``import_model``: a model comes into the user's library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medcontext.events import Reporter
from medcontext.worker.requests import WorkerRequest

if TYPE_CHECKING:
    from medcontext.library import ImportOptions
    from medcontext.worker.handlers import Result, Services


class InspectModelRequest(WorkerRequest):
    """Look at what may become a model."""

    archive: Path
    """A model of ours, an nnU-Net or a MONAI bundle as folder or .zip, or a file of weights."""
    configuration: str | None = None
    """Of an nnU-Net, such as ``3d_fullres``."""
    folds: tuple[str, ...] = ()
    """Of an nnU-Net, such as ``0``; every one that is there when empty."""
    checkpoint: Literal["final", "best"] = "final"
    """Of an nnU-Net."""
    orientation: str | None = None
    """Of the training images, such as ``RAS``, or ``stored``."""
    labels: list[dict[str, Any]] | None = None
    """Names, colours and codes of label values, as in ``model.json``."""

    def options(self) -> ImportOptions:
        """The choices.

        Raises:
            InputError: one is none.
        """
        from medcontext.library import ImportOptions
        from medcontext.library.import_options import labels_of

        return ImportOptions(
            self.configuration,
            self.folds,
            self.checkpoint,
            self.orientation,
            None if self.labels is None else labels_of(self.labels, "The table of labels"),
        )


class ImportModelRequest(InspectModelRequest):
    """Bring a model into the library."""

    model_id: str | None = None
    """The library id to give it."""
    title: str | None = None
    """The title to give it."""


def inspect_model(data: Mapping[str, Any], _services: Services, _reporter: Reporter) -> Result:
    """Look at what may become a model; the result is that of the library's function, with the id as ``model``.

    Raises:
        InputError: it is no model, or is damaged.
        ResourceError: the disk is full.
    """
    from medcontext.library import inspect_model as inspect

    request = InspectModelRequest.parse(data, "The request 'inspect_model'")
    found = inspect(request.archive, request.options())
    return {"model": found.pop("id")} | found  # the id of an event is that of its request


def import_model(data: Mapping[str, Any], _services: Services, _reporter: Reporter) -> Result:
    """Check a model and put it into the library; the result says under which id, where, and what it is.

    Raises:
        InputError: it is no model, is damaged, or another one has its id and version.
        ResourceError: the disk is full.
    """
    from medcontext.library import import_model as bring
    from medcontext.library import read_card

    request = ImportModelRequest.parse(data, "The request 'import_model'")
    imported = bring(request.archive, request.model_id, request.title, request.options())
    card = read_card(imported.folder)
    found = {"model": card.id, "version": card.version, "title": card.title, "kind": card.kind}
    told = {"form": imported.form, "notes": list(imported.notes)}
    return found | told | {"folder": str(imported.folder.absolute())}
