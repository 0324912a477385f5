"""The nnU-Net architecture as MONAI's DynUNet builds it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, MonaiNetwork, NetworkSize, SegmentationNetwork
from medcontext.networks.dynunet_layers import Layers
from medcontext.networks.sizes import PatchRule, plan_pooling, product
from medcontext.plan import Size, Spacing

_FIRST_FILTERS: dict[NetworkSize, int] = {"small": 8, "medium": 16, "large": 32}
_WIDEST = 10  # times the first filters: nnU-Net stops at 320 from 32


class DynUNetOptions(StrictModel):
    """Keyword arguments of ``dynunet``; one entry a stage, finest first."""

    filters: tuple[PositiveInt, ...]
    """Feature channels of each stage."""
    strides: tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...]
    """Stride (K, J, I) with which each stage begins; the first is 1."""
    kernels: tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...]
    """Kernel (K, J, I) of each stage; in the decoder MONAI takes that of the next coarser stage."""
    res_block: bool = False
    """Residual blocks in the encoder."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the activations dropped after each convolution."""
    deep_heads: PositiveInt | None = None
    """Coarser outputs for deep supervision; None: three, as far as there are stages."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages = len(self.filters)
        if stages < 3 or len(self.strides) != stages or len(self.kernels) != stages:
            raise ValueError("filters, strides and kernels need one entry for each of at least three stages")
        if self.strides[0] != (1, 1, 1):
            raise ValueError("the first stride must be 1, 1, 1, so that the output has the size of the image")
        if any(size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise ValueError("kernels must be odd")
        if self.deep_heads is not None and self.deep_heads > stages - 2:
            raise ValueError(f"{stages} stages have at most {stages - 2} coarser outputs")
        return self

    @property
    def coarser_heads(self) -> int:
        """How many coarser outputs there are."""
        return min(3, len(self.filters) - 2) if self.deep_heads is None else self.deep_heads


class DynUNet(SegmentationNetwork):
    """U-Net with strides and kernels that follow the voxel size (Isensee et al., Nature Methods 2021).

    Instance norm, leaky ReLU, strided convolutions down, transposed ones up. Unlike MONAI's forward, coarser
    outputs are neither interpolated nor stacked: with three of them that would store four full-size tensors
    of logits twice.
    """

    name = "dynunet"
    title = "nnU-Net: convolutional U-Net that follows the voxel size; the safe choice"
    options_type = DynUNetOptions

    def __init__(self, in_channels: int, classes: int, options: DynUNetOptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        self.heads = options.coarser_heads
        shape = (options.filters, options.strides, options.kernels)
        self.backbone = Layers(in_channels, classes, *shape, self.heads, options.dropout, options.res_block)

    def _monai_kwargs(self) -> dict[str, Any]:
        options: Any = self.options
        return {
            "spatial_dims": 3,
            "in_channels": self.in_channels,
            "out_channels": self.classes,
            "kernel_size": [list(kernel) for kernel in options.kernels],
            "strides": [list(stride) for stride in options.strides],
            "upsample_kernel_size": [list(stride) for stride in options.strides[1:]],
            "filters": list(options.filters),
            "dropout": options.dropout or None,
            "deep_supervision": True,
            "deep_supr_num": self.heads,
            "res_block": options.res_block,
        }

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> DynUNetOptions:
        """Small 0.35, medium 1.4, large 5.6 million parameters with four stages (patch 40 x 56 x 40)."""
        strides, kernels = plan_pooling(patch_size, spacing)
        while len(strides) < 3:  # MONAI's smallest network; a stage without pooling costs no resolution
            strides.append((1, 1, 1))
            kernels.append(kernels[-1])
        first = _FIRST_FILTERS[size]
        filters = tuple(min(first * 2**stage, first * _WIDEST) for stage in range(len(strides)))
        return DynUNetOptions(filters=filters, strides=tuple(strides), kernels=tuple(kernels))

    @classmethod
    def rule_for(cls, options: DynUNetOptions) -> PatchRule:
        """Sides must be multiples of the total stride."""
        return PatchRule(product(options.strides))

    def _encode(self, x: Tensor) -> list[Tensor]:
        features = [self.backbone.input_block(x)]
        for down in (*self.backbone.downsamples, self.backbone.bottleneck):
            features.append(down(features[-1]))
        return features

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:
        *skips, x = features
        coarser: list[Tensor] = []
        for level, up in zip(reversed(range(len(skips))), self.backbone.upsamples, strict=True):
            x = up(x, skips[level])
            if deep and 1 <= level <= self.heads:
                coarser.append(self.backbone.deep_supervision_heads[level - 1](x))
        return [self.backbone.output_block(x), *reversed(coarser)]

    def mask_points(self, before_position: bool = True) -> MaskPoints:  # noqa: ARG002 - no position embedding
        """The features of the first block, voxel by voxel."""
        options: Any = self.options
        return MaskPoints(self.backbone.input_block, "grid", (1, 1, 1), options.filters[0])

    def monai_equivalent(self) -> MonaiNetwork:
        """MONAI's DynUNet; its state names most tensors twice."""
        from monai.networks import nets

        kwargs = self._monai_kwargs()
        twin = nets.DynUNet(**kwargs)
        twin.load_state_dict(self.backbone.state_dict(), strict=False)
        return MonaiNetwork("DynUNet", kwargs, twin.state_dict())
