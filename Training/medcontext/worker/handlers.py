"""What the worker can do: kinds of requests, each with the function that serves it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.worker.models import WarmModels
from medcontext.worker.requests import DoctorRequest, ReleaseRequest, WarmRequest

Result = dict[str, Any]
Handler = Callable[[Mapping[str, Any], "Services", Reporter], Result]
"""From the request's data, the services and the reporter of its events to the fields of its result."""

HANDLERS = {
    "segment": "medcontext.worker.segmenting:segment",
    "redo": "medcontext.worker.segmenting:redo",
    "adapt": "medcontext.worker.adapting:adapt",
    "warm": "medcontext.worker.handlers:warm",
    "release": "medcontext.worker.handlers:release",
    "doctor": "medcontext.worker.handlers:doctor",
    "suggest": "medcontext.worker.suggesting:suggest",
    "propose": "medcontext.worker.proposing:propose",
    "dicom_seg": "medcontext.worker.exporting:dicom_seg",
    "batch_case": "medcontext.worker.batch_cases:batch_case",
    "inspect_model": "medcontext.worker.library:inspect_model",
    "import_model": "medcontext.worker.library:import_model",
    "remove_model": "medcontext.worker.model_files:remove_model",
    "export_model": "medcontext.worker.model_files:export_model",
    "propose_labels": "medcontext.worker.model_files:propose_labels",
    "catalogue": "medcontext.worker.catalogue:catalogue",
    "download_model": "medcontext.worker.catalogue:download_model",
    "create_store": "medcontext.worker.cases:create_store",
    "add_case": "medcontext.worker.cases:add_case",
    "edit_store": "medcontext.worker.cases:edit_store",
    "add_unlabelled": "medcontext.worker.cases:add_unlabelled",
}
"""Kind of request -> module and function, imported when first asked for."""


class Services:
    """What handlers share, and the door to them."""

    def __init__(self) -> None:
        self.models = WarmModels()

    def handle(self, kind: str, data: Mapping[str, Any], reporter: Reporter) -> Result:
        """Serve one request.

        Raises:
            InputError: there is no such kind of request, or its data does not fit.
            MedContextError: what else the work raises.
        """
        if kind not in HANDLERS:
            known = ", ".join(sorted([*HANDLERS, "cancel", "shutdown"]))
            raise InputError(f"There is no request '{kind}'.", f"Known requests: {known}.")
        reporter.check_cancelled()
        module, _, name = HANDLERS[kind].partition(":")
        handler: Handler = getattr(importlib.import_module(module), name)
        return handler(data, self, reporter)

    def look_after(self, idle: bool) -> None:
        """Let go of models that nobody will miss; called between requests.

        Args:
            idle: whether no request came for a long time.
        """
        self.models.look_after(idle)


def warm(data: Mapping[str, Any], services: Services, reporter: Reporter) -> Result:
    """Load torch, and a model where one is named, so that the first click need not wait for it."""
    request = WarmRequest.parse(data, "The request 'warm'")
    if request.model is None:
        importlib.import_module("medcontext.workflows.predictor")
        return {}
    services.models.get(request.model, request.device, request.precision, reporter)
    return {}


def release(data: Mapping[str, Any], services: Services, _reporter: Reporter) -> Result:
    """Let go of models and device memory."""
    ReleaseRequest.parse(data, "The request 'release'")
    services.models.release()
    return {}


def doctor(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """What this machine has to offer."""
    from medcontext.workflows.doctor import examine

    DoctorRequest.parse(data, "The request 'doctor'")
    return {"findings": [finding.to_json() for finding in examine(reporter)]}
