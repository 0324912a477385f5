"""SegResNet: a residual encoder with a light decoder, from MONAI's SegResNetDS."""

from __future__ import annotations

from typing import Any

from monai.networks import nets
from monai.networks.nets.segresnet_ds import scales_for_resolution
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, MonaiNetwork, NetworkSize, SegmentationNetwork
from medcontext.networks.sizes import SMALLEST_SIDE, PatchRule, product
from medcontext.plan import Size, Spacing

_FIRST_FILTERS: dict[NetworkSize, int] = {"small": 8, "medium": 16, "large": 32}
_BLOCKS = (1, 2, 2, 4, 4)
_HEADS = 4  # outputs, the finest included


class SegResNetOptions(StrictModel):
    """Keyword arguments of ``segresnet``."""

    init_filters: PositiveInt = 32
    """Feature channels at full resolution; they double at each stage."""
    blocks_down: tuple[PositiveInt, ...] = Field(default=(1, 2, 2, 4), min_length=2)
    """Residual blocks of each encoder stage, finest first; the decoder has one a stage."""
    resolution: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)
    """Voxel size in mm (K, J, I): a coarse axis is not pooled or convolved until the others caught up."""


class SegResNet(SegmentationNetwork):
    """Residual encoder with a light decoder (Myronenko, BrainLes 2018).

    MONAI's form with deep supervision. Instance norm, because MONAI's default, batch norm, needs larger
    batches than 3D patches allow.
    """

    name = "segresnet"
    title = "SegResNet: residual encoder with a light decoder; little memory for its depth"
    options_type = SegResNetOptions

    def __init__(self, in_channels: int, classes: int, options: SegResNetOptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        self.heads = min(_HEADS, len(options.blocks_down) - 1)
        self.backbone = nets.SegResNetDS(**self._monai_kwargs())

    def _monai_kwargs(self) -> dict[str, Any]:
        return {
            "spatial_dims": 3,
            "in_channels": self.in_channels,
            "out_channels": self.classes,
            "norm": "instance",
            "dsdepth": self.heads,
            **self.options.model_dump(mode="json"),
        }

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> SegResNetOptions:
        """Up to five stages; with four 1.2, 5.0 and 20 million parameters.

        The bottleneck keeps 4 voxels on each axis that is pooled.
        """
        for stages in range(len(_BLOCKS), 1, -1):
            options = SegResNetOptions(
                init_filters=_FIRST_FILTERS[size], blocks_down=_BLOCKS[:stages], resolution=spacing
            )
            total = cls.rule_for(options).multiple
            if all(n // m >= SMALLEST_SIDE or m == 1 for n, m in zip(patch_size, total, strict=True)):
                break
        return options

    @classmethod
    def rule_for(cls, options: SegResNetOptions) -> PatchRule:
        """Sides must be multiples of the total stride."""
        scales = scales_for_resolution(options.resolution, n_stages=len(options.blocks_down))
        return PatchRule(product([(int(k), int(j), int(i)) for k, j, i in scales[:-1]]))

    def _encode(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.backbone.encoder(x)
        return features

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:
        *skips, x = features
        outputs: list[Tensor] = []
        for level, layer in zip(reversed(range(len(skips))), self.backbone.up_layers, strict=True):
            x = layer["blocks"](layer["upsample"](x) + skips[level])
            if level == 0 or (deep and level < self.heads):
                outputs.append(layer["head"](x))
        return outputs[::-1]

    def mask_points(self, before_position: bool = True) -> MaskPoints:  # noqa: ARG002 - no position embedding
        """The features of the first convolution, voxel by voxel."""
        options: Any = self.options
        return MaskPoints(self.backbone.encoder.conv_init, "grid", (1, 1, 1), options.init_filters)

    def monai_equivalent(self) -> MonaiNetwork:
        """MONAI's SegResNetDS."""
        return MonaiNetwork("SegResNetDS", self._monai_kwargs(), self.backbone.state_dict())
