"""Sums over all processes, so that a loss of a batch does not depend on how it is split."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def global_sum(values: Tensor) -> Tensor:
    """Sum over all processes, with gradient; the tensor itself in a single process.

    The backward pass sums the gradients of all processes. Every process holds the same loss, so its gradient
    comes out ``world_size`` times too large, which the mean over processes of data-parallel training undoes.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values
    return all_reduce(values)


def global_mean(values: Tensor) -> Tensor:
    """Mean of a 1-D tensor of per-sample values over all processes."""
    total = global_sum(values.sum())
    count = global_sum(values.new_tensor(float(values.numel())))
    return total / count
