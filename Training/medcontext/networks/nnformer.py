"""nnFormer: window attention between convolutional embedding, merging and expanding."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, NetworkSize, SegmentationNetwork
from medcontext.networks.sizes import PatchRule, plan_pooling, product
from medcontext.networks.window_attention import WindowBlock
from medcontext.plan import Size, Spacing

_CHANNELS: dict[NetworkSize, int] = {"small": 24, "medium": 48, "large": 96}
_FIRST_HEADS = 3
_MOST_STAGES = 4
_DEPTH = 2
_HEADS = 3  # outputs, the finest included
_BIG_PATCH = 96  # longest side from which tokens of 4 voxels are used, as published; below, tokens of 2
_WHOLE_AXIS = 8  # from the third stage on, an axis of so few tokens is one window: attention becomes global

Triple = tuple[PositiveInt, PositiveInt, PositiveInt]


class NNFormerOptions(StrictModel):
    """Keyword arguments of ``nnformer``; per-stage entries are finest first."""

    token: Triple
    """Voxels per token on each axis (K, J, I): 1, 2 or 4."""
    strides: tuple[Triple, ...] = Field(min_length=1)
    """Merging between the stages on each axis: 1 or 2."""
    windows: tuple[Triple, ...]
    """Tokens that attend to each other in each stage."""
    channels: PositiveInt = 96
    """Channels of the first stage; they double at each stage."""
    depths: tuple[PositiveInt, ...]
    """Transformer blocks of each stage."""
    num_heads: tuple[PositiveInt, ...]
    """Attention heads of each stage; they divide its channels."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Share of the residual branches skipped in the last encoder block; rises linearly from 0."""
    deep_heads: int | None = Field(default=None, ge=0, le=2)
    """Coarser outputs for deep supervision; None: two, as far as there are stages."""
    authors_activations: bool = False
    """As in the authors' code: GELU before each merging, and none after the last convolution of the embedding."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages = len(self.strides) + 1
        if not len(self.windows) == len(self.depths) == len(self.num_heads) == stages:
            raise ValueError("windows, depths and num_heads need one entry a stage, strides one less")
        if any(n not in (1, 2, 4) for n in self.token) or any(n > 2 for s in self.strides for n in s):
            raise ValueError("tokens have 1, 2 or 4 voxels on an axis, and strides are 1 or 2")
        if self.channels % 2:
            raise ValueError("channels must be even")
        for stage, heads in enumerate(self.num_heads):
            if self.channels * 2**stage % heads:
                raise ValueError(f"stage {stage} has {self.channels * 2**stage} channels for {heads} heads")
        if (self.deep_heads or 0) > len(self.strides) - 1:
            raise ValueError(f"{stages} stages have at most {len(self.strides) - 1} coarser outputs")
        return self

    @property
    def outputs(self) -> int:
        """Outputs, the finest included."""
        return min(_HEADS, len(self.strides)) if self.deep_heads is None else self.deep_heads + 1


class NNFormer(SegmentationNetwork):
    """Interleaved convolution and window attention (Zhou et al., IEEE TIP 2023), written from the paper.

    Volume embedding by four convolutions, shifted-window attention with relative position bias, convolutional
    merging, transposed-convolution expanding, skip attention (queries from the expanded features, keys and
    values from the skip connection) in the first block of each decoder stage, and up to three outputs by
    transposed convolution. No full-resolution skip exists, so masked tokens hide the image completely.

    What differs from the authors' network; with ``authors_activations`` and cubic windows their weights compute
    the same here (:mod:`medcontext.library.published.nnformer`):

    * Sizes follow the patch: tokens of 2 voxels below 96 voxels a side, up to four stages (as many as leave
      4 tokens), merging that spares a coarse axis, windows that divide the grid where possible.
    * Any size that fits the strides is taken, not only that of training. Tokens of the padding are masked.
    * 24, 48 or 96 channels in the first stage; the authors have 96 (ACDC, BraTS) or 192 (Synapse).
    * GELU after every convolution of the embedding and none before merging; the queries of skip attention are a linear
      map of the expanded features, and skip and expanded features have a norm each.
    """

    name = "nnformer"
    title = "nnFormer: window attention between convolutions, with attention across the skip connections"
    differences = (
        "Sizes follow the patch: tokens of 2 voxels below 96 voxels a side, up to four stages, merging that spares a "
        "coarse axis, windows that divide the grid where possible.",
        "Any size that fits the strides is taken; tokens of the padding are masked.",
        "The first stage has 24, 48 or 96 channels; the authors' networks have 96 or 192.",
    )
    options_type = NNFormerOptions

    def __init__(self, in_channels: int, classes: int, options: NNFormerOptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        widths = [options.channels * 2**stage for stage in range(len(options.depths))]
        drop = torch.linspace(0, options.drop_path, sum(options.depths), device="cpu").tolist()
        authors = options.authors_activations
        self.embedding = VolumeEmbedding(in_channels, widths[0], options.token, last_activation=not authors)
        self.encoder = nn.ModuleList(
            _stage(options, stage, width, [drop.pop(0) for _ in range(options.depths[stage])])
            for stage, width in enumerate(widths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        pairs = list(zip(widths[:-1], widths[1:], options.strides, strict=True))
        self.merging = nn.ModuleList(
            Merging(fine, coarse, stride, activation=authors) for fine, coarse, stride in pairs
        )
        self.expanding = nn.ModuleList(Expanding(coarse, fine, stride) for fine, coarse, stride in pairs)
        self.decoder = nn.ModuleList(
            _stage(options, stage, width, [0.0] * options.depths[stage], cross=True)
            for stage, width in enumerate(widths[:-1])
        )
        self.heads = nn.ModuleList(
            nn.ConvTranspose3d(width, classes, options.token, options.token)
            for width in widths[: options.outputs]
        )
        self.apply(_initialise)

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> NNFormerOptions:
        """All from the patch; with three stages 0.6, 2.4 and 9.5 million parameters."""
        token = _token(patch_size, spacing)
        grid = [max(1, n // t) for n, t in zip(patch_size, token, strict=True)]
        strides, _ = plan_pooling(_triple(grid), _triple(s * t for s, t in zip(spacing, token, strict=True)))
        merging = tuple(strides[1:_MOST_STAGES]) or ((2, 2, 2),)
        windows = []
        for stage, stride in enumerate([(1, 1, 1), *merging]):
            grid = [-(-n // s) for n, s in zip(grid, stride, strict=True)]
            windows.append(_triple(_window(n, whole=stage >= 2) for n in grid))
        stages = len(windows)
        return NNFormerOptions(
            token=token,
            strides=merging,
            windows=tuple(windows),
            channels=_CHANNELS[size],
            depths=(_DEPTH,) * stages,
            num_heads=tuple(_FIRST_HEADS * 2**stage for stage in range(stages)),
        )

    @classmethod
    def rule_for(cls, options: NNFormerOptions) -> PatchRule:
        """Sides must be multiples of the token times the total stride."""
        return PatchRule(product([options.token, *options.strides]))

    def _encode(self, x: Tensor) -> list[Tensor]:
        x = self.embedding(x).movedim(1, -1)
        features: list[Tensor] = []
        for stage, blocks in enumerate(self.encoder):
            if stage:
                x = self.merging[stage - 1](x)
            x = blocks(x)
            features.append(self.norms[stage](x).movedim(-1, 1))
        return features

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:
        *skips, x = (level.movedim(1, -1) for level in features)
        outputs: list[Tensor] = []
        for stage in reversed(range(len(skips))):
            blocks = cast(nn.Sequential, self.decoder[stage])
            x = blocks[0](self.expanding[stage](x), skips[stage])
            x = blocks[1:](x)
            if stage == 0 or (deep and stage < len(self.heads)):
                outputs.append(self.heads[stage](x.movedim(-1, 1)))
        return outputs[::-1]

    def mask_points(self, before_position: bool = True) -> MaskPoints:  # noqa: ARG002 - positions are relative
        """The embedded tokens; nothing else sees the image."""
        options: Any = self.options
        return MaskPoints(self.embedding, "grid", options.token, options.channels)


class VolumeEmbedding(nn.Module):
    """Voxels to tokens by four 3 x 3 x 3 convolutions, which keep more detail than one large stride.

    Args:
        in_channels: image channels.
        channels: channels of a token.
        token: voxels per token on each axis; strides of 2 come first, where they save most.
        last_activation: whether GELU follows the last convolution as it does the others.
    """

    def __init__(self, in_channels: int, channels: int, token: Size, *, last_activation: bool = True) -> None:
        super().__init__()
        self.last_activation = last_activation
        half = channels // 2
        first = _triple(min(2, n) for n in token)
        second = _triple(n // f for n, f in zip(token, first, strict=True))
        self.convolutions = nn.ModuleList(
            [
                nn.Conv3d(in_channels, half, 3, first, 1),
                nn.Conv3d(half, half, 3, 1, 1),
                nn.Conv3d(half, channels, 3, second, 1),
                nn.Conv3d(channels, channels, 3, 1, 1),
            ]
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (half, half, channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, K, J, I)`` to ``(B, channels, k, j, i)``."""
        last = len(self.convolutions) - 1
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = convolution(x)
            if place < last or self.last_activation:
                x = nn.functional.gelu(x)
            x = norm(x.movedim(1, -1)).movedim(-1, 1)
        return x


