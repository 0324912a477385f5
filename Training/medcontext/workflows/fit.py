"""From prepared cases to the weights of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from medcontext import methods, networks
from medcontext.card_schema import ModelCard
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.devices import Device, choose_device, choose_precision, tune_cpu
from medcontext.engine.asking import obedient
from medcontext.engine.config import CHECKPOINT, EngineConfig
from medcontext.engine.keeping import saving_model
from medcontext.engine.loop import train as run_loop
from medcontext.engine.processes import main_process_first
from medcontext.engine.ranks import is_main_process
from medcontext.engine.run import Outcome, Run
from medcontext.engine.segmentation import Segmentation
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library import LoadedEncoder, LoadedModel, save_model
from medcontext.plan import Plan
from medcontext.workflows.beforehand import method_config
from medcontext.workflows.begun import CASES_FILE, Begun
from medcontext.workflows.encoder_start import Origin, open_origin, take_over
from medcontext.workflows.heads import inherit
from medcontext.workflows.heir import Heir
from medcontext.workflows.inheritance import Inheritance
from medcontext.workflows.pretrain_request import PretrainRequest
from medcontext.workflows.request import PreparedData, TrainRequest, TrainResult
from medcontext.workflows.training_card import make_card
from medcontext.workflows.training_cases import choose_cases, prepare
from medcontext.workflows.training_plan import plan_for_child, plan_for_data

PLAN_FILE, INHERITANCE_FILE = "plan.json", "inheritance.json"


def fit(request: TrainRequest, reporter: Reporter, control: Callable[[], str | None]) -> TrainResult:
    """Train and save a model, without asking how good it is.

    Args:
        request: what to do; :func:`medcontext.workflows.beforehand.check_training` has looked at it.
        reporter: told of progress, losses and warnings.
        control: asked between steps for "stop" (keep what is there), "pause" or None.

    Raises:
        InputError: data and options do not fit.
        CancelledError: stopped; ``resume`` continues.
        TrainingDivergedError: a loss term was not finite.
    """
    run_folder = request.output / "training"
    resume, device = begin_run(request, reporter)
    preparing = obedient(reporter, control)
    store = CaseStore.open(request.data)
    begun = Begun.read(run_folder / CASES_FILE) if resume else None
    if begun is None:
        split = choose_cases(request, store, preparing)
    else:
        split = begun.split(store, request.exclude, preparing)
    parent = None if request.init_from is None else open_origin(request.init_from)
    with main_process_first(device):
        reads = resume or not is_main_process()
        plan, inheritance, data, begun = _begin(
            request, store, split, begun, device, parent, run_folder, reads, preparing
        )
    config = method_config(request, inheritance.ready)
    torch.manual_seed(request.seed)
    network = networks.build(plan.network, len(plan.channels), plan.classes)
    token = None
    if isinstance(parent, LoadedModel):
        inherit(network, parent.networks[0], inheritance.rows)
        token = None if parent.masked_network is None else parent.masked_network.token
    elif isinstance(parent, LoadedEncoder) and not resume:
        take_over(network, parent, run_folder, reporter)
    engine: EngineConfig = config.engine  # type: ignore[attr-defined]
    precision = choose_precision(device, request.precision)
    outcome = run_loop(
        Run(
            folder=run_folder,
            task=Segmentation(
                plan=plan,
                labelled=data.labelled,
                unlabelled=data.unlabelled,
                validation=data.validation,
                monitor=data.monitor,
                precision=precision,
                config=engine,
            ),
            network=network,
            method=methods.make_method(request.method, config, token),
            config=engine,
            device=device,
            precision=precision,
            seed=request.seed,
            steps=request.steps if request.has_end_of_its_own else plan.steps,
            minutes=request.minutes,
            resume=resume,
            control=control,
            until_stopped=request.until_stopped,
        ),
        reporter,
    )
    card = make_card(request, store, split, begun, plan, config, data, outcome, parent, inheritance)
    if is_main_process():
        with saving_model():
            card = _save(request, card, outcome, plan, network.differences)
    return TrainResult(request.output, card, outcome.dice)


def begin_run(request: TrainRequest | PretrainRequest, reporter: Reporter) -> tuple[bool, Device]:
    """Whether there is a checkpoint to go on from, and what to train on.

    Args:
        request: what to do.
        reporter: told of both.
    """
    resume = (request.output / "training" / CHECKPOINT).exists()
    if request.resume and not resume:
        reporter.info(f"There is no checkpoint in {request.output}: the training starts from the beginning.")
    device = choose_device(request.device, reporter)
    if device.kind == "cpu":
        tune_cpu()
    reporter.info(f"Training on {device.name}: {device.reason}", device=device.name)
    return resume, device


def _begin(
    request: TrainRequest,
    store: CaseStore,
    split: Split,
    begun: Begun | None,
    device: Device,
    parent: Origin | None,
    folder: Path,
    reads: bool,
    reporter: Reporter,
) -> tuple[Plan, Inheritance, PreparedData, Begun]:
    """Plan, labels and prepared cases.

    Args:
        request, store, split, device, parent: of the training.
        begun: what a run that goes on began with.
        folder: keeps plan, inheritance and a note of the cases, for a run that goes on and for other processes.
        reads: whether they are there already.
        reporter: told what was decided.
    """
    card = parent.card if parent is not None else None
    labels = store.labels if begun is None else begun.labels
    plan = Plan.read(folder / PLAN_FILE) if reads else None
    whole = (
        plan_for_data(request, store, split, device, card, reporter)
        if plan is None
        else plan.model_copy(update={"labels": labels.to_json()})
    )
    seen = card.seen if card is not None else ()
    data, begun = prepare(request, store, split, whole, seen, begun, reporter)
    heir = Heir(request, store, split, labels, whole, data, device, parent, reporter)
    inheritance = heir.decided(folder / INHERITANCE_FILE, reads)
    if plan is None:
        plan = plan_for_child(whole, inheritance, card, request, reporter)
        folder.mkdir(parents=True, exist_ok=True)
        begun.write(folder / CASES_FILE)
        plan.write(folder / PLAN_FILE)
    if plan.label_set != inheritance.labels:
        raise InputError("The run was begun with other labels.", "Give the same --labels, or start anew.")
    return plan, inheritance, heir.prepared(inheritance), begun


def _save(
    request: TrainRequest, card: ModelCard, outcome: Outcome, plan: Plan, differences: Sequence[str]
) -> ModelCard:
    """Write the model; what only a stopped run needs goes."""
    states, folder = [outcome.network.state_dict()], request.output / "training"
    card = save_model(
        request.output, card, states, plan, mask_token=outcome.mask_token, differences=differences
    )
    tidy(folder)
    return card


def tidy(folder: Path) -> None:
    """Remove from a run's folder what only a stopped run needs; the checkpoint first: without it nothing goes on."""
    for name in (CHECKPOINT, PLAN_FILE, INHERITANCE_FILE, CASES_FILE):
        (folder / name).unlink(missing_ok=True)
