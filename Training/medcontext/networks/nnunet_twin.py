"""A network of ours as one of nnU-Net's own that computes the same."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from medcontext.errors import InputError
from medcontext.networks.base import SegmentationNetwork
from medcontext.networks.dynunet import DynUNet, DynUNetOptions
from medcontext.networks.nnunet import NNUNet, NNUNetOptions
from medcontext.plan import Size

_PARTS = {
    "conv1.conv.": "convs.0.all_modules.0.",
    "norm1.": "convs.0.all_modules.1.",
    "conv2.conv.": "convs.1.all_modules.0.",
    "norm2.": "convs.1.all_modules.1.",
}
"""Layers of a block of two convolutions."""


def as_nnunet(network: SegmentationNetwork) -> NNUNet:
    """The network itself where it is nnU-Net's own, a ``dynunet`` without residual blocks as a plain U-Net.

    Both have the same layers but for one thing: a block of the decoder has the kernel of the next coarser stage in
    ``dynunet`` and that of its own stage in nnU-Net. Where they differ, the smaller kernel is widened with zeros, so
    that both stages take the larger one. Outputs of deep supervision that ``dynunet`` does not have are zero.

    Raises:
        InputError: the network is another one.
    """
    if isinstance(network, NNUNet):
        return network
    if not isinstance(network, DynUNet) or network.kwargs["res_block"]:
        what = "dynunet with residual blocks" if isinstance(network, DynUNet) else network.name
        raise InputError(
            f"nnU-Net has no network that computes what this {what} does.",
            "Only models with the networks nnunet and dynunet (without residual blocks) can become one of nnU-Net.",
        )
    options: Any = network.options
    twin = NNUNet(network.in_channels, network.classes, _twin_options(options))
    state = {name: value.new_zeros(value.shape) for name, value in twin.state_dict().items()}
    places = _places(len(options.filters), network.heads)
    for name, value in network.state_dict().items():
        place = next(
            theirs + name.removeprefix(ours) for ours, theirs in places.items() if name.startswith(ours)
        )
        state[place] = _widened(value, state[place])
    twin.load_state_dict(state)
    return twin.to(next(network.parameters()).device).train(network.training)


def widened_stages(options: DynUNetOptions) -> list[int]:
    """The stages, finest first, of which :func:`as_nnunet` widens kernels."""
    pairs = zip(options.kernels, _common_kernels(options), strict=True)
    return [stage for stage, (own, common) in enumerate(pairs) if own != common]


def _common_kernels(options: DynUNetOptions) -> tuple[Size, ...]:
    """The kernel of each stage that holds both its own and that of its block in the decoder."""
    kernels = options.kernels
    following = (*kernels[1:], kernels[-1])
    return tuple(
        (max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2])) for a, b in zip(kernels, following, strict=True)
    )


def _twin_options(options: DynUNetOptions) -> NNUNetOptions:
    stages = len(options.filters)
    return NNUNetOptions(
        features_per_stage=options.filters,
        strides=options.strides,
        kernel_sizes=_common_kernels(options),
        n_conv_per_stage=(2,) * stages,
        n_conv_per_stage_decoder=(2,) * (stages - 1),
        conv_bias=False,
    )


def _places(stages: int, heads: int) -> dict[str, str]:
    """How names of ``dynunet`` begin, and those of its twin."""
    last = stages - 1
    blocks = {"input_block.": "encoder.stages.0.0.", "bottleneck.": f"encoder.stages.{last}.0."}
    blocks |= {f"downsamples.{n}.": f"encoder.stages.{n + 1}.0." for n in range(last - 1)}
    blocks |= {f"upsamples.{n}.conv_block.": f"decoder.stages.{n}." for n in range(last)}
    places = {ours + mine: theirs + part for ours, theirs in blocks.items() for mine, part in _PARTS.items()}
    places |= {f"upsamples.{n}.transp_conv.conv.": f"decoder.transpconvs.{n}." for n in range(last)}
    places["output_block.conv.conv."] = f"decoder.seg_layers.{last - 1}."
    places |= {
        f"deep_supervision_heads.{n}.conv.conv.": f"decoder.seg_layers.{last - 2 - n}." for n in range(heads)
    }
    return {f"backbone.{ours}": f"backbone.{theirs}" for ours, theirs in places.items()}


def _widened(value: Tensor, target: Tensor) -> Tensor:
    """A kernel with zeros around it, up to the size of another; all else as it is."""
    if value.ndim < 5:
        return value
    margins = [(wide - own) // 2 for own, wide in zip(value.shape[2:], target.shape[2:], strict=True)]
    return nn.functional.pad(value, [margin for axis in margins[::-1] for margin in (axis, axis)])
