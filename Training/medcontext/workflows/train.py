"""From a case store to a model folder, and what held-out cases say about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from medcontext import methods, networks
from medcontext.card_schema import ModelCard
from medcontext.config import StrictModel, read_data
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.devices import Device, choose_device, choose_precision, tune_cpu
from medcontext.engine.asking import obedient
from medcontext.engine.keeping import saving_model, sole_writer
from medcontext.engine.loop import CHECKPOINT
from medcontext.engine.loop import train as run_loop
from medcontext.engine.processes import is_main_process, main_process_first
from medcontext.engine.run import Outcome, Run
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library import LoadedModel, load_model, read_card, save_model
from medcontext.plan import Plan
from medcontext.workflows.begun import CASES_FILE, Begun
from medcontext.workflows.heads import inherit
from medcontext.workflows.heir import Heir
from medcontext.workflows.inheritance import Inheritance
from medcontext.workflows.leave_one_out import cases_to_leave_out, time_needed
from medcontext.workflows.request import PreparedData, TrainRequest
from medcontext.workflows.training_card import make_card
from medcontext.workflows.training_cases import choose_cases, prepare
from medcontext.workflows.training_plan import plan_for_child, plan_for_data
from medcontext.workflows.training_verdict import judged
from medcontext.workflows.verdict import Verdict

PLAN_FILE, INHERITANCE_FILE = "plan.json", "inheritance.json"


@dataclass(frozen=True)
class TrainResult:
    """What came out.

    Attributes:
        folder: of the model.
        card: of the model.
        dice: per label, on the cases that chose the weights; empty where none were set apart.
        verdict: what held-out cases say; None where nobody asked them.
    """

    folder: Path
    card: ModelCard
    dice: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None


def train(
    request: TrainRequest, reporter: Reporter | None = None, control: Callable[[], str | None] = lambda: None
) -> TrainResult:
    """Plan, preprocess, train, save a model, and compare it with its parent on held-out cases.

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
        return fit(request, reporter.silent(), control)
    if request.leave_one_out:
        reporter.info(time_needed(len(cases_to_leave_out(CaseStore.open(request.data), request)), request))
    with sole_writer(request.output / "training"):
        if request.resume and (request.output / "model.json").exists():
            reporter.info(f"The model in {request.output} is trained already.")
            _tidy(request.output / "training")  # a kill after the model was written may have left it
            trained = TrainResult(request.output, read_card(request.output))
        else:
            trained = fit(request, reporter, control)
        card, verdict = judged(request, trained.card, fit, reporter, control)
    return TrainResult(request.output, card, trained.dice, verdict)


def fit(request: TrainRequest, reporter: Reporter, control: Callable[[], str | None]) -> TrainResult:
    """Train and save a model, without asking how good it is; arguments and errors as of :func:`train`."""
    run_folder = request.output / "training"
    resume = _goes_on(request, run_folder, reporter)
    preparing = obedient(reporter, control)
    device = choose_device(request.device, reporter)
    if device.kind == "cpu":
        tune_cpu()
    reporter.info(f"Training on {device.name}: {device.reason}", device=device.name)
    store = CaseStore.open(request.data)
    begun = Begun.read(run_folder / CASES_FILE) if resume else None
    if begun is None:
        split = choose_cases(request, store, preparing)
    else:
        split = begun.split(store, request.exclude, preparing)
    parent = _parent(request, resume)
    _method_config(request, 0.0)  # what is wrong with it is said before anything is read
    with main_process_first(device):
        reads = resume or not is_main_process()
        plan, inheritance, data, begun = _begin(
            request, store, split, begun, device, parent, run_folder, reads, preparing
        )
    config = _method_config(request, inheritance.ready)
    torch.manual_seed(request.seed)
    network = networks.build(plan.network, len(plan.channels), plan.classes)
    if parent is not None:
        inherit(network, parent.networks[0], inheritance.rows)
    token = parent.masked_network.token if parent is not None and parent.masked_network is not None else None
    outcome = run_loop(
        Run(
            folder=run_folder,
            plan=plan,
            network=network,
            method=methods.make_method(request.method, config, token),
            labelled=data.labelled,
            unlabelled=data.unlabelled,
            validation=data.validation,
            config=config.engine,  # type: ignore[attr-defined]
            device=device,
            precision=choose_precision(device, request.precision),
            seed=request.seed,
            steps=request.steps if request.has_end_of_its_own else plan.steps,
            minutes=request.minutes,
            resume=resume,
            control=control,
            monitor=data.monitor,
            until_stopped=request.until_stopped,
        ),
        reporter,
    )
    card = make_card(request, store, split, begun, plan, config, data, outcome, parent, inheritance)
    if is_main_process():
        with saving_model():
            card = _save(request, card, outcome, plan, network.differences)
    return TrainResult(request.output, card, outcome.dice)


def _goes_on(request: TrainRequest, run_folder: Path, reporter: Reporter) -> bool:
    """Whether a stopped run goes on; wishes that contradict each other, and writing over a model, are refused."""
    if sum([request.minutes is not None, request.steps is not None, request.until_stopped]) > 1:
        raise InputError("Give one of --minutes, --steps and --until-stopped, not several.")
    if request.init_from is None and request.keep != "auto":
        raise InputError(
            "--keep is about the structures of a model to start from.", "Give --init-from as well."
        )
    if (request.output / "model.json").exists():
        raise InputError(
            f"{request.output} holds a model already.", "Choose another folder or remove it first."
        )
    begun = (run_folder / CHECKPOINT).exists()
    if begun and not request.resume:
        raise InputError(
            f"{request.output} holds a run that was stopped.",
            "Continue it with --resume or choose another folder.",
        )
    if request.resume and not begun:
        reporter.info(f"There is no checkpoint in {request.output}: the training starts from the beginning.")
    return begun


def _parent(request: TrainRequest, resume: bool) -> LoadedModel | None:
    """The model to start from."""
    if request.init_from is None:
        return None
    try:
        return load_model(request.init_from)
    except InputError as error:
        if not resume:
            raise
        raise InputError(
            f"The model that this run began from cannot be opened any more: {error.message}",
            "Put it back, or start from another one in another folder.",
        ) from error


def _method_config(request: TrainRequest, ready: float) -> StrictModel:
    config = methods.make_config(request.method, request.preset, ready)
    if request.config is not None:
        config = config.merged(read_data(request.config), str(request.config))
    return config.updated([s for s in request.settings if not s.startswith("plan.")])


def _begin(
    request: TrainRequest,
    store: CaseStore,
    split: Split,
    begun: Begun | None,
    device: Device,
    parent: LoadedModel | None,
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
    _tidy(folder)
    return card


def _tidy(folder: Path) -> None:
    """Remove what only a stopped run needs; the checkpoint first, for without it nothing goes on."""
    for name in (CHECKPOINT, PLAN_FILE, INHERITANCE_FILE, CASES_FILE):
        (folder / name).unlink(missing_ok=True)
