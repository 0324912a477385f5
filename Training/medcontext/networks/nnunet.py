"""The networks of nnU-Net themselves, from the package that nnU-Net takes them from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from dynamic_network_architectures.building_blocks.residual import BasicBlockD, BottleneckD
from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU
from dynamic_network_architectures.initialization.weight_init import (
    InitWeights_He,
    init_last_bn_before_add_to_0,
)
from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationInfo, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medcontext.config import StrictModel
from medcontext.networks.base import MaskPoints, NetworkSize, SegmentationNetwork
from medcontext.networks.sizes import PatchRule, plan_pooling, product
from medcontext.plan import Size, Spacing

_FIRST_FILTERS: dict[NetworkSize, int] = {"small": 8, "medium": 16, "large": 32}
_WIDEST = 10  # times the first filters: nnU-Net stops at 320 from 32
_BLOCKS = (
    1,
    3,
    4,
    6,
)  # of the first stages of nnU-Net's residual encoder; all further ones have as many as the last
_MOST_STAGES = 12
"""Images of 2^12 voxels a side still fit; a file that says more is not a network that anybody trained."""

_NORMS = {"instance": nn.InstanceNorm3d, "batch": nn.BatchNorm3d, "none": None}
_PREFIXES = re.compile(r"^(?:_orig_mod\.|module\.)+")  # of torch.compile and of DistributedDataParallel
_PARTS = ("conv", "dropout", "norm", "nonlin")
"""Second names of the layers that a block runs in a row as ``all_modules``."""


def _three(sizes: Any, info: ValidationInfo) -> Any:
    """One number for all axes, or two for those of a slice, as three ``(K, J, I)``; others as they are."""
    if isinstance(sizes, int):
        sizes = (sizes,) * info.data.get("dims", 3)
    return (1, *sizes) if isinstance(sizes, (list, tuple)) and len(sizes) == 2 else sizes


_Side = Annotated[int, Field(ge=1, le=31)]
_Three = Annotated[tuple[_Side, _Side, _Side], BeforeValidator(_three)]
_Features = Annotated[int, Field(ge=1, le=4096)]
_Blocks = Annotated[int, Field(ge=1, le=64)]


class NNUNetOptions(StrictModel):
    """Keyword arguments of ``nnunet``, named as in nnU-Net's plans; one entry a stage, finest first."""

    architecture: Literal["plain", "residual_encoder"] = "plain"
    """``plain`` is PlainConvUNet, ``residual_encoder`` is ResidualEncoderUNet."""
    dims: Literal[2, 3] = 3
    """2: a network of slices; patches are ``(1, J, I)``, kernels and strides are 1 along K."""
    features_per_stage: Annotated[tuple[_Features, ...], Field(min_length=2, max_length=_MOST_STAGES)]
    """Feature channels."""
    strides: tuple[_Three, ...]
    """Stride (K, J, I) with which each stage begins; the first is 1. One number is for all axes, two are (J, I)."""
    kernel_sizes: tuple[_Three, ...]
    """Kernel (K, J, I), given as strides are."""
    n_conv_per_stage: tuple[_Blocks, ...] | None = None
    """Convolutions of each stage of a plain encoder."""
    n_blocks_per_stage: tuple[_Blocks, ...] | None = None
    """Blocks of each stage of a residual encoder."""
    n_conv_per_stage_decoder: tuple[_Blocks, ...]
    """Convolutions of each stage of the decoder, coarsest first, one entry less than there are stages."""
    conv_bias: bool = True
    """Convolutions and transposed ones have a bias."""
    norm: Literal["instance", "batch", "none"] = "instance"
    """Batch norm always uses the statistics that it came with."""
    norm_eps: PositiveFloat = 1e-5
    """Added to the variance."""
    norm_affine: bool = True
    """The norm has a weight and a bias for each channel."""
    nonlinearity: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Activation."""
    negative_slope: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Of the leaky ReLU."""
    nonlinearity_first: bool = False
    """The activation comes before the norm (plain only)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the activations dropped after each convolution."""
    dropout_channels: bool = True
    """Whole channels are dropped, not single voxels."""
    stem_channels: PositiveInt | None = None
    """Channels of the first convolution of a residual encoder; None: those of the first stage."""
    block: Literal["basic", "bottleneck"] = "basic"
    """Blocks of a residual encoder."""
    bottleneck_channels: tuple[_Features, ...] | None = None
    """Channels inside bottleneck blocks."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages = len(self.features_per_stage)
        if len(self.strides) != stages or len(self.kernel_sizes) != stages:
            raise ValueError("features_per_stage, strides and kernel_sizes need one entry for each stage")
        if self.strides[0] != (1, 1, 1):
            raise ValueError("the first stride must be 1, so that the output has the size of the image")
        if any(size % 2 == 0 for kernel in self.kernel_sizes for size in kernel):
            raise ValueError("kernel_sizes must be odd")
        if self.dims == 2 and any(sizes[0] != 1 for sizes in (*self.strides, *self.kernel_sizes)):
            raise ValueError("a network of slices has kernels and strides of 1 along the first axis")
        if len(self.n_conv_per_stage_decoder) != stages - 1:
            raise ValueError("n_conv_per_stage_decoder needs one entry less than there are stages")
        self._check_encoder(stages)
        return self

    def _check_encoder(self, stages: int) -> None:
        plain = self.architecture == "plain"
        mine, other = ("n_conv_per_stage", "n_blocks_per_stage")[:: 1 if plain else -1]
        if getattr(self, mine) is None or len(getattr(self, mine)) != stages:
            raise ValueError(f"{mine} needs one entry for each stage")
        if getattr(self, other) is not None:
            raise ValueError(f"{other} belongs to the other architecture")
        if plain and (self.stem_channels or self.block != "basic" or self.bottleneck_channels):
            raise ValueError("stem_channels, block and bottleneck_channels belong to residual_encoder")
        if self.nonlinearity_first and not plain:
            raise ValueError("nonlinearity_first belongs to plain")
        if (self.bottleneck_channels is not None) != (self.block == "bottleneck"):
            raise ValueError("bottleneck_channels belong to bottleneck blocks")
        if self.bottleneck_channels is not None and len(self.bottleneck_channels) != stages:
            raise ValueError("bottleneck_channels needs one entry for each stage")


class _AvgPool(nn.AvgPool3d):
    """Averages in float32 on a CPU, for which torch has none of half precision."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.dtype != torch.float32:
            return super().forward(x.float()).to(x.dtype)
        return super().forward(x)


