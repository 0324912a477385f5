"""The layers of DynUNet, named as MONAI names them, so that the weights of either load into the other.

To build them with MONAI would load all of it, which takes 2.5 seconds of CPU, more than torch itself: too long for
the network that most models are made of, each time a worker, a training or a command begins.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from medcontext.plan import Size

_SLOPE = 0.01


class Layers(nn.Module):
    """Encoder, decoder and the heads of deep supervision; who runs them decides in which order.

    Args:
        in_channels: image channels.
        classes: channels of every output.
        filters: channels of each stage, finest first.
        strides, kernels: (K, J, I) of each stage; upwards, a stage takes the kernel of the next coarser one.
        heads: coarser outputs.
        dropout: share of the activations dropped after each convolution.
        res_block: residual blocks in the encoder.

    Raises:
        ValueError: a kernel is so much smaller than its stride that voxels would be left out.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        filters: tuple[int, ...],
        strides: tuple[Size, ...],
        kernels: tuple[Size, ...],
        heads: int,
        dropout: float = 0.0,
        res_block: bool = False,
    ) -> None:
        super().__init__()
        block = _ResidualBlock if res_block else _Block
        before = (in_channels, *filters)
        down = [block(*of, dropout) for of in zip(before, filters, kernels, strides, strict=False)]
        self.input_block = down[0]
        self.downsamples = nn.ModuleList(down[1:-1])
        self.bottleneck = down[-1]
        up = [_Up(*of, dropout) for of in zip(filters[1:], filters, kernels[1:], strides[1:], strict=False)]
        self.upsamples = nn.ModuleList(reversed(up))
        self.output_block = _Output(filters[0], classes, dropout)
        torch.rand(1)  # MONAI draws a number here; so the same seed gives the same weights
        self.deep_supervision_heads = nn.ModuleList(
            _Output(n, classes, dropout) for n in filters[1 : heads + 1]
        )
        self.apply(_initialise)


class _Block(nn.Module):
    """Two convolutions, the first of them strided, each with instance norm and leaky ReLU."""

    def __init__(self, before: int, after: int, kernel: Size, stride: Size, dropout: float) -> None:
        super().__init__()
        self.conv1 = _convolution(before, after, kernel, stride, dropout)
        self.conv2 = _convolution(after, after, kernel, (1, 1, 1), dropout)
        self.lrelu = nn.LeakyReLU(_SLOPE, inplace=True)
        self.norm1 = nn.InstanceNorm3d(after, affine=True)
        self.norm2 = nn.InstanceNorm3d(after, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lrelu(self._before_last(x))

    def _before_last(self, x: Tensor) -> Tensor:
        # One after the other: what a layer took is let go of before the next one begins.
        for layer in (self.conv1, self.norm1, self.lrelu, self.conv2, self.norm2):
            x = layer(x)
        return x


class _ResidualBlock(_Block):
    """The same with its input added, brought to its size where that differs."""

    def __init__(self, before: int, after: int, kernel: Size, stride: Size, dropout: float) -> None:
        super().__init__(before, after, kernel, stride, dropout)
        self.shrinks = before != after or stride != (1, 1, 1)
        if self.shrinks:
            self.conv3 = _convolution(before, after, (1, 1, 1), stride, dropout)
            self.norm3 = nn.InstanceNorm3d(after, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        changed = self._before_last(x)
        if self.shrinks:
            x = self.conv3(x)
            x = self.norm3(x)
        return self.lrelu(changed.add_(x))


class _Up(nn.Module):
    """From a stage to the next finer one, whose features of the encoder are joined."""

    def __init__(self, coarse: int, fine: int, kernel: Size, stride: Size, dropout: float) -> None:
        super().__init__()
        transposed = nn.ConvTranspose3d(coarse, fine, stride, stride, bias=False)
        self.transp_conv = _with_dropout(transposed, dropout)
        self.conv_block = _Block(2 * fine, fine, kernel, (1, 1, 1), dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat((self.transp_conv(x), skip), dim=1))


class _Output(nn.Module):
    """Features to logits, voxel by voxel."""

    def __init__(self, features: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = _with_dropout(nn.Conv3d(features, classes, 1), dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _convolution(before: int, after: int, kernel: Size, stride: Size, dropout: float) -> nn.Sequential:
    if any(k + 1 < s for k, s in zip(kernel, stride, strict=True)):
        raise ValueError(f"a kernel of {kernel} is too small for a stride of {stride}")
    padding: Any = tuple((k - s + 1) // 2 for k, s in zip(kernel, stride, strict=True))
    return _with_dropout(nn.Conv3d(before, after, kernel, stride, padding, bias=False), dropout)


def _with_dropout(convolution: nn.Module, dropout: float) -> nn.Sequential:
    layers = OrderedDict(conv=convolution)
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
