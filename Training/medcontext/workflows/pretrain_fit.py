"""From the scans that were found to the weights of an encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from medcontext import methods, networks
from medcontext.card_schema import ModelCard
from medcontext.data.pool import ScanPool
from medcontext.data.reading import shortened
from medcontext.data.scans import Scans, pooled_scans
from medcontext.devices import Device, choose_precision
from medcontext.engine.asking import obedient
from medcontext.engine.keeping import saving_model
from medcontext.engine.loop import train as run_loop
from medcontext.engine.pretext_config import PretextConfig
from medcontext.engine.pretext_task import PretextTask
from medcontext.engine.processes import main_process_first
from medcontext.engine.ranks import is_main_process, process_count
from medcontext.engine.run import Outcome, Run
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library import LoadedEncoder, load_encoder_folder, save_encoder
from medcontext.networks import SegmentationNetwork
from medcontext.networks.encoder import load_encoder
from medcontext.networks.sizes import text
from medcontext.plan import Plan
from medcontext.workflows.beforehand import method_config
from medcontext.workflows.fit import PLAN_FILE, begin_run, tidy
from medcontext.workflows.pretrain_card import encoder_card
from medcontext.workflows.pretrain_plan import plan_pretraining, recipe_of
from medcontext.workflows.pretrain_request import PretrainRequest, PretrainResult
from medcontext.workflows.pretrain_scans import SCANS_FILE, Chosen, choose_scans
from medcontext.workflows.pretrain_signals import doubts, last_signals, sentence
from medcontext.workflows.pretrain_start import start_of

__all__ = ["fit", "result_of", "tidy"]

SIGNALS, WATCHED, HELD_OUT, LEFT_OUT = "signals", "watched_scans", "held_out_scans", "scans_left_out"
"""Names in the metrics of a card."""


@dataclass(frozen=True)
class _Begun:
    """What a pre-training works with from its first to its last step, resumed or not.

    Attributes:
        plan: spacing, network, crop and volumes a step.
        chosen: its scans.
        apart: hashes of images that must not be learnt from.
    """

    plan: Plan
    chosen: Chosen
    apart: frozenset[str]

    def write(self, folder: Path) -> None:
        """Keep plan and scans for a run that goes on, and for other processes."""
        folder.mkdir(parents=True, exist_ok=True)
        self.plan.write(folder / PLAN_FILE)
        self.chosen.write(folder / SCANS_FILE)


def fit(
    request: PretrainRequest, found: Scans | None, reporter: Reporter, control: Callable[[], str | None]
) -> PretrainResult:
    """Pre-train and save an encoder.

    Args:
        request: what to do; :func:`medcontext.workflows.pretrain_beforehand.check_pretraining` has looked at it.
        found: what that function found; None where a run goes on.
        reporter: told of progress, losses, signals and warnings.
        control: asked between steps for "stop" (keep what is there), "pause" or None.

    Raises:
        InputError: scans and options do not fit.
        CancelledError: stopped; ``resume`` continues.
        TrainingDivergedError: a loss term was not finite.
    """
    folder = request.output / "training"
    resume, device = begin_run(request, reporter)
    config = cast(PretextConfig, method_config(request))
    parent = None if request.init_from is None else load_encoder_folder(request.init_from)
    with main_process_first(device):
        begun = _begin(request, config, found, device, resume, obedient(reporter, control))
        network = _network(request, begun.plan, parent, reporter)
        if is_main_process() and not resume:
            begun.write(folder)
    task = _task(request, config, begun, reporter)
    reporter.info(_described(begun, config))
    outcome = run_loop(_run(request, config, task, network, device, resume, control), reporter)
    if process_count() > 1 and outcome.steps * task.plan.batch_size >= len(task.pool):
        task.pool.ready()  # what other processes could not use is known to them alone
    task.pool.tell()
    reporter.info(task.waiting.sentence)
    metrics = _metrics(folder, begun.chosen, task.pool)
    card = encoder_card(request, begun.plan, config, task.pool, outcome, metrics, parent)
    if is_main_process():
        with saving_model():
            card = _save(request, card, outcome, begun, task.pool)
    return _told(request, card, reporter)


def result_of(request: PretrainRequest, card: ModelCard) -> PretrainResult:
    """What came out, as the card has it."""
    metrics = card.training.metrics
    held_out = metrics.get(HELD_OUT, 0)
    signals = metrics.get(SIGNALS, {})
    told = sentence(signals, held_out or metrics.get(WATCHED, 0), held_out > 0)
    return PretrainResult(request.output, card, signals, told)


def _told(request: PretrainRequest, card: ModelCard, reporter: Reporter) -> PretrainResult:
    """The same; ``reporter`` is told why it may be of no use."""
    result = result_of(request, card)
    for doubt in doubts(result.signals):
        reporter.warning(doubt)
    return result


def _begin(
    request: PretrainRequest,
    config: PretextConfig,
    found: Scans | None,
    device: Device,
    resume: bool,
    reporter: Reporter,
) -> _Begun:
    """Plan and scans: new in the first process of a new run, as they were written down in all others."""
    folder = request.output / "training"
    if resume or not is_main_process():
        plan, chosen = Plan.read(folder / PLAN_FILE), Chosen.read(folder / SCANS_FILE)
        return _Begun(plan, chosen, _apart_now(request, plan, chosen, reporter) if resume else _apart(found))
    if found is None:
        raise InputError(f"The checkpoint of {request.output} is gone.", "Start again without --resume.")
    start, device_name = start_of(request), str(device.torch_device)
    plan = plan_pretraining(request, config, start, found.scans, found.channels, device_name, reporter)
    chosen = choose_scans(found.scans, recipe_of(plan, config), found.apart, reporter)
    return _Begun(plan, chosen, found.apart)


def _apart(found: Scans | None) -> frozenset[str]:
    return frozenset() if found is None else found.apart


def _apart_now(request: PretrainRequest, plan: Plan, chosen: Chosen, reporter: Reporter) -> frozenset[str]:
    """What must not be learnt from by now; the places may be gone: a run knows the scans that it began with."""
    try:
        now = pooled_scans(request.data, request.exclude, channels=len(plan.channels))
    except InputError:
        return frozenset()
    known = {scan.id for scan in (*chosen.learnt, *chosen.watched)}
    later = [scan.id for scan in now.scans if scan.id not in known]
    if later:
        reporter.info(f"Added since this run began, and not used by it: {shortened(later, 4)}.")
    return now.apart


def _task(request: PretrainRequest, config: PretextConfig, begun: _Begun, reporter: Reporter) -> PretextTask:
    recipe, chosen = recipe_of(begun.plan, config), begun.chosen
    watched = ScanPool(chosen.watched, recipe, in_use=begun.apart, reporter=reporter)
    watched.ready()
    apart = watched.voxels if chosen.held_out else frozenset[str]()  # nor from copies in another format
    return PretextTask(
        plan=begun.plan,
        pool=ScanPool(chosen.learnt, recipe, in_use=begun.apart | apart, reporter=reporter),
        watched=watched,
        held_out=chosen.held_out,
        method=methods.make_pretraining(request.method, config),
    )


def _run(
    request: PretrainRequest,
    config: PretextConfig,
    task: PretextTask,
    network: SegmentationNetwork,
    device: Device,
    resume: bool,
    control: Callable[[], str | None],
) -> Run:
    return Run(
        folder=request.output / "training",
        task=task,
        network=network,
        method=task.method,
        config=config.engine,
        device=device,
        precision=choose_precision(device, request.precision),
        seed=request.seed,
        steps=request.steps if request.has_end_of_its_own else task.plan.steps,
        minutes=request.minutes,
        resume=resume,
        control=control,
        until_stopped=request.until_stopped,
        settings=config.model_dump_json(exclude={"engine"}),
    )


def _described(begun: _Begun, config: PretextConfig) -> str:
    """What is learnt from what, in a sentence."""
    plan, chosen = begun.plan, begun.chosen
    spacing = " x ".join(f"{mm:.3g}" for mm in plan.spacing)
    apart = f" ({len(chosen.watched)} held out)" if chosen.held_out else ""
    return (
        f"{plan.network.name} learns from {len(chosen.learnt)} scans{apart}; each step takes {config.crops_of_a_scan} "
        f"crops of {text(plan.patch_size)} voxels of {spacing} mm (K x J x I) from each of {plan.batch_size} scans."
    )


def _network(
    request: PretrainRequest, plan: Plan, parent: LoadedEncoder | None, reporter: Reporter
) -> SegmentationNetwork:
    """The network, with the parent's encoder where there is one.

    Raises:
        InputError: less than half of that encoder fits.
    """
    torch.manual_seed(request.seed)
    network = networks.build(plan.network, len(plan.channels), plan.classes)
    if parent is not None:
        report = load_encoder(network, parent.state, parent.source)
        reporter.info(report.sentence(parent.source), transfer=report.to_json())
    return network


def _metrics(folder: Path, chosen: Chosen, pool: ScanPool) -> dict[str, Any]:
    """What the card says of the outcome."""
    return {
        WATCHED: len(chosen.watched),
        HELD_OUT: len(chosen.watched) if chosen.held_out else 0,
        SIGNALS: last_signals(folder / "log.jsonl"),
        LEFT_OUT: pool.left_out,
    }


def _save(
    request: PretrainRequest, card: ModelCard, outcome: Outcome, begun: _Begun, pool: ScanPool
) -> ModelCard:
    """Write the encoder; what only a stopped run needs goes."""
    folder = request.output / "training"
    begun.chosen.write(folder / SCANS_FILE, pool.left_out)
    network = cast(SegmentationNetwork, outcome.network)
    card = save_encoder(request.output, card, network, begun.plan)
    tidy(folder)
    return card
