"""How a network runs fastest on this machine: measured on its own windows, kept only if the labels stay."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medcontext.devices import Device, Precision, choose_precision, is_out_of_memory, torch_dtype
from medcontext.inference.forward import Forward, network_forward
from medcontext.inference.labelling import ScoreMeaning

MINIMUM_CALLS = 12
"""Network calls from which measuring pays: it costs about 2.6 calls in fp32 and saves half of the rest."""

SMALLEST_DICE = 0.99
"""Overlap of foreground labels with the reference that a faster form must keep on the window measured."""

LARGEST_PROBABILITY_CHANGE = 0.01
"""Mean change of probabilities it may make; catches what Dice cannot see on windows without foreground."""

BATCHES = (2, 4)
BATCH_GAIN = 0.95
"""A larger batch is kept if a window takes less than this share of the time."""

_measured: dict[tuple[str, ...], ExecutionPlan] = {}


@dataclass(frozen=True)
class ExecutionPlan:
    """How windows are computed.

    Attributes:
        precision: of convolutions and products; sums stay float32.
        channels_last: weights cast to ``precision``, channels stored last, instance norm as group norm.
        batch: windows in one call.
    """

    precision: Precision = "fp32"
    channels_last: bool = False
    batch: int = 1


def default_plan(device: Device, wanted: str = "auto") -> ExecutionPlan:
    """The plan without measurement.

    On the CPU ``auto`` stays in fp32 here: the few windows for which nothing is measured take little time,
    and the faster forms are used only after their labels were compared.

    Raises:
        InputError: the device has no such precision.
    """
    if wanted == "auto" and device.kind == "cpu":
        return ExecutionPlan()
    return ExecutionPlan(choose_precision(device, wanted))


def planned_forward(network: nn.Module, plan: ExecutionPlan) -> Forward:
    """The scores of ``network`` computed as planned."""
    if not plan.channels_last:
        return network_forward(network, plan.precision)
    dtype = torch_dtype(plan.precision)
    lean = _with_group_norm(copy.deepcopy(network)).to(dtype)
    lean.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(windows: Tensor) -> Tensor:
        scores: Tensor = lean(windows.to(dtype=dtype, memory_format=torch.channels_last_3d))
        return scores.float()

    return forward


def _with_group_norm(network: nn.Module) -> nn.Module:
    """Replace instance norms, which lose the channels-last layout, by group norms of one channel each."""
    for name, child in network.named_children():
        if isinstance(child, nn.InstanceNorm3d) and not child.track_running_stats:
            norm = nn.GroupNorm(child.num_features, child.num_features, child.eps, child.affine)
            if child.affine:
                norm.weight, norm.bias = child.weight, child.bias
            setattr(network, name, norm.train(child.training))
        else:
            _with_group_norm(child)
    return network


def measured_plan(
    network: nn.Module,
    meaning: ScoreMeaning,
    device: Device,
    window: Tensor,
    wanted: str = "auto",
    calls: int = 0,
) -> ExecutionPlan:
    """The fastest plan on ``window`` whose labels agree with the reference; remembered for these weights.

    Args:
        network: on the device, in evaluation mode.
        meaning: what its scores stand for.
        device: where it runs.
        window: ``(C, *patch)`` of the image at hand, on the device.
        wanted: precision asked for; with ``auto`` the reference is the first of :func:`candidates`.
        calls: network calls that this image needs; the default plan is taken below :data:`MINIMUM_CALLS`.

    Raises:
        InputError: the device has no such precision.
    """
    plans = candidates(device, wanted)
    if calls < MINIMUM_CALLS or len(plans) == 1:
        return default_plan(device, wanted)
    key = (_hash(network), str(device.torch_device), torch.__version__, str(tuple(window.shape)), wanted)
    if key not in _measured:
        _measured[key] = _measure(network, meaning, device, window, plans)
    return _measured[key]


def candidates(device: Device, wanted: str = "auto") -> list[ExecutionPlan]:
    """Plans worth measuring; the first is the reference that the others must agree with."""
    precision = choose_precision(device, wanted)
    reference = precision if wanted != "auto" else "fp32"
    plans = [ExecutionPlan(reference), ExecutionPlan(precision), ExecutionPlan(precision, channels_last=True)]
    return list(dict.fromkeys(plans)) if device.kind != "mps" else plans[:1]


def _measure(
    network: nn.Module, meaning: ScoreMeaning, device: Device, window: Tensor, plans: list[ExecutionPlan]
) -> ExecutionPlan:
    best, best_seconds, reference = plans[0], float("inf"), None
    for plan in plans:
        # One call of the slowest form is enough on a CPU; others are warmed up first.
        timed = _timed(planned_forward(network, plan), window[None], device, warm=plan is not plans[0])
        if timed is None:
            continue
        scores, seconds = timed
        if reference is None:
            reference = scores
        elif not _agrees(meaning, reference[0], scores[0]):
            continue
        if seconds < best_seconds:
            best, best_seconds = plan, seconds
    return _with_best_batch(network, device, window, best, best_seconds) if device.kind == "cuda" else best


def _with_best_batch(
    network: nn.Module, device: Device, window: Tensor, plan: ExecutionPlan, seconds: float
) -> ExecutionPlan:
    """The plan with the batch that takes least time a window."""
    forward = planned_forward(network, plan)
    for batch in BATCHES:
        timed = _timed(forward, window.expand(batch, *window.shape), device)
        if timed is None or timed[1] / batch > BATCH_GAIN * seconds:
            break
        plan, seconds = ExecutionPlan(plan.precision, plan.channels_last, batch), timed[1] / batch
    return plan


def _timed(
    forward: Forward, windows: Tensor, device: Device, *, warm: bool = True
) -> tuple[Tensor, float] | None:
    """Scores and seconds of one call; None where the network cannot run this way."""
    try:
        if warm or device.kind != "cpu":
            forward(windows)
        wait = _waiter(device)
        wait()
        begin = time.perf_counter()
        scores = forward(windows)
        wait()
        return scores, time.perf_counter() - begin
    except (RuntimeError, TypeError) as error:
        # Networks may hold float32 constants or layers without such a kernel: then this form is no candidate.
        # The reference form has no such excuse, and memory that ran out is dealt with by the caller.
        if is_out_of_memory(error) or not warm:
            raise
        return None


def _waiter(device: Device) -> Callable[[], None]:
    if device.kind == "cuda":
        return lambda: torch.cuda.synchronize(device.torch_device)
    return lambda: None


def _agrees(meaning: ScoreMeaning, reference: Tensor, scores: Tensor) -> bool:
    """Whether scores ``(channels, ...)`` keep the labels and probabilities of the reference."""
    expected, given = meaning.classes(reference, 0), meaning.classes(scores, 0)
    foreground = int((expected > 0).sum() + (given > 0).sum())
    common = int(((expected == given) & (expected > 0)).sum())
    if foreground and 2 * common / foreground < SMALLEST_DICE:
        return False
    change = meaning.probabilities(reference.movedim(0, -1)) - meaning.probabilities(scores.movedim(0, -1))
    return float(change.abs().mean()) <= LARGEST_PROBABILITY_CHANGE


def _hash(network: nn.Module) -> str:
    digest = hashlib.blake2b(type(network).__name__.encode(), digest_size=16)
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
