"""Networks in which a gradient reaches every layer at the first step."""

from __future__ import annotations

import torch
from torch import nn


def without_zeros(network: nn.Module) -> None:
    """Give tensors that are zero another value.

    nnU-Net's residual blocks begin as nothing: their last norm is zero, and what lies before it learns from the second
    step on.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.fill_(0.1)
