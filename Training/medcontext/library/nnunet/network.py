"""The network of nnU-Net's plans in the words of ours. Names are looked up in tables and never imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.library.nnunet.plans import Configuration

NETWORK = "nnunet"

_CLASSES = {"PlainConvUNet": "plain", "ResidualEncoderUNet": "residual_encoder"}
_NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_ACTIVATIONS = {"LeakyReLU": "leaky_relu", "ReLU": "relu"}
_BLOCKS = {"BasicBlockD": "basic", "BottleneckD": "bottleneck"}

_SAME_NAME = (
    "features_per_stage", "strides", "kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage",
    "n_conv_per_stage_decoder", "conv_bias", "stem_channels", "bottleneck_channels",
)  # fmt: skip
_MOST_STAGES = 32


class Arguments(StrictModel):
    """``arch_kwargs``; another one would be a network that is not known here."""

    n_stages: int
    features_per_stage: int | list[int]
    conv_op: str
    kernel_sizes: int | list[int | list[int]]
    strides: int | list[int | list[int]]
    n_conv_per_stage: int | list[int] | None = None
    n_blocks_per_stage: int | list[int] | None = None
    n_conv_per_stage_decoder: int | list[int]
    conv_bias: bool = False
    norm_op: str | None = None
    norm_op_kwargs: dict[str, Any] | None = None
    dropout_op: str | None = None
    dropout_op_kwargs: dict[str, Any] | None = None
    nonlin: str | None = None
    nonlin_kwargs: dict[str, Any] | None = None
    nonlin_first: bool = False
    deep_supervision: bool = True
    block: str | None = None
    bottleneck_channels: int | list[int] | None = None
    stem_channels: int | None = None


def network_kwargs(found: Configuration, batch_norm: bool, source: str) -> dict[str, Any]:
    """Keyword arguments of :class:`medcontext.networks.nnunet.NNUNetOptions` for a configuration.

    Args:
        found: the configuration.
        batch_norm: the weights have running statistics, as nnU-Net's BN trainers make them.
        source: named in sentences.

    Raises:
        InputError: the network is of a class, or made of layers, that are not known here.
    """
    dims = len(found.patch_size)
    architecture = found.architecture
    name = architecture.network_class_name.rpartition(".")[2]
    if name not in _CLASSES:
        raise InputError(
            f"The network of {source} is a {architecture.network_class_name[:120]}, which is not known here.",
            f"Known are {' and '.join(_CLASSES)}.",
        )
    given = Arguments.parse(architecture.arch_kwargs, f"The network of {source}")
    if not 2 <= given.n_stages <= _MOST_STAGES:
        raise InputError(f"The network of {source} has {given.n_stages} stages; no image is that large.")
    if isinstance(given.features_per_stage, list) and len(given.features_per_stage) != given.n_stages:
        raise InputError(
            f"The network of {source} has {given.n_stages} stages and {len(given.features_per_stage)} numbers of "
            "features."
        )
    _layer(given.conv_op, {"Conv": "conv"}, dims, source)
    kwargs: dict[str, Any] = {"architecture": _CLASSES[name], "dims": dims}
    said = given.model_dump()
    for key in _SAME_NAME:
        if said[key] is not None:
            kwargs[key] = _for_each_stage(key, said[key], given.n_stages)
    kwargs |= _norm(given, dims, batch_norm, source) | _activation(given, source)
    kwargs |= _dropout(given, dims, source)
    if given.block is not None:
        kwargs["block"] = _layer(given.block, _BLOCKS, 0, source)
    return kwargs


def _for_each_stage(key: str, value: Any, stages: int) -> Any:
    """One number stands for all stages."""
    if key == "conv_bias" or key == "stem_channels" or not isinstance(value, int):
        return value
    return [value] * (stages - 1 if key == "n_conv_per_stage_decoder" else stages)


def _norm(given: Arguments, dims: int, batch_norm: bool, source: str) -> dict[str, Any]:
    if given.norm_op is None:
        return {"norm": "none"}
    kind = _layer(given.norm_op, _NORMS, dims, source)
    options = _only(given.norm_op_kwargs, ("eps", "affine", "momentum", "track_running_stats"), source)
    if batch_norm and kind == "instance" and not options.get("track_running_stats"):
        return {"norm": "batch", "norm_eps": 1e-5, "norm_affine": True}
    if options.get("track_running_stats", kind == "batch") != (kind == "batch"):
        raise InputError(
            f"The {kind} norm of {source} uses running statistics in a way that is not known here."
        )
    return {
        "norm": kind,
        "norm_eps": options.get("eps", 1e-5),
        "norm_affine": options.get("affine", kind == "batch"),
    }


def _activation(given: Arguments, source: str) -> dict[str, Any]:
    if given.nonlin is None:
        raise InputError(f"The network of {source} has no activation; that is not known here.")
    kind = _layer(given.nonlin, _ACTIVATIONS, 0, source)
    options = _only(given.nonlin_kwargs, ("inplace", "negative_slope"), source)
    slope = {"negative_slope": options["negative_slope"]} if "negative_slope" in options else {}
    first = {"nonlinearity_first": True} if given.nonlin_first else {}
    return {"nonlinearity": kind} | slope | first


def _dropout(given: Arguments, dims: int, source: str) -> dict[str, Any]:
    if given.dropout_op is None:
        return {}
    whole = given.dropout_op.rpartition(".")[2] != "Dropout"
    _layer(given.dropout_op, {"Dropout": "dropout"}, dims if whole else 0, source)
    options = _only(given.dropout_op_kwargs, ("p", "inplace"), source)
    return {"dropout": options.get("p", 0.5), "dropout_channels": whole}


def _layer(name: str, known: Mapping[str, str], dims: int, source: str) -> str:
    """What a class is here, such as ``torch.nn.modules.conv.Conv3d``; with ``dims`` it must end with their number."""
    ending = f"{dims}d" if dims else ""
    found = {f"{start}{ending}": ours for start, ours in known.items()}.get(name.rpartition(".")[2])
    if found is None:
        raise InputError(f"The network of {source} is made of {name[:120]}, which is not known here.")
    return found


def _only(options: Mapping[str, Any] | None, known: tuple[str, ...], source: str) -> dict[str, Any]:
    """Arguments of a layer, none but the known."""
    given = dict(options or {})
    strange = [key for key in given if key not in known]
    if strange:
        raise InputError(
            f"A layer of the network of {source} takes {', '.join(map(str, strange))[:120]}, which is not known here."
        )
    return given
