"""UNETR: a vision transformer whose layers feed a convolutional decoder, from MONAI."""

from __future__ import annotations

from typing import Any, Literal, Self

from monai.networks import nets
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, MonaiNetwork, NetworkSize, SegmentationNetwork
from medcontext.networks.sizes import PatchRule
from medcontext.plan import Size, Spacing

_TOKEN = 16  # voxels per token and axis, fixed in MONAI: the decoder doubles four times
_SKIP_LAYERS = (3, 6, 9)  # transformer layers that feed the decoder, of twelve

_SIZES: dict[NetworkSize, dict[str, Any]] = {
    "small": {"feature_size": 8, "hidden_size": 48, "mlp_dim": 192, "num_heads": 4},
    "medium": {"feature_size": 16, "hidden_size": 192, "mlp_dim": 768, "num_heads": 6},
    "large": {"feature_size": 32, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12},
}


class UNETROptions(StrictModel):
    """Keyword arguments of ``unetr``."""

    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Voxels (K, J, I) of the patch: the position embedding is made for this size. Multiples of 16."""
    feature_size: PositiveInt = 16
    """Channels of the decoder at full resolution."""
    hidden_size: PositiveInt = 768
    """Channels of a token."""
    mlp_dim: PositiveInt = 3072
    """Channels inside the feed-forward part of a transformer layer."""
    num_heads: PositiveInt = 12
    """Attention heads; they divide hidden_size."""
    proj_type: Literal["conv", "perceptron"] = "conv"
    """How 16 x 16 x 16 voxels become a token: one convolution, or one linear layer on the voxels in a row."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the activations dropped in the transformer."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        PatchRule((_TOKEN,) * 3).check("unetr", self.patch_size)
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}")
        return self


class UNETR(SegmentationNetwork):
    """Vision transformer with a convolutional decoder (Hatamizadeh et al., WACV 2022).

    Sees the whole patch at once but knows one patch size only. ``large`` is the published network (with the
    feature size 32 of its BTCV setting); twelve layers in every size. There is no deep supervision.
    """

    name = "unetr"
    title = "UNETR: vision transformer with a convolutional decoder; one fixed patch size"
    options_type = UNETROptions

    def __init__(self, in_channels: int, classes: int, options: UNETROptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        self.backbone = nets.UNETR(**self._monai_kwargs())
        for block in self.backbone.vit.blocks:
            # MONAI makes these for text conditioning, which is off. A weight without gradient stops DDP.
            for unused in ("norm_cross_attn", "cross_attn"):
                if hasattr(block, unused):
                    delattr(block, unused)

    def _monai_kwargs(self) -> dict[str, Any]:
        options = self.options.model_dump(mode="json")
        return {
            "in_channels": self.in_channels,
            "out_channels": self.classes,
            "img_size": options.pop("patch_size"),
            "dropout_rate": options.pop("dropout"),
            **options,
        }

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> UNETROptions:  # noqa: ARG003
        """Small 1, medium 9, large 102 million parameters; the patch is rounded up to multiples of 16."""
        fitting = PatchRule((_TOKEN,) * 3).round_up(patch_size)
        return UNETROptions(patch_size=fitting, **_SIZES[size])

    @classmethod
    def rule_for(cls, options: UNETROptions) -> PatchRule:
        """Only the size that the position embedding was made for."""
        return PatchRule((_TOKEN,) * 3, exact=options.patch_size)

    def _encode(self, x: Tensor) -> list[Tensor]:
        net = self.backbone
        last, layers = net.vit(x)
        blocks = (net.encoder2, net.encoder3, net.encoder4)
        skips = [block(net.proj_feat(layers[n])) for block, n in zip(blocks, _SKIP_LAYERS, strict=True)]
        return [net.encoder1(x), *skips, net.proj_feat(last)]

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:  # noqa: ARG002 - one output only
        net = self.backbone
        *skips, x = features
        for block, skip in zip(
            (net.decoder5, net.decoder4, net.decoder3, net.decoder2), skips[::-1], strict=True
        ):
            x = block(x, skip)
        return [net.out(x)]

    def mask_points(self, before_position: bool = True) -> MaskPoints:
        """Tokens of 16 voxels a side; the full-resolution skip takes the raw image and leaks it."""
        options: Any = self.options
        embedding = self.backbone.vit.patch_embedding
        cell, skips = (_TOKEN,) * 3, (self.backbone.encoder1,)
        if not before_position:
            return MaskPoints(embedding, "tokens", cell, options.hidden_size, skips)
        layout: Literal["tokens", "grid"] = "grid" if options.proj_type == "conv" else "tokens"
        return MaskPoints(embedding.patch_embeddings, layout, cell, options.hidden_size, skips)

    def monai_equivalent(self) -> MonaiNetwork:
        """MONAI's UNETR, with the norms that it never uses."""
        kwargs = self._monai_kwargs()
        twin = nets.UNETR(**kwargs)
        twin.load_state_dict(self.backbone.state_dict(), strict=False)
        return MonaiNetwork("UNETR", kwargs, twin.state_dict())
