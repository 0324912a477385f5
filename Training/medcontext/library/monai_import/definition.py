"""MONAI's network definitions in our words, for the networks that both have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from medcontext.errors import InputError
from medcontext.library.monai_import.config import TARGET, Part
from medcontext.plan import NetworkSpec

Values = dict[str, Any]

MOST_CHANNELS, MOST_STAGES, MOST_BLOCKS = 8192, 16, 64
"""Of an image or a stage, of a network, and of a stage: several times what is published."""


@dataclass(frozen=True)
class Definition:
    """A network of a bundle in our words.

    Attributes:
        network: our network.
        in_channels, out_channels: as the bundle says.
        plain_norms: whether its norms have no weights where ours have some: those are 1 and 0.
    """

    network: NetworkSpec
    in_channels: int
    out_channels: int
    plain_norms: bool = False


@dataclass(frozen=True)
class _Form:
    """One of MONAI's networks.

    Attributes:
        name: of our network.
        convert: our keyword arguments from those of ``required`` and ``defaults``.
        required: keyword arguments without a default.
        defaults: keyword arguments with what MONAI takes where they are not given.
        fixed: keyword arguments with MONAI's default, and the values that our network has.
        ignored: keyword arguments that change no weight and no result.
    """

    name: str
    convert: Callable[[Values], Values]
    required: tuple[str, ...]
    defaults: Values
    fixed: dict[str, tuple[Any, tuple[Any, ...]]]
    ignored: tuple[str, ...] = ()

    @property
    def known(self) -> set[str]:
        """Every keyword argument that is understood."""
        return {*self.required, *self.defaults, *self.fixed, *self.ignored, *_CHANNELS, "spatial_dims"}


def read_definition(part: Part) -> Definition:
    """A network definition of a bundle as a network of ours.

    Raises:
        InputError: it is none of ours, is 2D, has an argument or a value that ours does not have, is absurdly large,
            or cannot be read as data.
    """
    form, target = _form(part)
    if (dims := part.get("spatial_dims", 3)) != 3:
        raise InputError(f"{part.file}: the network is {dims}D; only 3D networks of bundles can be imported.")
    for name, (default, allowed) in form.fixed.items():
        value = part.get(name, default)
        if _plain(value) not in [_plain(one) for one in allowed]:
            raise InputError(
                f"{part.file}: a {target} with {name} {value} is no network of MedContext; with {allowed[0]} it is."
            )
    values = {name: part.get(name, default) for name, default in form.defaults.items()}
    values |= {name: part.get(name) for name in form.required}
    try:
        _check_extent(values)
        kwargs = form.convert(values)
        in_channels, out_channels = (_channels(part.get(name)) for name in _CHANNELS)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{part.file}: the network definition cannot be used: {error}.") from error
    plain_norms = target == "DynUNet" and _plain(part.get("norm_name", _AFFINE)) == "instance"
    return Definition(NetworkSpec(name=form.name, kwargs=kwargs), in_channels, out_channels, plain_norms)


def _form(part: Part) -> tuple[_Form, str]:
    """How a definition is read; every argument in it is known."""
    target = part.target
    if target not in _FORMS:
        raise InputError(
            f"{part.file}: MedContext has no network {target or '(it is no component)'}.",
            f"Networks of bundles that can be imported: {', '.join(_FORMS)}.",
        )
    form = _FORMS[target]
    given = {str(name) for name in part.plain()} - {TARGET, "_disabled_", "_desc_"}
    if unknown := sorted(given - form.known):
        raise InputError(
            f"{part.file}: '{unknown[0]}' of a {target} is not known here.",
            f"Known: {', '.join(sorted(form.known))}.",
        )
    if missing := [name for name in (*_CHANNELS, *form.required) if name not in given]:
        raise InputError(f"{part.file}: the network definition does not say '{missing[0]}'.")
    return form, target


def _channels(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= MOST_CHANNELS:
        raise ValueError(f"the number of channels is {value}, and 1 to {MOST_CHANNELS} are allowed")
    return value


def _check_extent(values: Values) -> None:
    """Refuse what would fill the memory before a weight is looked at."""
    for name, value in values.items():
        entries = value if isinstance(value, list | tuple) else [value]
        numbers = [n for entry in entries for n in (entry if isinstance(entry, list | tuple) else [entry])]
        most = MOST_BLOCKS if "blocks" in name or name == "depths" else MOST_CHANNELS
        if len(entries) > MOST_STAGES or any(
            isinstance(n, int | float) and not 0 <= n <= most for n in numbers
        ):
            raise ValueError(
                f"{name} has {len(entries)} entries of up to {max(map(str, numbers), key=len)[:20]}"
            )


def _plain(value: Any) -> Any:
    """One spelling of names with arguments: ``["INSTANCE", {}]`` and ``"instance"`` are the same."""
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        return (
            (str(value[0]).casefold(), tuple(sorted(value[1].items())))
            if value[1]
            else str(value[0]).casefold()
        )
    return value.casefold() if isinstance(value, str) else value


def _triples(values: Any) -> list[list[int]]:
    """One number or three for each stage as three."""
    return [[value] * 3 if isinstance(value, int) else [int(n) for n in value] for value in values]


def _dynunet(values: Values) -> Values:
    strides, kernels = _triples(values["strides"]), _triples(values["kernel_size"])
    if _triples(values["upsample_kernel_size"]) != strides[1:]:
        raise ValueError("upsample_kernel_size differs from the strides")
    filters = values["filters"] or [min(2 ** (5 + stage), 320) for stage in range(len(strides))]
    return {
        "filters": list(filters)[: len(strides)],
        "strides": strides,
        "kernels": kernels,
        "res_block": bool(values["res_block"]),
        "dropout": float(values["dropout"] or 0),
        "deep_heads": values["deep_supr_num"] if values["deep_supervision"] else None,
    }


def _unetr(values: Values) -> Values:
    size, kind, older = values.pop("img_size"), values.pop("proj_type"), values.pop("pos_embed")
    return {
        "patch_size": [size] * 3 if isinstance(size, int) else list(size),
        "proj_type": kind or older or "conv",
        "dropout": values.pop("dropout_rate"),
        **values,
    }


def _swin_unetr(values: Values) -> Values:
    return {"drop_path": values.pop("dropout_path_rate"), **values}


def _segresnet(values: Values) -> Values:
    if (up := values.pop("blocks_up")) and set(up) != {1}:
        raise ValueError("blocks_up other than 1 for each stage is not known here")
    return values | {"resolution": values["resolution"] or [1.0, 1.0, 1.0]}


def _mednext(values: Values) -> Values:
    blocks = list(values["blocks_down"])
    down, up = (
        [given] * len(blocks) if isinstance(given, int) else list(given)
        for given in (values["encoder_expansion_ratio"], values["decoder_expansion_ratio"])
    )
    if up != down[::-1] or list(values["blocks_up"]) != blocks[::-1]:
        raise ValueError("its decoder does not mirror its encoder")
    return {
        "init_filters": values["init_filters"],
        "blocks": blocks,
        "blocks_bottleneck": values["blocks_bottleneck"],
        "expansion": down,
        "expansion_bottleneck": values["bottleneck_expansion_ratio"],
        "kernel_size": values["kernel_size"],
    }


_CHANNELS = ("in_channels", "out_channels")
_AFFINE = ("INSTANCE", {"affine": True})
_SLOPE = {"negative_slope": 0.01}
_LEAKY = (
    ("leakyrelu", _SLOPE | {"inplace": True}),
    ("leakyrelu", _SLOPE),
    ("leakyrelu", {"inplace": True}),
    "leakyrelu",
)
_INSTANCE = ("instance", ("instance",))

_FORMS = {
    "DynUNet": _Form(
        "dynunet",
        _dynunet,
        ("kernel_size", "strides", "upsample_kernel_size"),
        {"filters": None, "dropout": None, "deep_supervision": False, "deep_supr_num": 1, "res_block": False},
        {
            "norm_name": (_AFFINE, (_AFFINE, "instance", ("instance", {"affine": False}))),
            "act_name": (_LEAKY[0], _LEAKY),
            "trans_bias": (False, (False,)),
        },
    ),
    "UNETR": _Form(
        "unetr",
        _unetr,
        ("img_size",),
        {"feature_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12, "dropout_rate": 0.0}
        | {"proj_type": None, "pos_embed": None},
        {
            "norm_name": _INSTANCE,
            "conv_block": (True, (True,)),
            "res_block": (True, (True,)),
            "qkv_bias": (False, (False,)),
        },
        ("save_attn",),
    ),
    "SwinUNETR": _Form(
        "swin_unetr",
        _swin_unetr,
        (),
        {"feature_size": 24, "depths": [2, 2, 2, 2], "num_heads": [3, 6, 12, 24], "window_size": 7}
        | {"dropout_path_rate": 0.0, "use_v2": False},
        {
            "patch_size": (2, (2, [2, 2, 2])),
            "qkv_bias": (True, (True,)),
            "mlp_ratio": (4.0, (4.0,)),
            "norm_name": _INSTANCE,
            "normalize": (True, (True,)),
            "patch_norm": (False, (False,)),
            "downsample": ("merging", ("merging",)),
            "use_hyena": (False, (False,)),
        },
        ("img_size", "use_checkpoint", "drop_rate", "attn_drop_rate", "use_flash_attention"),
    ),
    "SegResNetDS": _Form(
        "segresnet",
        _segresnet,
        (),
        {"init_filters": 32, "blocks_down": [1, 2, 2, 4], "blocks_up": None, "resolution": None},
        {
            "norm": ("batch", ("instance", ("instance", {"affine": True}))),
            "act": ("relu", ("relu", ("relu", {"inplace": True}))),
            "upsample_mode": ("deconv", ("deconv",)),
        },
        ("dsdepth",),
    ),
    "MedNeXt": _Form(
        "mednext",
        _mednext,
        (),
        {"init_filters": 32, "encoder_expansion_ratio": 2, "decoder_expansion_ratio": 2}
        | {"bottleneck_expansion_ratio": 2, "kernel_size": 7, "blocks_bottleneck": 2}
        | {"blocks_down": [2, 2, 2, 2], "blocks_up": [2, 2, 2, 2]},
        {
            "use_residual_connection": (False, (True,)),
            "norm_type": ("group", ("group",)),
            "global_resp_norm": (False, (False,)),
        },
        ("deep_supervision",),
    ),
}  # fmt: skip
"""Class of MONAI (without its module) to ours. Names from files are looked up here and never imported."""
