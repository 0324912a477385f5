"""The card of a model that was just trained."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from medcontext.card_schema import (
    InferenceSpec,
    InputSpec,
    ModelCard,
    Postprocess,
    Reference,
    TrainingRecord,
)
from medcontext.config import StrictModel
from medcontext.data.case import Case
from medcontext.data.reading import voxel_hash
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.engine.run import Outcome
from medcontext.engine.validation import helped_by_largest_component
from medcontext.errors import InputError
from medcontext.library.folder import identifier
from medcontext.plan import Plan
from medcontext.workflows.begun import Begun
from medcontext.workflows.encoder_start import Origin
from medcontext.workflows.inheritance import Inheritance
from medcontext.workflows.request import PreparedData, TrainRequest

UNSPECIFIED = "unspecified"
"""Licence of a model of which nobody said one."""


def make_card(
    request: TrainRequest,
    store: CaseStore,
    split: Split,
    begun: Begun,
    plan: Plan,
    config: StrictModel,
    data: PreparedData,
    outcome: Outcome,
    parent: Origin | None,
    inheritance: Inheritance,
) -> ModelCard:
    """The card of a trained model: everything needed to use it and where it comes from."""
    largest = helped_by_largest_component(outcome.network, data.validation, plan)
    return ModelCard(
        id=request.model_id or identifier(request.output.name),
        title=request.title or _title(store, inheritance, parent),
        parent=None if parent is None else Reference(id=parent.card.id, sha256=parent.sha256),
        method=request.method,
        network=plan.network,
        input=InputSpec.of(plan),
        labels=plan.labels,
        allowed_flips=plan.allowed_flips,
        flip_pairs=plan.flip_pairs,
        inference=InferenceSpec(
            resample=plan.resample,
            flips=plan.allowed_flips,
            postprocess=Postprocess(largest_component=[*largest, *_cleaned_by_parent(parent, inheritance)]),
            predictor=getattr(config, "predictor", "ema"),
        ),
        training=TrainingRecord(
            case_hashes=_file_hashes(data, begun),
            voxel_hashes=_voxel_hashes(store, [*split.train, *split.validation], begun),
            unlabelled_hashes=_unlabelled_hashes(data, begun, outcome),
            inherited_hashes=[] if parent is None else sorted(parent.card.seen),
            shots=len(data.labelled) + len(data.validation),
            unlabelled=outcome.unlabelled,
            seed=request.seed,
            steps=outcome.steps,
            minutes=round(outcome.minutes, 2),
            metrics={"held_out_dice": outcome.dice} if outcome.dice else {},
            config=config.model_dump(mode="json"),
            software=software(),
        ),
        license=parent.card.license
        if parent is not None and request.license == UNSPECIFIED
        else request.license,
    )


def _title(store: CaseStore, inheritance: Inheritance, parent: Origin | None) -> str:
    """The data set, what was learnt from it, and from which model it started."""
    labels = list(inheritance.labels)[: len(inheritance.learnt)]
    title = f"{store.name}: {', '.join(label.name for label in labels)}"
    return title if parent is None else f"{title} (from {parent.card.id})"


def _cleaned_by_parent(parent: Origin | None, inheritance: Inheritance) -> list[int]:
    """Label values of what is kept of which the parent keeps only the largest piece."""
    if parent is None:
        return []
    cleaned = set(parent.card.inference.postprocess.largest_component)
    values = parent.card.label_set.values
    return [
        inheritance.labels.values[child - 1]
        for place, child in inheritance.kept.items()
        if values[place - 1] in cleaned
    ]


def _file_hashes(data: PreparedData, begun: Begun) -> list[str]:
    """Of the images learnt from with labels, those that a resumed run left out later among them."""
    now = [case.content_hash for case in (*data.labelled, *data.validation)]
    return list(dict.fromkeys([*now, *(case.image for case in begun.labelled)]))


def _voxel_hashes(store: CaseStore, cases: Sequence[Case], begun: Begun) -> list[str]:
    """Hashes of the voxel values of the same images: their copies are known again in whatever file."""
    hashes = []
    used = {*(case.id for case in cases), *(case.id for case in begun.labelled)}
    for case in (case for case in store.cases if case.id in used):
        with suppress(InputError):  # a drive that vanished at the end of a training must not cost the model
            hashes.append(case.voxels or voxel_hash(store.read_image(case)))
    return list(dict.fromkeys([*hashes, *(case.voxels for case in begun.labelled if case.voxels)]))


def _unlabelled_hashes(data: PreparedData, begun: Begun, outcome: Outcome) -> list[str]:
    """Of files and of voxel values, of the scans that were learnt from without labels."""
    if data.unlabelled and not outcome.unlabelled:  # the run was too short for them
        return []
    hashes = [text for case in data.unlabelled for text in (case.content_hash, case.voxels)]
    hashes += [text for case in begun.unlabelled for text in (case.image, case.voxels)]
    return sorted({*hashes} - {""})


def software() -> dict[str, str]:
    packages = ("medcontext", "torch", "monai", "numpy", "SimpleITK")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
