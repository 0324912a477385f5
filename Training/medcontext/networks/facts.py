"""What a network costs on a patch, without running it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from medcontext.networks.registry import build, check_patch
from medcontext.plan import Size

_STATE_COPIES = 5
"""float32 copies of the weights in training: weights, gradients, two moments of AdamW, average (teacher)."""


@dataclass(frozen=True)
class NetworkFacts:
    """Size and cost of a network on one patch in float32.

    Memory is estimated by running the network on tensors without data and adding up what is alive at the
    worst moment. Scratch space of convolution algorithms and of the framework comes on top (a GPU context
    alone is about 0.5 GB); mixed precision takes roughly half of the activations.

    Args:
        parameters: trainable numbers.
        flops: floating-point operations of one forward pass (a multiply-add counts as two).
        state_bytes: weights, gradients, two optimiser moments and an averaged copy.
        activation_bytes: peak of a forward and backward pass beyond the state, for one patch.
        inference_memory_bytes: peak of a forward pass without gradient, weights included.
    """

    parameters: int
    flops: int
    state_bytes: int
    activation_bytes: int
    inference_memory_bytes: int

    @property
    def training_memory_bytes(self) -> int:
        """Memory to train on one patch at a time."""
        return self.training_memory(1)

    def training_memory(self, patches: int) -> int:
        """Memory to train on several patches at once; a clean and a masked view are two."""
        return self.state_bytes + patches * self.activation_bytes


def describe(
    name: str, kwargs: dict[str, Any], in_channels: int, classes: int, patch_size: Size
) -> NetworkFacts:
    """Count parameters and operations and estimate memory for a patch ``(K, J, I)`` of one image.

    Raises:
        InputError: unknown network, impossible keyword argument, or a patch that does not fit.
    """
    check_patch(name, kwargs, patch_size)
    network = build(name, in_channels, classes, **kwargs).to("meta")
    image = torch.empty(1, in_channels, *patch_size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    parameters = sum(p.numel() for p in network.parameters())
    weights = 4 * parameters
    return NetworkFacts(
        parameters=parameters,
        flops=int(counter.get_total_flops()),
        state_bytes=_STATE_COPIES * weights,
        # The gradients of the weights are part of the state already.
        activation_bytes=max(0, _training_peak(network, image) - weights),
        inference_memory_bytes=weights + _inference_peak(network, image),
    )


def encoder_activation_bytes(name: str, kwargs: dict[str, Any], in_channels: int, patch_size: Size) -> int:
    """Peak of a forward and backward pass of the encoder alone, beyond the state, for one patch ``(K, J, I)``.

    Raises:
        InputError: as :func:`describe`.
    """
    check_patch(name, kwargs, patch_size)
    network = build(name, in_channels, 1, **kwargs).to("meta").train()
    with _LiveBytes() as live:
        levels = network.encode(torch.empty(1, in_channels, *patch_size, device="meta"))
        torch.autograd.backward(levels, [torch.empty_like(level) for level in levels])
    weights = 4 * sum(p.numel() for p in network.parameters() if p.grad is not None)
    return max(0, live.peak - weights)


def _inference_peak(network: nn.Module, image: Tensor) -> int:
    network.eval()
    with torch.no_grad(), _LiveBytes() as live:
        network(image)
    return live.peak


def _training_peak(network: Any, image: Tensor) -> int:
    """Peak of everything that a step creates, the gradients of the weights included."""
    network.train()
    with _LiveBytes() as live:
        logits = network.forward_deep(image)
        torch.autograd.backward(logits, [torch.empty_like(level) for level in logits])
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Adds up the storages of the tensors that operations create, and takes off those that are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._free, key, storage.nbytes())

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._now -= size
