"""The card of a model that was just trained."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version

from medcontext.card_schema import (
    InferenceSpec,
    InputRange,
    InputSpec,
    ModelCard,
    Postprocess,
    TrainingRecord,
)
from medcontext.config import StrictModel
from medcontext.data.store import CaseStore
from medcontext.engine.run import Outcome
from medcontext.engine.validation import helped_by_largest_component
from medcontext.plan import Plan
from medcontext.workflows.request import PreparedData, TrainRequest


def make_card(
    request: TrainRequest,
    store: CaseStore,
    plan: Plan,
    config: StrictModel,
    data: PreparedData,
    outcome: Outcome,
) -> ModelCard:
    """The card of a trained model: everything needed to use it and where it comes from."""
    facts = plan.fingerprint
    names = ", ".join(label.name for label in plan.label_set)
    largest = helped_by_largest_component(outcome.network, data.validation, plan)
    return ModelCard(
        id=request.model_id or _identifier(request.output.name),
        title=request.title or f"{store.name}: {names}",
        method=request.method,
        network=plan.network,
        input=InputSpec(
            channels=plan.channels,
            spacing=plan.spacing,
            orientation=plan.orientation,
            patch_size=plan.patch_size,
            range=InputRange(spacing=facts.spacing_range, field_of_view=facts.field_of_view_range),
        ),
        labels=plan.labels,
        allowed_flips=plan.allowed_flips,
        flip_pairs=plan.flip_pairs,
        inference=InferenceSpec(
            resample=plan.resample,
            flips=plan.allowed_flips,
            postprocess=Postprocess(largest_component=largest),
            predictor=getattr(config, "predictor", "ema"),
        ),
        training=TrainingRecord(
            case_hashes=[case.content_hash for case in (*data.labelled, *data.validation)],
            shots=len(data.labelled) + len(data.validation),
            unlabelled=outcome.unlabelled,
            seed=request.seed,
            steps=outcome.steps,
            minutes=round(outcome.minutes, 2),
            metrics={"held_out_dice": outcome.dice} if outcome.dice else {},
            config=config.model_dump(mode="json"),
            software=_software(),
        ),
        license=request.license,
    )


def _identifier(name: str) -> str:
    """A library id made from a folder name."""
    text = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._")
    return text[:64] or "model"


def _software() -> dict[str, str]:
    packages = ("medcontext", "torch", "monai", "numpy", "SimpleITK")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
