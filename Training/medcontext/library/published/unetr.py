"""UNETR weights in the forms that they are published in.

* the authors' MedContext code: MONAI's UNETR with the transformer not in a module ``vit`` of its own
  (``patch_embedding.*``, ``blocks.*``, ``norm.*`` beside ``encoder1.*`` ... ``out.*``), and a ``mask_token``;
* MONAI: the same with ``vit.`` in front of the transformer.

With or without ``module.``, ``student.`` or ``teacher.`` in front. The number of attention heads is in no tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import InferenceSpec, InputRange, InputSpec
from medcontext.errors import InputError
from medcontext.library.published.weights import PublishedWeights, front_of
from medcontext.plan import Channel, Intensity, NetworkSpec, Spacing

if TYPE_CHECKING:
    from torch import Tensor

NETWORK = "unetr"
TOKEN, LAYERS, HEAD = 16, 12, 64
"""Voxels a token and axis, layers of the transformer, and channels of an attention head (12 of 768)."""

SPACING: Spacing = (1.5, 1.5, 2.0)
LOW, HIGH = -175.0, 250.0
"""The authors' BTCV setting: mm along (right, anterior, superior), and HU that become 0..1."""

_ANCHOR = "patch_embedding.position_embeddings"
_REST = re.compile(r"(encoder[1-4]|decoder[2-5]|out)\.")
_TRANSFORMER = re.compile(r"(patch_embedding|blocks|norm)\.")
_UNUSED = {"mask_token": "used in its training only", "cls_token": "not used by UNETR"}


def recognise(tensors: Mapping[str, Tensor]) -> PublishedWeights | None:
    """The UNETR in some named tensors; None where there is none.

    Raises:
        InputError: there is one that cannot be a network of ours.
    """
    front = front_of(tensors, _ANCHOR)
    if front is None:
        return None
    root = front.removesuffix("vit.")
    state, left_out = {}, []
    for name, value in tensors.items():
        ours = _renamed(name, front, root)
        if ours:
            state[ours] = value
        else:
            left_out.append((name, _UNUSED.get(name.rpartition(".")[2], "no part of the network")))
    kwargs, in_channels, notes = _options(state)
    inlined = front == root
    out = state.get("backbone.out.conv.conv.weight")
    return PublishedWeights(
        form="MedContext checkpoint (UNETR)" if inlined else "UNETR weights",
        network=NetworkSpec(name=NETWORK, kwargs=kwargs),
        in_channels=in_channels,
        classes=None if out is None else int(out.shape[0]),
        state=state,
        left_out=tuple(left_out),
        input=_input(kwargs, in_channels),
        inference=InferenceSpec(predictor="student"),
        notes=(*notes, _SETTING),
    )


_SETTING = (
    "The file does not say how images are prepared: the authors' setting for BTCV was taken (turned to RAS, "
    f"{SPACING[0]} x {SPACING[1]} x {SPACING[2]} mm, {LOW:.0f} to {HIGH:.0f} HU)."
)


def _renamed(name: str, front: str, root: str) -> str:
    """The name of a tensor in our network; empty where it has none."""
    if name.endswith(("mask_token", "cls_token")):
        return ""
    if name.startswith(front) and _TRANSFORMER.match(rest := name.removeprefix(front)):
        return "" if ".norm_cross_attn." in rest or ".cross_attn." in rest else f"backbone.vit.{rest}"
    if name.startswith(root) and _REST.match(rest := name.removeprefix(root)):
        return f"backbone.{rest}"
    return ""


def _options(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], int, list[str]]:
    """Keyword arguments, image channels, and what was assumed.

    Raises:
        InputError: it is 2D, has another number of layers, another window than a cube, or heads that cannot be told.
    """
    shapes = {name.removeprefix("backbone."): tuple(value.shape) for name, value in state.items()}
    position = shapes[f"vit.{_ANCHOR}"]
    linear, conv = (
        shapes.get(f"vit.patch_embedding.patch_embeddings.{end}") for end in ("1.weight", "weight")
    )
    layers = {name.split(".")[2] for name in shapes if name.startswith("vit.blocks.")}
    tokens = round(position[-2] ** (1 / 3)) if len(position) == 3 else 0
    if len(layers) != LAYERS or not tokens or tokens**3 != position[1]:
        raise InputError(
            f"It is a UNETR with {len(layers)} layers and positions of {position}; only {LAYERS} layers and a cube of "
            "tokens can be used."
        )
    hidden = position[2]
    cells = conv[1] * TOKEN**3 if conv and conv[2:] == (TOKEN,) * 3 else linear[1] if linear else 0
    mlp = shapes.get("vit.blocks.0.mlp.linear1.weight", (0,))[0]
    if cells % TOKEN**3 or not cells or hidden % HEAD or not mlp:
        raise InputError(
            f"It is a UNETR with {hidden} channels a token, which is no multiple of {HEAD}, or with tokens of other "
            f"than {TOKEN} voxels a side."
        )
    first = shapes.get("encoder1.layer.conv1.conv.weight")
    kwargs = {
        "patch_size": [tokens * TOKEN] * 3,
        "feature_size": first[0] if first else 16,
        "hidden_size": hidden,
        "mlp_dim": mlp,
        "num_heads": hidden // HEAD,
        "proj_type": "conv" if conv else "perceptron",
    }
    return (
        kwargs,
        cells // TOKEN**3,
        [f"The file does not say the attention heads: {hidden // HEAD} were taken."],
    )


def _input(kwargs: Mapping[str, Any], in_channels: int) -> InputSpec:
    """MONAI's arrays are (right, anterior, superior): our (K, J, I) of the code backwards."""
    hounsfield = Intensity(kind="ct", low=LOW, high=HIGH, mean=LOW, std=HIGH - LOW)
    k, j, i = kwargs["patch_size"]
    return InputSpec(
        channels=[
            Channel(name=f"image {n + 1}", modality="CT", intensity=hounsfield) for n in range(in_channels)
        ],
        spacing=SPACING,
        orientation="SAR",
        patch_size=(k, j, i),
        range=InputRange(spacing=(SPACING, SPACING)),
    )
