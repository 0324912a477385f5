"""The requests ``remove_model``, ``export_model`` and ``propose_labels``, which the list of models in Slicer needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.events import Reporter
from medcontext.worker.requests import WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


class RemoveModelRequest(WorkerRequest):
    """Delete a model of the user's library."""

    model: str
    """Library id, ``id@version``, or its folder's name in the library."""


class ExportModelRequest(WorkerRequest):
    """Write a model as one zip."""

    model: str
    """Library id, ``id@version`` or folder."""
    output: Path
    """The zip."""
    replace: bool = False
    """Whether a file that is there already may be replaced."""


class ProposeLabelsRequest(WorkerRequest):
    """Find colours and codes for labels by their names."""

    labels: list[dict[str, Any]]
    """``{value, name, color, terminology}``; colour and codes may be left out."""


def remove_model(data: Mapping[str, Any], services: Services, _reporter: Reporter) -> Result:
    """Delete a model; the result says which folder it was in.

    Raises:
        InputError: there is no such model in the user's library.
        ResourceError: the system does not let its files be deleted.
    """
    from medcontext.library import remove

    request = RemoveModelRequest.parse(data, "The request 'remove_model'")
    services.models.release()  # Windows deletes no file that somebody has open
    return {"folder": str(remove(request.model))}


def export_model(data: Mapping[str, Any], _services: Services, _reporter: Reporter) -> Result:
    """Write a model as one zip that ``import_model`` takes; the result says where it is.

    Raises:
        InputError: there is no such model, it is broken, or the zip exists and may not be replaced.
        ResourceError: the disk is full.
    """
    from medcontext.library import export_archive

    request = ExportModelRequest.parse(data, "The request 'export_model'")
    return {"file": str(export_archive(request.model, request.output, replace=request.replace))}


def propose_labels(data: Mapping[str, Any], _services: Services, _reporter: Reporter) -> Result:
    """Give labels the colours and codes that they lack, see :func:`medcontext.library.anatomy.propose_labels`.

    Raises:
        InputError: they are no labels.
    """
    from medcontext.library.anatomy import propose_labels as propose
    from medcontext.library.import_options import labels_of

    request = ProposeLabelsRequest.parse(data, "The request 'propose_labels'")
    return {"labels": propose(labels_of(request.labels, "The request 'propose_labels'")).to_json()}
