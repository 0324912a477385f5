"""From the pooled features of a crop to its embedding."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.distributed.nn
from torch import Tensor, distributed, nn

from medcontext.methods.voco.config import ProjectorConfig

NARROW, WIDE = 128, 2048
"""Width of the projector on a CPU and on anything faster (the published one)."""


class BatchNorm(nn.Module):
    """Rows ``(N, D)`` brought to mean 0 and variance 1 over the batch, in training and evaluation alike.

    Nothing is learnt and nothing is remembered. While training, the batch is that of all processes, so that several
    compute what one does.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        mean = self._of_all(x.mean(0))
        variance = self._of_all((x - mean).square().mean(0))
        return (x - mean) * torch.rsqrt(variance + 1e-5)

    def _of_all(self, value: Tensor) -> Tensor:
        """Mean over the processes, which have as many rows each."""
        if not self.training or not distributed.is_initialized() or distributed.get_world_size() == 1:
            return value
        total: Tensor = torch.distributed.nn.functional.all_reduce(value)
        return total / distributed.get_world_size()


class Projector(nn.Sequential):
    """Linear layers with norm and ReLU between them: ``(N, features)`` to ``(N, out)``.

    Args:
        features: numbers of a crop.
        config: of the layers.
        width: what "auto" stands for.
    """

    def __init__(self, features: int, config: ProjectorConfig, width: int) -> None:
        hidden = width if config.hidden == "auto" else config.hidden
        out = width if config.out == "auto" else config.out
        widths = [features, *[hidden] * (config.layers - 1), out]
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(widths)):
            if index:
                norm = (
                    nn.LayerNorm(before, elementwise_affine=False) if config.norm == "layer" else BatchNorm()
                )
                layers += [norm, nn.ReLU()]
            layers.append(nn.Linear(before, after))
        super().__init__(*layers)
