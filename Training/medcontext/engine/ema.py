"""Exponential moving average of a network's weights."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class AveragedNetwork:
    """A frozen copy of a network in eval mode whose weights follow the original, in fp32.

    ``theta_t <- m theta_t + (1 - m) theta_s`` for parameters; buffers are copied.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = deepcopy(network).float().eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Move towards ``source``; two calls over all tensors at once."""
        averaged: list[Tensor] = list(self.network.parameters())
        current = [parameter.detach().float() for parameter in source.parameters()]
        torch._foreach_lerp_(averaged, current, 1 - momentum)
        buffers = list(self.network.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(source.buffers()))

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore averaged weights."""
        self.network.load_state_dict(state)
