"""The request ``suggest``: which unlabelled scan of a case store to annotate next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from medcontext.events import Reporter
from medcontext.worker.requests import WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


class SuggestRequest(WorkerRequest):
    """Rank the unlabelled scans of a case store."""

    store: Path
    """The case store."""
    model: str
    """Library id or folder."""
    limit: int | None = Field(default=None, ge=1)
    """Look at so many scans at most, drawn at random; all when null."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16."""
    seed: int = 0
    """Of the draw."""


def suggest(data: Mapping[str, Any], services: Services, reporter: Reporter) -> Result:
    """Rank unlabelled scans with a warm model.

    Raises:
        InputError: there is no scan to suggest, or the model does not fit the store.
        CancelledError: someone asked to stop.
    """
    request = SuggestRequest.parse(data, "The request 'suggest'")
    model, _warm = services.models.get(request.model, request.device, request.precision, reporter)
    from medcontext.workflows.suggest import suggest as rank

    found = rank(
        request.store,
        model.loaded,
        limit=request.limit,
        device=request.device,
        precision=request.precision,
        seed=request.seed,
        reporter=reporter,
    )
    return found.to_json()
