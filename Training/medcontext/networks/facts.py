"""What a network costs on a patch, without running it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

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
    inference = _inference(network, image)
    parameters = sum(p.numel() for p in network.parameters())
    weights = 4 * parameters
    return NetworkFacts(
        parameters=parameters,
        flops=inference.flops,
        state_bytes=_STATE_COPIES * weights,
        # The gradients of the weights are part of the state already.
        activation_bytes=max(0, _training_peak(network, image) - weights),
        inference_memory_bytes=weights + inference.peak,
    )


def encoder_activation_bytes(name: str, kwargs: dict[str, Any], in_channels: int, patch_size: Size) -> int:
    """Peak of a forward and backward pass of the encoder alone, beyond the state, for one patch ``(K, J, I)``.

    Raises:
        InputError: as :func:`describe`.
    """
    check_patch(name, kwargs, patch_size)
    network = build(name, in_channels, 1, **kwargs).to("meta").train()
    with _Costs() as costs:
        levels = network.encode(torch.empty(1, in_channels, *patch_size, device="meta"))
        torch.autograd.backward(levels, [torch.empty_like(level) for level in levels])
    weights = 4 * sum(p.numel() for p in network.parameters() if p.grad is not None)
    return max(0, costs.peak - weights)


def _inference(network: nn.Module, image: Tensor) -> _Costs:
    network.eval()
    with torch.no_grad(), _Costs() as costs:
        network(image)
    return costs


def _training_peak(network: Any, image: Tensor) -> int:
    """Peak of everything that a step creates, the gradients of the weights included."""
    network.train()
    with _Costs() as costs:
        logits = network.forward_deep(image)
        torch.autograd.backward(logits, [torch.empty_like(level) for level in logits])
    return costs.peak


def _empty_norm(image: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Of the size that a batch or instance norm answers with: the image, and its mean and spread by channel."""
    return torch.empty_like(image), image.new_empty(image.shape[1]), image.new_empty(image.shape[1])


def _empty_sum(one: Tensor, other: Tensor, **_: Any) -> Tensor:
    if one.shape == other.shape:
        return torch.empty_like(one, dtype=torch.result_type(one, other))
    shape = torch.broadcast_shapes(one.shape, other.shape)
    return one.new_empty(shape, dtype=torch.result_type(one, other))


def _empty_joined(parts: list[Tensor], axis: int = 0) -> Tensor:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return parts[0].new_empty(shape)


# Layers of most networks for which torch, given tensors without data, would load its compiler: 1.7 seconds of CPU.
_EMPTY = {
    torch.ops.aten.add.Tensor: _empty_sum,
    torch.ops.aten.native_batch_norm.default: _empty_norm,
    torch.ops.aten.native_batch_norm_backward.default: lambda gradient, *_: _empty_norm(gradient),
    torch.ops.aten.cat.default: _empty_joined,
    torch.ops.aten.leaky_relu_.default: lambda image, *_: image,
    torch.ops.aten.leaky_relu_backward.default: lambda gradient, *_: torch.empty_like(gradient),
}


class _Costs(TorchDispatchMode):
    """What operations cost.

    Attributes:
        flops: floating-point operations, of those that torch knows a formula for: products and convolutions.
        peak: bytes of the tensors that operations created, at the worst moment; those that are freed are taken off.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.peak = 0
        self._now = 0
        self._seen: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else torch loads its compiler, which takes 1.7 seconds of CPU, only to keep it away from here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        compute = _EMPTY.get(func, func)
        result = compute(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
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
