"""The optimiser, fused where the device has it."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch import nn

from medcontext.engine.config import OptimiserConfig


def make_optimiser(module: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over all trainable parameters; no weight decay on biases, norms and tokens."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = parameters[0].device.type in ("cpu", "cuda")
    if config.name == "sgd":
        nesterov = config.nesterov and config.momentum > 0  # torch refuses to look ahead along nothing
        return _SGD(groups, config.learning_rate, momentum=config.momentum, nesterov=nesterov, fused=fused)
    return _AdamW(groups, config.learning_rate, amsgrad=config.amsgrad, fused=fused)


class _Uncompiled(torch.optim.Optimizer):
    """Methods of torch's optimisers without their wrappers, which are there for code that is compiled.

    Nothing is compiled here, and the wrappers load torch's compiler only to tell it to stay away: 1.7 seconds of CPU
    at the beginning of each training. Where a version of torch has no wrapper, the method is taken as it is.
    """

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class _SGD(_Uncompiled, torch.optim.SGD):
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


class _AdamW(_Uncompiled, torch.optim.AdamW):
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
