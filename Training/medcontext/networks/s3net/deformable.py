"""Deformable convolution in 2D: each tap of the kernel looks at a place of its own, weighted by a mask.

Zhu et al., *Deformable ConvNets v2* (2019, arXiv 1811.11168), equation 1:
``y(p) = sum_k w_k x(p + p_k + dp_k) dm_k``, with x between voxels by linear interpolation and zero outside.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


def deform_conv(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 1
) -> Tensor:
    """Deformable convolution of one image with stride 1; what ``torchvision.ops.deform_conv2d`` gives.

    The taps are the batch of one ``grid_sample``, so that it uses every core, and one matrix product joins them.

    Args:
        x: ``(1, C, J, I)``.
        offset: ``(1, 2 * taps, J', I')`` in voxels; for each tap, row by row, first along J, then along I.
        mask: ``(1, taps, J', I')``.
        weight: ``(out, C, kernel_j, kernel_i)``.
        bias: ``(out,)``.
        padding: zeros around x; ``J' = J + 2 * padding - kernel_j + 1``.

    Returns:
        ``(1, out, J', I')``.

    Raises:
        ValueError: there are several images, or offset or mask are not of these sizes.
    """
    out, channels, kernel_j, kernel_i = weight.shape
    taps, size = kernel_j * kernel_i, x.shape[2:]
    rows, columns = size[0] + 2 * padding - kernel_j + 1, size[1] + 2 * padding - kernel_i + 1
    if (
        x.shape[0] != 1
        or offset.shape != (1, 2 * taps, rows, columns)
        or mask.shape != (1, taps, rows, columns)
    ):
        raise ValueError(f"no deformable convolution of {x.shape} by {offset.shape} and {mask.shape}")
    places = offset.view(taps, 2, rows, columns).permute(0, 2, 3, 1) + _places(weight, rows, columns, padding)
    # -1 and 1 are the outer edges of the first and the last voxel; grid_sample wants I before J.
    grid = ((2 * places + 1) / places.new_tensor(size) - 1).flip(-1)
    sampled = functional.grid_sample(x.expand(taps, -1, -1, -1), grid, align_corners=False)
    sampled = (sampled * mask.view(taps, 1, rows, columns)).view(taps * channels, rows * columns)
    by_tap = weight.permute(0, 2, 3, 1).reshape(out, taps * channels)
    result = (by_tap @ sampled).view(1, out, rows, columns)
    return result if bias is None else result + bias.view(1, out, 1, 1)


def _places(weight: Tensor, rows: int, columns: int, padding: int) -> Tensor:
    """Where the taps of a plain convolution look: voxels along J and I, ``(taps, J', I', 2)``."""

    def along(kernel: int, size: int) -> Tensor:
        taps, voxels = (torch.arange(n, device=weight.device, dtype=weight.dtype) for n in (kernel, size))
        return taps[:, None] + voxels - padding

    kernel_j, kernel_i = weight.shape[2:]
    j = along(kernel_j, rows)[:, None, :, None].expand(-1, kernel_i, -1, columns)
    i = along(kernel_i, columns)[None, :, None, :].expand(kernel_j, -1, rows, -1)
    return torch.stack([j, i], -1).flatten(0, 1)


class DeformableConv(nn.Module):
    """A deformable 3 x 3 convolution that keeps channels and size.

    Args:
        channels: C of the input ``(1, C, J, I)``.
        mode: ``static``: offsets and masks are parameters for each pixel, drawn from U(0, 1) as the weights are: the
            published program, which takes one size only. ``predicted``: a convolution says them; it is zero at first,
            so that it begins as a plain convolution.
        size: (J, I) of the image; for ``static`` only.
    """

    def __init__(
        self, channels: int, mode: Literal["static", "predicted"], size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        if mode == "static":
            if size is None:
                raise ValueError("static offsets need the size of the image")
            nn.init.uniform_(self.weight)
            self.offset = nn.Parameter(torch.rand(1, 18, *size))
            self.mask = nn.Parameter(torch.rand(1, 9, *size))
            self.predict = None
        else:
            nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as torch's convolutions
            self.predict = nn.Conv2d(channels, 27, 3, padding=1)
            nn.init.zeros_(self.predict.weight)
            nn.init.zeros_(self.predict.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        if self.predict is None:
            return deform_conv(x, self.offset, self.mask, self.weight)
        offset, mask = self.predict(x).split([18, 9], 1)
        return deform_conv(x, offset, 2 * mask.sigmoid(), self.weight)  # 1 where nothing was learnt
