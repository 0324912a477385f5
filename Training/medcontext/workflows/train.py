"""From a case store to a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medcontext import methods, networks
from medcontext.card_schema import (
    ModelCard,
    Reference,
)
from medcontext.config import StrictModel, read_data
from medcontext.data.cache import prepare_cases
from medcontext.data.splits import Split, select
from medcontext.data.store import CaseStore
from medcontext.devices import Device, choose_device, choose_precision, tune_cpu
from medcontext.engine.loop import CHECKPOINT
from medcontext.engine.loop import train as run_loop
from medcontext.engine.planner import make_plan
from medcontext.engine.processes import is_main_process, main_process_first
from medcontext.engine.run import Run
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library import load_model, save_model
from medcontext.plan import NetworkSpec, Plan
from medcontext.workflows.request import PreparedData, TrainRequest
from medcontext.workflows.training_card import make_card
from medcontext.workflows.unlabelled import unlabelled_cases

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class TrainResult:
    """What came out: the folder, its card, and held-out Dice per label where cases were held out."""

    folder: Path
    card: ModelCard
    dice: dict[str, float] = field(default_factory=dict)


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
    card = make_card(request, store, plan, config, data, outcome)
    if parent is not None:
        card = card.model_copy(update={"parent": Reference(id=parent.card.id, sha256=parent.sha256)})
    if not is_main_process():
        return TrainResult(request.output, card, outcome.dice)
    card = save_model(
        request.output,
        card,
        [outcome.network.state_dict()],
        plan,
        mask_token=outcome.mask_token,
        differences=network.differences,
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


def _prepare(
    request: TrainRequest, store: CaseStore, split: Split, plan: Plan, reporter: Reporter
) -> PreparedData:
    if request.unlabelled is not None and request.method == "supervised":
        raise InputError(
            "Method supervised cannot learn from scans without labels.", "Use --method medcontext."
        )
    unlabelled = (
        unlabelled_cases(request.unlabelled, store, split, reporter) if request.method == "medcontext" else []
    )
    return PreparedData(
        prepare_cases(store, split.train, plan, labelled=True, reporter=reporter),
        prepare_cases(store, split.validation, plan, labelled=True, reporter=reporter),
        prepare_cases(store, unlabelled, plan, labelled=False, reporter=reporter),
    )
