"""The layers that turn an encoder's features into voxels; they are thrown away after pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from medcontext.plan import Size

FIRST_WEIGHTS = 0.01
"""Deviation of the last layer's first weights: what is said at first is close to nothing, not six times as wrong."""


class RebuildingHead(nn.Module):
    """Brings all features to one width, adds them up from the coarsest to the finest, and looks at the sum once.

    So little that the encoder has to do the work.

    Args:
        channels: of each of the encoder's outputs, finest first.
        width: channels inside.
        out: channels of the image.
    """

    def __init__(self, channels: Sequence[int], width: int, out: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv3d(count, width, 1) for count in channels)
        last = nn.Conv3d(width, out, 1)
        nn.init.normal_(last.weight, std=FIRST_WEIGHTS)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.last = nn.Sequential(nn.Conv3d(width, width, 3, padding=1), nn.LeakyReLU(0.01), last)

    def forward(self, features: Sequence[Tensor], size: Size) -> Tensor:
        """Voxels ``(B, out, *size)`` from features ``(B, c, k, j, i)``, finest first."""
        total: Tensor | None = None
        for narrow, feature in zip(reversed(self.narrow), reversed(features), strict=True):
            mine = narrow(feature)
            total = mine if total is None else mine + _enlarged(total, cast(Size, tuple(mine.shape[2:])))
        return self.last(_enlarged(cast(Tensor, total), size))


def _enlarged(x: Tensor, size: Size) -> Tensor:
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size, mode="trilinear", align_corners=False)
