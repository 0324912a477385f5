"""After a training: what held-out cases say, written into the card of the new model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from medcontext.card_schema import ModelCard
from medcontext.data.store import CaseStore
from medcontext.engine.asking import patient
from medcontext.errors import CancelledError, MedContextError
from medcontext.events import Reporter
from medcontext.library import load_model, update_card
from medcontext.workflows.encoder_start import model_to_compare
from medcontext.workflows.leave_one_out import Train, leave_one_out
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.verdict import Verdict, judge

DECIDED = ("better", "worse", "undecided")


def judged(
    request: TrainRequest,
    card: ModelCard,
    fit: Train,
    reporter: Reporter,
    control: Callable[[], str | None],
) -> tuple[ModelCard, Verdict | None]:
    """The card with what held-out cases, or cases left out one by one, say about the model.

    Args:
        request: of the training; its model is there.
        card: of that model.
        fit: trains for leave-one-out.
        reporter: told of the progress, and of what stood in the way of a verdict.
        control: asked for "pause", and during leave-one-out for "stop".

    Raises:
        CancelledError: someone asked to stop; the model stays.
    """
    try:
        store = CaseStore.open(request.data)
        parent = _parent_folder(request, card, reporter)
        verdict = judge(
            request.output,
            store,
            parent=parent,
            device=request.device,
            precision=request.precision,
            reporter=patient(reporter, control),
        )
        if request.leave_one_out:
            apart = leave_one_out(request, fit, reporter, control)
            if apart.cases and verdict.word not in DECIDED:
                verdict = replace(apart, picture=verdict.picture)
    except CancelledError as stop:
        raise CancelledError(
            f"Stopped. The model in {request.output} is complete; how good it is was not asked to the end.",
            "Ask with --resume.",
        ) from stop
    except MedContextError as error:
        reporter.warning(f"Whether the model is better is not known: {error.message}")
        return card, None
    if verdict.cases or parent is not None:
        card = _with_verdict(card, verdict)
        update_card(request.output, card)
    return card, verdict


def _parent_folder(request: TrainRequest, card: ModelCard, reporter: Reporter) -> Path | None:
    """The folder of the parent; None where nothing can be compared, or where its name means another model by now."""
    model = model_to_compare(request)
    if model is None or card.parent is None:
        return None
    parent = load_model(model)
    if parent.sha256 == card.parent.sha256:
        return parent.folder
    reporter.warning(f"{model} is no longer the model that the new one came from.")
    return None


def _with_verdict(card: ModelCard, verdict: Verdict) -> ModelCard:
    facts = {key: value for key, value in verdict.to_json().items() if key not in ("by_case", "labels")}
    record = card.training.model_copy(update={"metrics": card.training.metrics | {"verdict": facts}})
    return card.model_copy(update={"training": record})
