"""The tensors of a bundle by the names of our network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from medcontext.library.monai_import.definition import Definition
from medcontext.library.read import check_state

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks import SegmentationNetwork

_BACKBONE = "backbone."
"""In front of what MONAI names, in our networks."""

_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.", "student.")
"""What programs put in front of every name."""

_UNUSED = {"skip_layers", "norm_cross_attn", "cross_attn", "cls_token"}
"""Second names of the same tensors, and what MONAI keeps and never computes with."""

_HEAD = re.compile(r"\.(deep_supervision_heads|out_blocks)\.\d+\.")
_LEVEL_HEAD = re.compile(r"\.up_layers\.(\d+)\.head\.")


def our_state(
    network: SegmentationNetwork, tensors: Mapping[str, Tensor], definition: Definition, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a bundle by the names of our network.

    Args:
        network: ours, with any weights.
        tensors: by the names of MONAI's network, or of ours.
        definition: what the bundle says of its network.
        source: where they come from, for sentences.

    Returns:
        All that our network has, and sentences on what was not in the file or is not in our network.

    Raises:
        InputError: tensors are missing, of another shape, or of another network.
    """
    expected, notes = network.state_dict(), []
    buffers = {name for name, _ in network.named_buffers()}
    computed = buffers - set(expected)  # programs keep them, files of weights do not
    found = {name: value for name, value in _renamed(tensors, expected).items() if name not in computed}
    extra = [name for name in found if name not in expected and _is_head(name, found)]
    if extra:
        notes.append(
            f"{len(extra)} tensors of outputs for deep supervision, which are not used, were left out."
        )
    state = {name: value for name, value in found.items() if name not in extra}
    new = [name for name in expected if name not in state and _is_head(name, expected)]
    if new:
        notes.append(
            "Coarser outputs for deep supervision are not in the file; they start anew in a training."
        )
    for name in (name for name in expected if name not in state):
        value = expected[name]
        if definition.plain_norms and ".norm" in name:
            state[name] = value.new_full(value.shape, float(name.endswith(".weight")))
        elif name in new or name in buffers:
            state[name] = value
    check_state(
        state,
        expected,
        f"{source} does not fit the network of the bundle",
        "Look whether the file is the right one.",
    )
    return {name: state[name] for name in expected}, notes


def fitting(tensors: Mapping[str, Tensor], network: SegmentationNetwork) -> int:
    """How many tensors have a name in our network."""
    expected = network.state_dict()
    return sum(name in expected for name in _renamed(tensors, expected))


def _renamed(tensors: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """Tensors by our names, as far as they have any; wrappers are taken off, unused ones left out."""
    ours = set(expected)
    plain = not any(name.startswith(_BACKBONE) for name in ours)  # of a network that is not MONAI's
    state = {name: value for name, value in tensors.items() if not _UNUSED & set(name.split("."))}

    def named(front: str) -> dict[str, Tensor]:
        bare = ((name.removeprefix(front), value) for name, value in state.items())
        return {name if plain or name.startswith(_BACKBONE) else _BACKBONE + name: v for name, v in bare}

    fronts = {""}
    for _ in range(3):  # wrappers may stand in front of each other
        fronts |= {front + wrapper for front in fronts for wrapper in _WRAPPERS}
    present = [front for front in fronts if any(name.startswith(front) for name in state)]
    return max(
        (named(front) for front in sorted(present, key=len)), key=lambda s: len(ours & set(s)), default={}
    )


def _is_head(name: str, names: Iterable[str]) -> bool:
    """Whether a tensor is of an output at a coarser resolution; of SegResNetDS the last level has the finest."""
    if _HEAD.search(name):
        return True
    level = _LEVEL_HEAD.search(name)
    levels = [int(found[1]) for other in names if (found := re.search(r"\.up_layers\.(\d+)\.", other))]
    return level is not None and int(level[1]) < max(levels)
