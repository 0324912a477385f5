"""From a case store to a model folder."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from medcontext import methods, networks
from medcontext.card_schema import (
    InferenceSpec,
    InputRange,
    InputSpec,
    ModelCard,
    Postprocess,
    Reference,
    TrainingRecord,
)
from medcontext.config import StrictModel, read_data
from medcontext.data.cache import files_hash, prepare_cases
from medcontext.data.case import Case
from medcontext.data.preprocess import PreparedCase
from medcontext.data.splits import Split, select
from medcontext.data.store import CaseStore
from medcontext.devices import Device, choose_device, choose_precision, tune_cpu
from medcontext.engine.loop import CHECKPOINT
from medcontext.engine.loop import train as run_loop
from medcontext.engine.planner import make_plan
from medcontext.engine.processes import is_main_process, main_process_first
from medcontext.engine.run import Outcome, Run
from medcontext.engine.validation import helped_by_largest_component
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io import find_images
from medcontext.library import load_model, save_model
from medcontext.plan import NetworkSpec, Plan

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, for how long.

    Attributes:
        data: case store or Decathlon folder.
        output: model folder to make; the run's log, curve and checkpoint lie in its ``training`` folder.
        method: registered method.
        network: registered network; the parent's when ``init_from`` is given and this is None.
        size: class of network width.
        preset: saved configuration of the method.
        config: JSON or YAML file with changes to the preset; unknown keys are errors.
        plan: plan file made by ``medcontext plan``; made from the data when None.
        settings: ``key=value`` changes of the method's configuration; ``plan.key=value`` changes the plan.
        init_from: parent model, by library id or folder.
        unlabelled: folder of scans without labels, or a case store whose test cases are left out.
        shots: number of labels to use; all when None.
        minutes: time budget; or
        steps: step budget; the plan's recommendation when both are None.
        seed: of shots, initial weights and all draws.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        resume: continue the run that was stopped in ``output``.
        title: title of the model; made from the data set's name when empty.
        license: licence of the weights.
        model_id: library id; made from the folder's name when empty.
    """

    data: Path
    output: Path
    method: str = "medcontext"
    network: str | None = None
    size: Literal["small", "medium", "large"] = "small"
    preset: str = "default"
    config: Path | None = None
    plan: Path | None = None
    settings: Sequence[str] = ()
    init_from: str | None = None
    unlabelled: Path | None = None
    shots: int | None = None
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    resume: bool = False
    title: str = ""
    license: str = "unspecified"
    model_id: str = ""


@dataclass(frozen=True)
class TrainResult:
    """What came out: the folder, its card, and held-out Dice per label where cases were held out."""

    folder: Path
    card: ModelCard
    dice: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Data:
    """The prepared cases of a run."""

    labelled: list[PreparedCase]
    validation: list[PreparedCase]
    unlabelled: list[PreparedCase]


def train(
    request: TrainRequest, reporter: Reporter | None = None, control: Callable[[], str | None] = lambda: None
) -> TrainResult:
    """Plan, preprocess, train and save a model.

    Args:
        request: what to do.
        reporter: told of progress, losses and warnings.
        control: asked between steps for "stop" (keep what is there), "pause" or None.

    Raises:
        InputError: data, options or the output folder do not fit.
        CancelledError: stopped; ``resume`` continues.
        TrainingDivergedError: a loss term was not finite.
    """
    reporter = reporter or Reporter()
    if not is_main_process():
        reporter = reporter.silent()
    run_folder = request.output / "training"
    _check_output(request, run_folder)
    device = choose_device(request.device, reporter)
    if device.kind == "cpu":
        tune_cpu()
    reporter.info(f"Training on {device.name}: {device.reason}", device=device.name)
    store = CaseStore.open(request.data)
    split = select(store, request.shots, request.seed)
    if len(split.train) == 1:
        reporter.warning("There is one labelled case: the model will know this scan and little else.")
    parent = load_model(request.init_from) if request.init_from else None
    config = _method_config(request)
    with main_process_first(device):
        plan = _plan(request, store, split, device, run_folder, reporter)
        data = _prepare(request, store, split, plan, reporter)
    torch.manual_seed(request.seed)
    network = networks.build(plan.network, len(plan.channels), plan.classes)
    if parent is not None:
        _start_from(network, parent.networks[0], reporter)
    outcome = run_loop(
        Run(
            folder=run_folder,
            plan=plan,
            network=network,
            method=methods.make_method(request.method, config),
            labelled=data.labelled,
            unlabelled=data.unlabelled,
            validation=data.validation,
            config=config.engine,  # type: ignore[attr-defined]
            device=device,
            precision=choose_precision(device, request.precision),
            seed=request.seed,
            steps=request.steps or (None if request.minutes else plan.steps),
            minutes=request.minutes,
            resume=request.resume,
            control=control,
        ),
        reporter,
    )
    card = _card(request, store, plan, config, data, outcome)
    if parent is not None:
        card = card.model_copy(update={"parent": Reference(id=parent.card.id, sha256=parent.sha256)})
    if not is_main_process():
        return TrainResult(request.output, card, outcome.dice)
    card = save_model(
        request.output, card, [outcome.network.state_dict()], plan, differences=network.differences
    )
    (run_folder / CHECKPOINT).unlink(missing_ok=True)
    (run_folder / PLAN_FILE).unlink(missing_ok=True)
    return TrainResult(request.output, card, outcome.dice)


