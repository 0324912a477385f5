"""Swin UNETR: a shifted-window transformer with a convolutional decoder, from MONAI."""

from __future__ import annotations

from typing import Any, Self

from monai.networks import nets
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, MonaiNetwork, NetworkSize, SegmentationNetwork
from medcontext.networks.sizes import PatchRule
from medcontext.plan import Size, Spacing

_EMBEDDING = 2  # voxels per token and axis
_MULTIPLE = _EMBEDDING**5  # the embedding and four mergings halve each axis
_FEATURES: dict[NetworkSize, int] = {"small": 12, "medium": 24, "large": 48}
_WINDOW: dict[NetworkSize, int] = {"small": 4, "medium": 7, "large": 7}  # 343 tokens a window cost 5 times 64

FourInts = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]


class SwinUNETROptions(StrictModel):
    """Keyword arguments of ``swin_unetr``."""

    feature_size: int = Field(default=24, ge=12, multiple_of=12)
    """Channels of the first stage, a multiple of 12; they double at each stage."""
    depths: FourInts = (2, 2, 2, 2)
    """Transformer blocks of each stage."""
    num_heads: FourInts = (3, 6, 12, 24)
    """Attention heads of each stage; they divide its channels."""
    window_size: int | tuple[PositiveInt, PositiveInt, PositiveInt] = 7
    """Tokens (K, J, I) that attend to each other; cut where a stage is smaller."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Share of the residual branches skipped in the last block; rises linearly from 0."""
    use_v2: bool = False
    """A residual convolution before each stage (Swin UNETR v2)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for stage, heads in enumerate(self.num_heads):
            if self.feature_size * 2**stage % heads:
                raise ValueError(
                    f"stage {stage} has {self.feature_size * 2**stage} channels for {heads} heads"
                )
        return self


class SwinUNETR(SegmentationNetwork):
    """Shifted-window transformer with a convolutional decoder (Hatamizadeh et al., BrainLes 2021).

    ``large`` is the published network (feature size 48). There is no deep supervision.
    """

    name = "swin_unetr"
    title = "Swin UNETR: shifted-window transformer with a convolutional decoder; sides in multiples of 32"
    options_type = SwinUNETROptions

    def __init__(self, in_channels: int, classes: int, options: SwinUNETROptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        self.backbone = nets.SwinUNETR(**self._monai_kwargs())

    def _monai_kwargs(self) -> dict[str, Any]:
        options = self.options.model_dump(mode="json")
        return {
            "in_channels": self.in_channels,
            "out_channels": self.classes,
            "patch_size": _EMBEDDING,
            "dropout_path_rate": options.pop("drop_path"),
            **options,
        }

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> SwinUNETROptions:  # noqa: ARG003
        """Small 4 million parameters, medium 16, large 62."""
        return SwinUNETROptions(feature_size=_FEATURES[size], window_size=_WINDOW[size])

    @classmethod
    def rule_for(cls, options: SwinUNETROptions) -> PatchRule:  # noqa: ARG003 - the same for all
        """Multiples of 32; with 32 on each side the bottleneck is one voxel, which instance norm refuses."""
        return PatchRule((_MULTIPLE,) * 3)

    def _encode(self, x: Tensor) -> list[Tensor]:
        net = self.backbone
        tokens = net.swinViT(x, net.normalize)
        return [
            net.encoder1(x),
            net.encoder2(tokens[0]),
            net.encoder3(tokens[1]),
            net.encoder4(tokens[2]),
            tokens[3],
            net.encoder10(tokens[4]),
        ]

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:  # noqa: ARG002 - one output only
        net = self.backbone
        *skips, x = features
        blocks = (net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1)
        for block, skip in zip(blocks, skips[::-1], strict=True):
            x = block(x, skip)
        return [net.out(x)]

    def mask_points(self, before_position: bool = True) -> MaskPoints:  # noqa: ARG002 - positions are relative
        """Tokens of 2 voxels a side; the full-resolution skip takes the raw image and leaks it."""
        net = self.backbone
        return MaskPoints(
            net.swinViT.patch_embed, "grid", (_EMBEDDING,) * 3, net.swinViT.embed_dim, (net.encoder1,)
        )

    def monai_equivalent(self) -> MonaiNetwork:
        """MONAI's SwinUNETR."""
        return MonaiNetwork("SwinUNETR", self._monai_kwargs(), self.backbone.state_dict())
