"""MedNeXt: ConvNeXt blocks in a U-Net, from MONAI."""

from __future__ import annotations

from typing import Any, Literal, Self

from monai.networks import nets
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, MonaiNetwork, NetworkSize, SegmentationNetwork
from medcontext.networks.sizes import SMALLEST_SIDE, PatchRule
from medcontext.plan import Size, Spacing

_FIRST_FILTERS: dict[NetworkSize, int] = {"small": 8, "medium": 16, "large": 32}
_MOST_LEVELS = 4


class MedNeXtOptions(StrictModel):
    """Keyword arguments of ``mednext``."""

    init_filters: PositiveInt = 32
    """Feature channels at full resolution; they double at each level."""
    blocks: tuple[PositiveInt, ...] = Field(default=(2, 2, 2, 2), min_length=1)
    """Blocks of each level of the encoder, finest first; the decoder mirrors them."""
    blocks_bottleneck: PositiveInt = 2
    """Blocks of the coarsest level."""
    expansion: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    """Widening inside the blocks of each level; the decoder mirrors it."""
    expansion_bottleneck: PositiveInt = 2
    """Widening inside the blocks of the coarsest level."""
    kernel_size: Literal[3, 5, 7] = 3
    """Side of the depthwise convolutions in voxels."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.blocks) != len(self.expansion):
            raise ValueError("blocks and expansion need one entry for each level")
        return self


class MedNeXt(SegmentationNetwork):
    """U-Net of ConvNeXt blocks (Roy et al., MICCAI 2023); ``large`` is the published MedNeXt-S with kernel 3.

    Every level, the bottleneck included, has an output for deep supervision, as published. All axes are
    pooled alike.
    """

    name = "mednext"
    title = "MedNeXt: U-Net of ConvNeXt blocks; strong where there is data and time to train"
    options_type = MedNeXtOptions

    def __init__(self, in_channels: int, classes: int, options: MedNeXtOptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        self.backbone = nets.MedNeXt(**self._monai_kwargs())

    def _monai_kwargs(self) -> dict[str, Any]:
        options = self.options.model_dump(mode="json")
        return {
            "spatial_dims": 3,
            "init_filters": options["init_filters"],
            "in_channels": self.in_channels,
            "out_channels": self.classes,
            "encoder_expansion_ratio": options["expansion"],
            "decoder_expansion_ratio": options["expansion"][::-1],
            "bottleneck_expansion_ratio": options["expansion_bottleneck"],
            "kernel_size": options["kernel_size"],
            "deep_supervision": True,
            "use_residual_connection": True,
            "blocks_down": options["blocks"],
            "blocks_bottleneck": options["blocks_bottleneck"],
            "blocks_up": options["blocks"][::-1],
        }

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> MedNeXtOptions:  # noqa: ARG003
        """Up to four levels; with four 0.4, 1.4 and 5.6 million parameters.

        The bottleneck keeps 4 voxels on two axes and 2 on the shortest.
        """
        shortest, middle, _ = sorted(patch_size)
        room = min(middle // SMALLEST_SIDE, shortest // (SMALLEST_SIDE // 2))
        levels = max(1, min(_MOST_LEVELS, room.bit_length() - 1))
        return MedNeXtOptions(
            init_filters=_FIRST_FILTERS[size], blocks=(2,) * levels, expansion=(2,) * levels
        )

    @classmethod
    def rule_for(cls, options: MedNeXtOptions) -> PatchRule:
        """Each level halves every side."""
        return PatchRule((2 ** len(options.blocks),) * 3)

    def _encode(self, x: Tensor) -> list[Tensor]:
        net = self.backbone
        x = net.stem(x)
        features: list[Tensor] = []
        for stage, down in zip(net.enc_stages, net.down_blocks, strict=True):
            features.append(stage(x))
            x = down(features[-1])
        return [*features, net.bottleneck(x)]

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:
        net = self.backbone
        *skips, x = features
        outputs: list[Tensor] = []
        layers = zip(net.up_blocks, net.dec_stages, net.out_blocks, skips[::-1], strict=True)
        for up, stage, head, skip in layers:
            if deep:
                outputs.append(head(x))
            x = stage(up(x) + skip)
        return [net.out_0(x), *reversed(outputs)]

    def mask_points(self, before_position: bool = True) -> MaskPoints:  # noqa: ARG002 - no position embedding
        """The features of the 1 x 1 x 1 stem, voxel by voxel."""
        options: Any = self.options
        return MaskPoints(self.backbone.stem, "grid", (1, 1, 1), options.init_filters)

    def monai_equivalent(self) -> MonaiNetwork:
        """MONAI's MedNeXt."""
        return MonaiNetwork("MedNeXt", self._monai_kwargs(), self.backbone.state_dict())
