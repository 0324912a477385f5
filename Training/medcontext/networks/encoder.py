"""The encoder of a network: which tensors it is, and how it moves from one network into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medcontext.errors import InputError
from medcontext.networks.base import SegmentationNetwork

NAMED = 3
"""So many tensors are named in a sentence."""

LEAST_SHARE = 0.5
"""An encoder of which less fits is of another network: what is left of it is no start."""


@dataclass(frozen=True)
class TransferReport:
    """What of some weights fits the encoder of a network.

    Attributes:
        matched: names of the tensors that fit.
        unmatched: names of the others among the weights, each with the reason.
        missing: tensors of the network's encoder that are not among the weights; they start anew.
        tensors: how many the network's encoder has.
    """

    matched: tuple[str, ...]
    unmatched: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    tensors: int

    @property
    def share(self) -> float:
        """Share of the network's encoder that fits, 0..1, counted in tensors."""
        return len(self.matched) / self.tensors

    def sentence(self, source: str) -> str:
        """What fits and what does not, for a person; ``source`` is what the weights are called."""
        parts = [f"{len(self.matched)} of {self.tensors} tensors of the encoder come from {source}"]
        if self.missing:
            parts.append(f"{len(self.missing)} are not in it and start anew ({_some(self.missing)})")
        if self.unmatched:
            named = [f"{name}: {reason}" for name, reason in self.unmatched]
            parts.append(f"{len(self.unmatched)} in it do not fit ({_some(named)})")
        return "; ".join(parts) + "."

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "matched": list(self.matched),
            "unmatched": [{"name": name, "reason": reason} for name, reason in self.unmatched],
            "missing": list(self.missing),
            "tensors": self.tensors,
            "share": self.share,
        }


def encoder_names(network: SegmentationNetwork) -> list[str]:
    """Names, as in ``state_dict``, of all that ``encode`` computes with; nothing of the decoder.

    They are the parameters that get a gradient from ``encode``, and the buffers of the modules that it calls.
    Nothing is computed: a copy without data goes through ``encode``.
    """
    shell = _without_data(network)
    called: set[nn.Module] = set()
    for module in shell.modules():
        module.register_forward_pre_hook(lambda ran, _: called.add(ran))
    torch.autograd.backward([level.sum() for level in shell.encode(_smallest_image(network))])
    used = {name for name, value in shell.named_parameters() if value.grad is not None}
    for place, module in shell.named_modules():
        if module in called:
            used |= {f"{place}.{name}".lstrip(".") for name, _ in module.named_buffers(recurse=False)}
    return [name for name in network.state_dict() if name in used]


def encoder_state(network: SegmentationNetwork) -> dict[str, Tensor]:
    """The tensors of :func:`encoder_names`, sharing memory with the network."""
    state = network.state_dict()
    return {name: state[name] for name in encoder_names(network)}


def tap_channels(network: SegmentationNetwork) -> tuple[int, ...]:
    """Channels of each feature map that ``encode`` gives, finest first."""
    with torch.no_grad():
        features = _without_data(network).encode(_smallest_image(network))
    return tuple(level.shape[1] for level in features)


def compare(network: SegmentationNetwork, state: Mapping[str, Tensor]) -> TransferReport:
    """What of some weights fits the encoder of a network, which stays as it is."""
    mine = encoder_state(network)
    reasons = {name: _unfit(value, mine.get(name)) for name, value in state.items()}
    return TransferReport(
        tuple(name for name in mine if reasons.get(name) == ""),
        tuple((name, reason) for name, reason in reasons.items() if reason),
        tuple(name for name in mine if name not in state),
        len(mine),
    )


def load_encoder(
    network: SegmentationNetwork, state: Mapping[str, Tensor], source: str, least: float = LEAST_SHARE
) -> TransferReport:
    """Copy weights into the encoder of a network; what does not fit, and the decoder, stay as they are.

    Args:
        network: is changed.
        state: tensors by their names in such a network.
        source: where they come from, with the name of its network, for the sentence of a refusal.
        least: share of the encoder's tensors that must fit.

    Raises:
        InputError: fewer fit; nothing was changed.
    """
    report = compare(network, state)
    if report.share < least:
        raise InputError(
            f"Only {len(report.matched)} of {report.tensors} tensors of the encoder of this {network.name} are "
            f"in {source}{_first(report)}.",
            "Start from an encoder of the same network, with the same size.",
        )
    network.load_state_dict({name: state[name] for name in report.matched}, strict=False)
    return report


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _unfit(given: Tensor, mine: Tensor | None) -> str:
    """Why a tensor cannot be taken over; empty where it can, at whatever precision its numbers are stored."""
    if mine is None:
        return "not in the encoder of this network"
    if given.shape != mine.shape:
        return f"shape {tuple(given.shape)} instead of {tuple(mine.shape)}"
    if given.is_floating_point() != mine.is_floating_point():
        return f"{given.dtype} instead of {mine.dtype}".replace("torch.", "")
    return ""


def _first(report: TransferReport) -> str:
    """The first tensor that does not fit, in words."""
    if report.unmatched:
        name, reason = report.unmatched[0]
        return f"; the first that does not fit is {name}: {reason}"
    return f"; the first that is missing is {report.missing[0]}"


def _without_data(network: SegmentationNetwork) -> SegmentationNetwork:
    """A copy whose tensors have shapes and no memory, to be run without cost."""
    memo: dict[int, Any] = {
        id(value): nn.Parameter(torch.empty_like(value, device="meta")) for value in network.parameters()
    }
    memo |= {id(value): torch.empty_like(value, device="meta") for value in network.buffers()}
    return deepcopy(network, memo).eval()


def _smallest_image(network: SegmentationNetwork) -> Tensor:
    return torch.empty(1, network.in_channels, *network.patch_rule.round_up((1, 1, 1)), device="meta")