def _check_output(request: TrainRequest, run_folder: Path) -> None:
    """Refuse to write over a model or over a run that was stopped."""
    if request.resume and not (run_folder / CHECKPOINT).exists():
        raise InputError(f"There is no stopped run in {request.output}.", "Start without --resume.")
    if not request.resume and (run_folder / CHECKPOINT).exists():
        raise InputError(
            f"{request.output} holds a run that was stopped.",
            "Continue it with --resume or choose another folder.",
        )
    if (request.output / "model.json").exists():
        raise InputError(
            f"{request.output} holds a model already.", "Choose another folder or remove it first."
        )
    if request.minutes is not None and request.steps is not None:
        raise InputError("Give --minutes or --steps, not both.")


def _method_config(request: TrainRequest) -> StrictModel:
    config = methods.make_config(request.method, request.preset)
    if request.config is not None:
        config = config.merged(read_data(request.config), str(request.config))
    return config.updated([s for s in request.settings if not s.startswith("plan.")])


def _plan(
    request: TrainRequest, store: CaseStore, split: Split, device: Device, folder: Path, reporter: Reporter
) -> Plan:
    """The plan of the stopped run, of the parent, or a new one; stored at once for later runs and other processes."""
    if request.resume or not is_main_process():
        return Plan.read(folder / PLAN_FILE)
    if request.plan is not None:
        plan = Plan.read(request.plan)
    else:
        plan = make_plan(
            store,
            request.network or "dynunet",
            size=request.size,
            device_name=str(device.torch_device),
            cases=[*split.train, *split.validation, *split.unlabelled],
            reporter=reporter,
        )
    if request.init_from:
        plan = _like_parent(plan, request)
    plan = plan.updated([s.removeprefix("plan.") for s in request.settings if s.startswith("plan.")])
    networks.check_patch(plan.network.name, plan.network.kwargs, plan.patch_size)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder / PLAN_FILE)
    return plan


def _like_parent(plan: Plan, request: TrainRequest) -> Plan:
    """Preprocessing and architecture of the parent, labels and batch of the new data."""
    card = load_model(str(request.init_from)).card
    if request.network not in (None, card.network.name):
        raise InputError(
            f"{request.init_from} is a {card.network.name}, not a {request.network}.", "Leave --network out."
        )
    if len(plan.channels) != len(card.input.channels):
        raise InputError(
            f"{request.init_from} takes {len(card.input.channels)} channel(s); the data have {len(plan.channels)}."
        )
    changes: dict[str, Any] = {
        "channels": card.input.channels,
        "spacing": card.input.spacing,
        "orientation": card.input.orientation,
        "patch_size": card.input.patch_size,
        "resample": card.inference.resample,
        "network": NetworkSpec(name=card.network.name, kwargs=card.network.kwargs),
    }
    return plan.model_copy(update=changes)


def _start_from(network: torch.nn.Module, parent: torch.nn.Module, reporter: Reporter) -> None:
    """Copy every tensor of the parent whose name and shape fit."""
    mine, theirs = network.state_dict(), parent.state_dict()
    fitting = {
        name: value for name, value in theirs.items() if name in mine and mine[name].shape == value.shape
    }
    network.load_state_dict(mine | fitting)
    new = [name for name in mine if name not in fitting]
    if len(fitting) < len(mine) / 2:
        raise InputError(f"Only {len(fitting)} of {len(mine)} tensors of the parent fit this network.")
    if new:
        reporter.warning(f"{len(new)} of {len(mine)} tensors start anew, for example {new[0]}.")


def _prepare(request: TrainRequest, store: CaseStore, split: Split, plan: Plan, reporter: Reporter) -> _Data:
    if request.unlabelled is not None and request.method == "supervised":
        raise InputError(
            "Method supervised cannot learn from scans without labels.", "Use --method medcontext."
        )
    unlabelled = _unlabelled_cases(request, store, split, reporter) if request.method == "medcontext" else []
    return _Data(
        prepare_cases(store, split.train, plan, labelled=True, reporter=reporter),
        prepare_cases(store, split.validation, plan, labelled=True, reporter=reporter),
        prepare_cases(store, unlabelled, plan, labelled=False, reporter=reporter),
    )


def _unlabelled_cases(
    request: TrainRequest, store: CaseStore, split: Split, reporter: Reporter
) -> list[Case]:
    """The store's own unlabelled scans and those of ``--unlabelled``; never a test or held-out case."""
    cases = list(split.unlabelled)
    folder = request.unlabelled
    if folder is None:
        return cases
    if not folder.is_dir():
        raise InputError(f"--unlabelled {folder} is not a folder.")
    if folder.resolve() == store.folder.resolve():
        return [*cases, *split.unused]
    if (folder / "dataset.json").exists():
        other = select_free(CaseStore.open(folder))
        return [*cases, *(replace(case, id=f"unlabelled_{case.id}") for case in other)]
    found = [
        Case(f"unlabelled_{source.id}", list(source.paths))
        for source in find_images(folder, len(store.channels))
    ]
    if not found:
        raise InputError(f"--unlabelled {folder} holds no image.")
    kept = _never_scored(found, [*store.cases], split)
    if len(kept) < len(found):
        reporter.info(f"{len(found) - len(kept)} scans of {folder} are used with labels or kept for scoring.")
    return [*cases, *kept]


def _never_scored(found: list[Case], known: list[Case], split: Split) -> list[Case]:
    """The cases whose image is none of the store's test, held-out, validation or training images."""
    taken = [*split.train, *split.validation, *(c for c in known if c.split == "test" or c.held_out)]
    hashes = {files_hash(case.images) for case in taken}
    return [case for case in found if files_hash(case.images) not in hashes]


def select_free(store: CaseStore) -> list[Case]:
    """Cases of another store whose images may be learnt from: neither test nor held out."""
    return [case for case in store.cases if case.split != "test" and not case.held_out]


def _card(
    request: TrainRequest, store: CaseStore, plan: Plan, config: StrictModel, data: _Data, outcome: Outcome
) -> ModelCard:
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
            unlabelled=len(data.unlabelled),
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
