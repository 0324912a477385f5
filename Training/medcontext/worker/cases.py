"""The requests about case stores; neither of them loads torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medcontext.data.adding import NewCase, add
from medcontext.data.case import Annotation
from medcontext.data.index_file import CaseTakenError
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.labels import LabelSet
from medcontext.worker.arrays import open_volume
from medcontext.worker.case_requests import (
    AddCaseRequest,
    AddUnlabelledRequest,
    AnnotatedSpec,
    CreateStoreRequest,
    EditStoreRequest,
)

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


def create_store(data: Mapping[str, Any], _services: Services, _reporter: Reporter) -> Result:
    """Start an empty case store.

    Raises:
        InputError: the folder holds one already or may not be written to, or a label is malformed.
    """
    request = CreateStoreRequest.parse(data, "The request 'create_store'")
    channels = [(channel.name, channel.modality or channel.name) for channel in request.channels]
    store = CaseStore.create(request.folder, _labels(request.labels), channels, name=request.name)
    return {"folder": str(store.folder)}


def add_case(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """Put an image into a case store, or replace a case.

    Returns:
        ``case`` (its id), ``cases`` (how many the store holds now), ``held_out`` and ``seconds`` by stage; or
        ``taken``, the id of the case that has this image already, where nothing was changed.

    Raises:
        InputError: something does not fit the store or itself.
        CancelledError: someone asked to stop; the store is as it was.
        ResourceError: the disk is full; the store is as it was.
    """
    request = AddCaseRequest.parse(data, "The request 'add_case'")
    began = time.perf_counter()
    store = CaseStore.open(request.store)
    more = _labels(request.new_labels) if request.new_labels else None
    try:
        added = add(
            store.folder,
            _new_case(request),
            channels=store.channels,
            labels=store.labels,
            more_labels=more,
            replacing=request.replacing is not None,
            reporter=reporter,
        )
    except CaseTakenError as error:
        if request.replacing is not None:
            raise InputError(error.message, "Replace that case instead, or remove one of the two.") from error
        return {"taken": error.case_id, "cases": len(store.cases)}
    store.reload()
    return {
        "case": added.case_id,
        "cases": len(store.cases),
        "held_out": store.case(added.case_id).held_out,
        "seconds": added.seconds | {"total": time.perf_counter() - began},
    }


def edit_store(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """Remove cases, or keep them for scoring for good.

    Returns:
        ``cases`` (how many the store holds now) and ``kept``: the folder to which files were moved, or None.

    Raises:
        InputError: there is no such case, or the store may not be written to.
    """
    request = EditStoreRequest.parse(data, "The request 'edit_store'")
    store = CaseStore.open(request.store)
    reporter.check_cancelled()
    kept = None
    if request.action == "remove":
        kept = str(store.remove(request.cases))
    else:
        store.hold_out(request.cases)
    return {"cases": len(store.cases), "kept": kept}


def add_unlabelled(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """List scans without labels where they are; nothing is copied.

    Returns:
        ``added`` (ids), ``skipped`` ({path, reason} of each) and ``cases`` (how many the store holds now).

    Raises:
        InputError: the store is broken or may not be written to.
        CancelledError: someone asked to stop; nothing was added.
    """
    request = AddUnlabelledRequest.parse(data, "The request 'add_unlabelled'")
    store = CaseStore.open(request.store)
    linked = store.link(request.paths, reporter)
    skipped = [{"path": str(path), "reason": reason} for path, reason in linked.skipped]
    return {"added": list(linked.added), "skipped": skipped, "cases": len(store.cases)}


def _new_case(request: AddCaseRequest) -> NewCase:
    if request.replacing is not None and request.case_id not in (None, request.replacing):
        raise InputError("A case that replaces another one keeps its id.", "Leave case_id out.")
    return NewCase(
        images=[open_volume(spec) for spec in request.images],
        label=None if request.label is None else open_volume(request.label),
        mask=None if request.mask is None else open_volume(request.mask),
        annotated=_annotation(request.annotated, request.mask is not None),
        case_id=request.replacing if request.replacing is not None else request.case_id,
        name=request.name,
        group=request.group,
        held_out=request.held_out,
        provenance=request.provenance,
    )


def _annotation(spec: AnnotatedSpec, masked: bool) -> Annotation:
    labels = None if spec.labels is None else tuple(spec.labels)
    if masked:
        return Annotation(labels=labels)
    return Annotation(labels, spec.region, tuple(sorted(set(spec.slices))), spec.axis)


def _labels(entries: list[dict[str, Any]]) -> LabelSet:
    try:
        return LabelSet.from_json(entries)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"The labels of the request are malformed: {error!r}.") from error
