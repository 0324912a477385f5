"""The card of an encoder that was just pre-trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medcontext.card_schema import InferenceSpec, InputSpec, ModelCard, Reference, TrainingRecord
from medcontext.config import StrictModel
from medcontext.data.pool import ScanPool
from medcontext.engine.run import Outcome
from medcontext.library import LoadedEncoder
from medcontext.library.folder import identifier
from medcontext.plan import Plan
from medcontext.workflows.pretrain_request import PretrainRequest
from medcontext.workflows.training_card import UNSPECIFIED, software


def encoder_card(
    request: PretrainRequest,
    plan: Plan,
    config: StrictModel,
    pool: ScanPool,
    outcome: Outcome,
    metrics: Mapping[str, Any],
    parent: LoadedEncoder | None,
) -> ModelCard:
    """Everything that is needed to start from an encoder, and where it comes from."""
    license_text = request.license
    if parent is not None and license_text == UNSPECIFIED:
        license_text = parent.card.license
    return ModelCard(
        id=request.model_id or identifier(request.output.name),
        title=request.title or _title(request),
        kind="encoder",
        method=request.method,
        parent=None if parent is None else Reference(id=parent.card.id, sha256=parent.sha256),
        network=plan.network,
        input=InputSpec.of(plan),
        labels=[],
        inference=InferenceSpec(resample=plan.resample, predictor="student"),
        training=TrainingRecord(
            unlabelled_hashes=sorted(pool.hashes()),
            inherited_hashes=[] if parent is None else sorted(parent.card.seen),
            unlabelled=min(len(pool) - len(pool.left_out), outcome.steps * plan.batch_size),
            seed=request.seed,
            steps=outcome.steps,
            minutes=round(outcome.minutes, 2),
            metrics={name: value for name, value in metrics.items() if value != {}},
            config=config.model_dump(mode="json"),
            software=software(),
        ),
        license=license_text,
    )


def _title(request: PretrainRequest) -> str:
    """How it was taught, and on what."""
    places = list(dict.fromkeys(place.resolve().name for place in request.data))
    more = f" and {len(places) - 2} more" if len(places) > 2 else ""
    return f"{request.method} on {', '.join(places[:2])}{more}"
