"""One tiny example of each network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from medcontext import networks
from medcontext.networks import SegmentationNetwork

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Example:
    """Arguments of a tiny network and a patch that it takes."""

    name: str
    patch: Size
    kwargs: dict[str, Any]
    outputs: list[Size] = field(default_factory=list)
    in_channels: int = 2
    classes: int = 3

    def build(self, seed: int = 0) -> SegmentationNetwork:
        torch.manual_seed(seed)
        return networks.build(self.name, self.in_channels, self.classes, **self.kwargs)

    def image(self, seed: int = 0, batch: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, self.in_channels, *self.patch, generator=generator)


EXAMPLES = [
    Example(
        "dynunet",
        (4, 16, 8),
        {
            "filters": [4, 6, 8, 8],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 1]],
            "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
        },
        [(4, 16, 8), (4, 8, 4), (2, 4, 2)],
    ),
    Example(
        "unetr",
        (16, 16, 32),
        {"patch_size": [16, 16, 32], "feature_size": 4, "hidden_size": 12, "mlp_dim": 16, "num_heads": 2},
        [(16, 16, 32)],
    ),
    Example(
        "swin_unetr",
        (32, 32, 64),
        {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 2, 2], "window_size": 4},
        [(32, 32, 64)],
    ),
    Example(
        "segresnet",
        (4, 8, 16),
        {"init_filters": 4, "blocks_down": [1, 1, 1], "resolution": [3.0, 1.0, 1.0]},
        [(4, 8, 16), (4, 4, 8)],
    ),
    Example(
        "mednext",
        (8, 8, 12),
        {"init_filters": 4, "blocks": [1, 1], "blocks_bottleneck": 1, "expansion": [2, 3]},
        [(8, 8, 12), (4, 4, 6), (2, 2, 3)],
    ),
    Example(
        "nnformer",
        (8, 16, 24),
        {
            "token": [1, 2, 4],
            "strides": [[2, 2, 1], [1, 2, 2]],
            "windows": [[4, 3, 3], [2, 3, 4], [4, 4, 4]],
            "channels": 8,
            "depths": [2, 2, 1],
            "num_heads": [2, 2, 4],
        },
        [(8, 16, 24), (4, 8, 24)],
    ),
    Example(
        "nnunet",
        (4, 8, 16),
        {
            "architecture": "residual_encoder",
            "features_per_stage": [4, 6, 8],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "n_blocks_per_stage": [1, 1, 2],
            "n_conv_per_stage_decoder": [1, 1],
        },
        [(4, 8, 16), (4, 4, 8)],
    ),
]


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.name)
def example(request: pytest.FixtureRequest) -> Example:
    """A tiny example of each registered network in turn."""
    result: Example = request.param
    return result