class NNUNet(SegmentationNetwork):
    """U-Nets of nnU-Net (Isensee et al., Nature Methods 2021; residual encoder: Isensee et al., MICCAI 2024).

    Every level of the decoder has an output for deep supervision; nnU-Net trains all but the coarsest. A network of
    slices is computed by 3D layers of one voxel along K: these are the same sums (bit for bit on a CPU), and all that
    works on volumes works on it.
    """

    name = "nnunet"
    title = "nnU-Net's own networks: its models are imported with them; new ones get its residual encoder"
    options_type = NNUNetOptions

    def __init__(self, in_channels: int, classes: int, options: NNUNetOptions) -> None:
        super().__init__(in_channels, classes, options, self.rule_for(options))
        self.backbone = _bare(in_channels, classes, options)
        _initialise(self.backbone, options)
        _prepare(self.backbone)

    @classmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> NNUNetOptions:
        """Small 1.6, medium 6.5, large 26 million parameters with four stages (patch 40 x 56 x 40)."""
        strides, kernels = plan_pooling(patch_size, spacing)
        while len(strides) < 3:  # a stage without pooling costs no resolution
            strides.append((1, 1, 1))
            kernels.append(kernels[-1])
        first, stages = _FIRST_FILTERS[size], min(len(strides), _MOST_STAGES)
        return NNUNetOptions(
            architecture="residual_encoder",
            features_per_stage=tuple(min(first * 2**stage, first * _WIDEST) for stage in range(stages)),
            strides=tuple(strides[:stages]),
            kernel_sizes=tuple(kernels[:stages]),
            n_blocks_per_stage=tuple(_BLOCKS[min(stage, len(_BLOCKS) - 1)] for stage in range(stages)),
            n_conv_per_stage_decoder=(1,) * (stages - 1),
        )

    @classmethod
    def rule_for(cls, options: NNUNetOptions) -> PatchRule:
        """Sides must be multiples of the total stride; slices are one voxel thick."""
        return PatchRule(product(options.strides), flat=options.dims == 2)

    def train(self, mode: bool = True) -> Self:
        """As always, but batch norm keeps to its statistics: those of a patch or two say little."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def _encode(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.backbone.encoder(x)
        return features

    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:
        decoder = self.backbone.decoder
        *skips, x = features
        outputs: list[Tensor] = []
        layers = zip(decoder.transpconvs, decoder.stages, decoder.seg_layers, skips[::-1], strict=True)
        for level, (up, stage, head, skip) in enumerate(layers, start=1):
            x = stage(torch.cat([up(x), skip], dim=1))
            if deep or level == len(skips):
                outputs.append(head(x))
        return outputs[::-1]

    def mask_points(self, before_position: bool = True) -> MaskPoints:  # noqa: ARG002 - no position embedding
        """The features of the first stage, or of the stem before it, voxel by voxel."""
        options: Any = self.options
        encoder = self.backbone.encoder
        channels = options.features_per_stage[0]
        if options.architecture == "plain":
            return MaskPoints(encoder.stages[0], "grid", (1, 1, 1), channels)
        return MaskPoints(encoder.stem, "grid", (1, 1, 1), options.stem_channels or channels)

    def nnunet_state(self) -> dict[str, Tensor]:
        """The weights by nnU-Net's names, which name most tensors several times; the opposite of
        :func:`load_nnunet_state`."""
        options: Any = self.options
        twin = _bare(self.in_channels, self.classes, options)
        twin.load_state_dict(self.backbone.state_dict(), strict=False)
        state = twin.state_dict()
        if options.dims == 2:
            return {name: value.squeeze(2) if value.ndim == 5 else value for name, value in state.items()}
        return state


def load_nnunet_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network of nnU-Net by the names of :class:`NNUNet`, each tensor once.

    Prefixes of compiled and of distributed networks are taken off and kernels of slices, ``(O, I, j, i)``, get an
    axis of one voxel along K. What is not known stays under its name, so that loading it says so.

    Args:
        state: ``network_weights`` of a checkpoint.
    """
    plain = {_PREFIXES.sub("", name): value for name, value in state.items()}
    kept = {}
    for name, value in plain.items():
        module, _, leaf = name.rpartition(".")
        block, _, part = module.rpartition(".")
        twin = part in _PARTS and any(other.startswith(f"{block}.all_modules.") for other in plain)
        if not twin and not name.startswith("decoder.encoder."):
            kept[f"backbone.{name}"] = value.unsqueeze(2) if leaf == "weight" and value.ndim == 4 else value
    return kept


