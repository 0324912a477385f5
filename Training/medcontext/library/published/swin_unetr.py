"""Swin UNETR weights in the forms that they are published in.

Known are, with or without ``module.`` in front:

* pre-training of VoCo, version 1: two whole encoders, ``student.*`` and ``teacher.*``; version 2: ``backbone.*``;
* released VoCo models and every other Swin UNETR of MONAI: ``swinViT.*`` (or ``swin_vit.*``), ``encoder1.*``, ...;
* MONAI's self-supervised models: the transformer alone, as ``SwinUNETR.load_from`` takes it (``patch_embed.*``,
  ``layers1.0.*``, with ``mlp.fc1`` for ``mlp.linear1``), with the heads of its training beside it (``swinViT.*``,
  ``rotation_head.*``, ...), or as ``filter_swinunetr`` takes it (``encoder.layers1.0.0.*``).

What they have in common is the patch embedding of the transformer: what stands before its name tells the form. All of
the network that its weights can tell is read off their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medcontext.errors import InputError
from medcontext.plan import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor

NETWORK = "swin_unetr"
STAGES = 4
MOST_FEATURES, MOST_WINDOW = 384, 16
"""Of the first stage, and tokens along an axis: twice what is published. More would only fill the memory."""

_ANCHOR = "patch_embed.proj.weight"
_TRANSFORMER = re.compile(r"(swinViT|swin_vit)\.$")
_PARTS = re.compile(r"(encoder\d+|decoder\d+|out)\.")
_DOUBLED = re.compile(r"^(layers\dc?\.0)\.0\.")
_BLOCK = re.compile(r"layers(\d)\.0\.blocks\.(\d+)\.attn\.relative_position_bias_table$")


@dataclass(frozen=True)
class Published:
    """Weights that were recognised.

    Attributes:
        network: our network with the keyword arguments that they fit.
        in_channels: image channels.
        names: name in the file to name in our network, of all that belongs to it.
        form: what tells how they were published, such as ``student.swinViT``.
        notes: what had to be chosen.
    """

    network: NetworkSpec
    in_channels: int
    names: dict[str, str]
    form: str
    notes: tuple[str, ...] = ()


def recognise(tensors: Mapping[str, Tensor]) -> Published | None:
    """The Swin UNETR in some named tensors; None where there is none.

    Raises:
        InputError: there is one that cannot be a network of ours.
    """
    fronts = sorted(
        (name.removesuffix(_ANCHOR) for name in tensors if name.endswith(_ANCHOR)), key=_less_wanted
    )
    if not fronts:
        return None
    front = fronts[0]
    root = _TRANSFORMER.sub("", front)
    names = {name: ours for name in tensors if (ours := _renamed(name, front, root))}
    shapes = {ours.removeprefix("backbone."): tuple(tensors[name].shape) for name, ours in names.items()}
    others = ", ".join(map(_form, fronts[1:]))
    notes = [f"The file holds another network, which was left out: {others}."] if others else []
    in_channels, features = _embedding(shapes)
    kwargs = {"feature_size": features, **_stages(shapes, features)}
    kwargs["use_v2"] = any(name.startswith("swinViT.layers1c.") for name in shapes)
    return Published(NetworkSpec(name=NETWORK, kwargs=kwargs), in_channels, names, _form(front), tuple(notes))


def _less_wanted(front: str) -> tuple[bool, bool, int]:
    """Orders what stands before the patch embeddings of a file: a student first, a teacher last.

    VoCo optimises the student; its teacher is the mean of the last steps.
    """
    return "teacher" in front, "student" not in front, len(front)


def _form(front: str) -> str:
    return f"{front}{_ANCHOR}"


def _renamed(name: str, front: str, root: str) -> str:
    """The name of a tensor in our network; empty where it is not of the chosen network."""
    if name.startswith(front):
        rest = _DOUBLED.sub(r"\1.", name.removeprefix(front))
        return "backbone.swinViT." + rest.replace(".mlp.fc", ".mlp.linear")
    rest = name.removeprefix(root)
    return f"backbone.{rest}" if name.startswith(root) and _PARTS.match(rest) else ""


def _embedding(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """Image channels and features of the first stage.

    Raises:
        InputError: they are of a 2D network, or of another kind of Swin transformer.
    """
    shape = shapes[f"swinViT.{_ANCHOR}"]
    if len(shape) != 5 or shape[2:] != (2, 2, 2):
        raise InputError(
            f"It is a Swin transformer with patches of {' x '.join(map(str, shape[2:]))}; "
            "only 3D ones with patches of 2 x 2 x 2 can be used."
        )
    if shape[0] % 12 or not 12 <= shape[0] <= MOST_FEATURES:
        raise InputError(
            f"It is a Swin UNETR with {shape[0]} features; a multiple of 12 up to {MOST_FEATURES} is allowed."
        )
    return shape[1], shape[0]


def _stages(shapes: Mapping[str, tuple[int, ...]], features: int) -> dict[str, object]:
    """Blocks and heads of each stage, and the window: the table of position biases is ``((2 w - 1)^3, heads)``.

    Raises:
        InputError: a stage is missing, or they do not go together.
    """
    tables: dict[int, dict[int, tuple[int, ...]]] = {stage: {} for stage in range(1, STAGES + 1)}
    for name, shape in shapes.items():
        if found := _BLOCK.search(name):
            tables.setdefault(int(found[1]), {})[int(found[2])] = shape
    if len(tables) != STAGES or any(
        sorted(blocks) != list(range(len(blocks))) or not blocks for blocks in tables.values()
    ):
        raise InputError(f"It is no whole Swin UNETR: blocks of some of its {STAGES} stages are missing.")
    rows = {shape[0] for blocks in tables.values() for shape in blocks.values()}
    window = next((w for w in range(1, MOST_WINDOW + 1) if rows == {(2 * w - 1) ** 3}), None)
    if window is None:
        raise InputError(f"Its windows are no cubes of at most {MOST_WINDOW} tokens a side.")
    for stage, blocks in tables.items():
        width = features * 2 ** (stage - 1)
        for block in blocks:
            if shapes.get(f"swinViT.layers{stage}.0.blocks.{block}.attn.qkv.weight") != (3 * width, width):
                raise InputError(f"Its stage {stage} does not have the {width} features of a Swin UNETR.")
    return {
        "depths": [len(tables[stage]) for stage in sorted(tables)],
        "num_heads": [tables[stage][0][1] for stage in sorted(tables)],
        "window_size": window,
    }
