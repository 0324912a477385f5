"""The optimiser, fused where the device has it."""

from __future__ import annotations

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
        return torch.optim.SGD(
            groups, config.learning_rate, momentum=config.momentum, nesterov=nesterov, fused=fused
        )
    return torch.optim.AdamW(groups, config.learning_rate, amsgrad=config.amsgrad, fused=fused)
