"""Networks that are asked about what they do not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from medcontext.devices import Precision, torch_dtype
from medcontext.inference.forward import Forward

Masked = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""From windows and a bool mask ``(B, K, J, I)``, True where hidden, to logits, finest first."""


def with_hidden_input(network: nn.Module) -> Masked:
    """``network`` with hidden voxels set to zero, the mean of a normalised image."""

    def masked(windows: Tensor, mask: Tensor) -> Sequence[Tensor]:
        return [network(windows.masked_fill(mask.unsqueeze(1), 0))]

    return masked


def with_mask_channel(masked: Masked) -> Masked:
    """``masked`` for windows whose last channel says what is hidden in them, beside what the mask hides."""

    def blind(windows: Tensor, mask: Tensor) -> Sequence[Tensor]:
        return masked(windows[:, :-1], mask | (windows[:, -1] > 0.5))

    return blind


def masked_once(masked: Masked, precision: Precision) -> Forward:
    """The finest scores of ``masked`` with no further mask, float32."""
    dtype = torch_dtype(precision)

    def forward(windows: Tensor) -> Tensor:
        nothing = torch.zeros_like(windows[:, 0], dtype=torch.bool)
        with torch.autocast(windows.device.type, dtype=dtype, enabled=precision != "fp32"):
            scores = masked(windows, nothing)[0]
        return scores.float()

    return forward