def _bare(in_channels: int, classes: int, options: NNUNetOptions) -> Any:
    """The network as its package builds it; dozens of its tensors have several names."""
    drop = nn.Dropout3d if options.dropout_channels else nn.Dropout
    leaky = options.nonlinearity == "leaky_relu"
    shared: dict[str, Any] = {
        "input_channels": in_channels,
        "n_stages": len(options.features_per_stage),
        "features_per_stage": options.features_per_stage,
        "conv_op": nn.Conv3d,
        "kernel_sizes": options.kernel_sizes,
        "strides": options.strides,
        "num_classes": classes,
        "n_conv_per_stage_decoder": options.n_conv_per_stage_decoder,
        "conv_bias": options.conv_bias,
        "norm_op": _NORMS[options.norm],
        "norm_op_kwargs": {"eps": options.norm_eps, "affine": options.norm_affine},
        "dropout_op": drop if options.dropout else None,
        "dropout_op_kwargs": {"p": options.dropout},
        "nonlin": nn.LeakyReLU if leaky else nn.ReLU,
        "nonlin_kwargs": {"inplace": True} | ({"negative_slope": options.negative_slope} if leaky else {}),
        "deep_supervision": True,
    }
    if options.architecture == "plain":
        return PlainConvUNet(
            n_conv_per_stage=options.n_conv_per_stage, nonlin_first=options.nonlinearity_first, **shared
        )
    return ResidualEncoderUNet(
        n_blocks_per_stage=options.n_blocks_per_stage,
        block=BottleneckD if options.block == "bottleneck" else BasicBlockD,
        bottleneck_channels=options.bottleneck_channels,
        stem_channels=options.stem_channels,
        **shared,
    )


def _initialise(network: nn.Module, options: NNUNetOptions) -> None:
    """Random weights as nnU-Net draws them; residual blocks begin as the identity where they have a norm for it."""
    network.apply(InitWeights_He(options.negative_slope))
    if options.norm != "none" and options.norm_affine:
        network.apply(init_last_bn_before_add_to_0)


def _prepare(network: Any) -> None:
    """Leave each tensor one name, under which it is computed with and stored, and take means of any precision."""
    del network.decoder.encoder
    for module in network.modules():
        if isinstance(module, ConvDropoutNormReLU):
            for part in _PARTS:
                if hasattr(module, part):
                    delattr(module, part)
        for name, child in list(module.named_children()):
            if isinstance(child, nn.AvgPool3d):
                setattr(module, name, _AvgPool(child.kernel_size, child.stride))