class Merging(nn.Module):
    """Norm, with GELU before it where ``activation``, and strided convolution: fewer, wider tokens."""

    def __init__(self, fine: int, coarse: int, stride: Size, *, activation: bool = False) -> None:
        super().__init__()
        self.activation = activation
        self.norm = nn.LayerNorm(fine)
        self.convolution = nn.Conv3d(fine, coarse, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, k, j, i, fine)`` to ``(B, k', j', i', coarse)``."""
        x = nn.functional.gelu(x) if self.activation else x
        return self.convolution(self.norm(x).movedim(-1, 1)).movedim(1, -1)


class Expanding(nn.Module):
    """Norm and transposed convolution: more, narrower tokens."""

    def __init__(self, coarse: int, fine: int, stride: Size) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(coarse)
        self.convolution = nn.ConvTranspose3d(coarse, fine, stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, k', j', i', coarse)`` to ``(B, k, j, i, fine)``."""
        return self.convolution(self.norm(x).movedim(-1, 1)).movedim(1, -1)


def _stage(
    options: NNFormerOptions, stage: int, channels: int, drop_path: list[float], *, cross: bool = False
) -> nn.Sequential:
    """The blocks of a stage, every second one shifted; ``cross`` makes the first one a skip attention."""
    heads, window = options.num_heads[stage], options.windows[stage]
    return nn.Sequential(
        *(
            WindowBlock(
                channels, heads, window, shifted=n % 2 == 1, cross=cross and n == 0, drop_path=drop_path[n]
            )
            for n in range(options.depths[stage])
        )
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _token(patch_size: Size, spacing: Spacing) -> Size:
    """4 voxels, or 2 for small patches; half on an axis twice as coarse as the finest, 1 from four times."""
    voxels = 4 if max(patch_size) >= _BIG_PATCH else 2
    finest = min(spacing)
    return _triple(
        max(1, voxels // (4 if mm >= 4 * finest else 2 if mm >= 2 * finest else 1)) for mm in spacing
    )


def _window(tokens: int, whole: bool) -> int:
    """4 to 7 tokens with the least padding, or a short axis as a whole."""
    if tokens <= 4 or (whole and tokens <= _WHOLE_AXIS):
        return tokens
    return min((4, 5, 6, 7), key=lambda size: -(-tokens // size) * size)


def _triple(values: Any) -> Any:
    return tuple(values)
