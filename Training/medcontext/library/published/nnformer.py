"""Weights of the authors' nnFormer, with and without MedContext, by the names of ours.

Their network (``model_down.*``, ``decoder.*``, ``final.*``) computes what ours does, in other words:

* a table of position biases whose rows are addressed by ``relative_position_index``: the rows are put into our order;
* skip attention without a map for its queries (ours is the identity) and with one norm (ours has two, alike);
* other activations, which our option ``authors_activations`` says.

The variant for ACDC merges with other kernels and attends to its padding: of it only an encoder can be taken.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from medcontext.errors import InputError
from medcontext.library.published.nnformer_plans import Plans
from medcontext.library.published.weights import PublishedWeights, front_of
from medcontext.plan import NetworkSpec, Size

if TYPE_CHECKING:
    from torch import Tensor

NETWORK = "nnformer"
MOST_WINDOW = 32
"""Tokens a side; 10 is the most that is published."""

_ANCHOR = "model_down.patch_embed.proj1.conv1.weight"
_TABLE, _INDEX = "attn.relative_position_bias_table", "attn.relative_position_index"

_PLAIN = (
    (r"model_down\.patch_embed\.proj1\.conv1\.", "embedding.convolutions.0."),
    (r"model_down\.patch_embed\.proj1\.norm1\.", "embedding.norms.0."),
    (r"model_down\.patch_embed\.proj1\.conv2\.", "embedding.convolutions.1."),
    (r"model_down\.patch_embed\.proj1\.norm2\.", "embedding.norms.1."),
    (r"model_down\.patch_embed\.proj2\.conv1\.", "embedding.convolutions.2."),
    (r"model_down\.patch_embed\.proj2\.norm1\.", "embedding.norms.2."),
    (r"model_down\.patch_embed\.proj2\.conv2\.", "embedding.convolutions.3."),
    (r"model_down\.patch_embed\.norm\.", "embedding.norms.3."),
    (r"model_down\.layers\.(\d+)\.downsample\.norm\.", r"merging.\1.norm."),
    (r"model_down\.layers\.(\d+)\.downsample\.reduction\.", r"merging.\1.convolution."),
    (r"model_down\.norm(\d+)\.", r"norms.\1."),
    (r"decoder\.layers\.(\d+)\.Upsample\.norm\.", r"expanding.\1.norm."),
    (r"decoder\.layers\.(\d+)\.Upsample\.up\.", r"expanding.\1.convolution."),
    (r"final\.(\d+)\.up\.", r"heads.\1."),
)
"""Pattern of the authors' name to the beginning of ours."""

_BLOCK = re.compile(r"(model_down|decoder)\.layers\.(\d+)\.blocks\.(\d+)\.(.+)")
_IN_BLOCK = {
    "norm1.": ("norm.",),
    "attn.proj.": ("attention.projection.",),
    "norm2.": ("feed_forward.0.",),
    "mlp.fc1.": ("feed_forward.1.",),
    "mlp.fc2.": ("feed_forward.3.",),
    "attn.kv.": ("attention.key_value.",),
}


def recognise(tensors: Mapping[str, Tensor], plans: Plans | None = None) -> PublishedWeights | None:
    """The nnFormer in some named tensors; None where there is none.

    Args:
        tensors: of a file.
        plans: what was found beside the file of how its images were prepared.

    Raises:
        InputError: there is one that cannot be a network of ours.
    """
    front = front_of(tensors, _ANCHOR)
    if front is None:
        return None
    found = {name.removeprefix(front): value for name, value in tensors.items() if name.startswith(front)}
    kwargs, patch = _options(found)
    state: dict[str, Tensor] = {}
    left_out = [(name, "of another network") for name in tensors if not name.startswith(front)]
    for name, value in found.items():
        ours = dict(_converted(name, value, found))
        state |= ours
        if not ours and not name.endswith(_INDEX):
            left_out.append((front + name, _reason(name)))
    first = found.get("final.0.up.weight")
    in_channels = int(found[_ANCHOR].shape[1])
    plans = plans or Plans.unknown(patch, in_channels)
    return PublishedWeights(
        form="MedContext checkpoint (nnFormer)" if "model_down.mask_token" in found else "nnFormer weights",
        network=NetworkSpec(name=NETWORK, kwargs=kwargs),
        in_channels=in_channels,
        classes=None if first is None else int(first.shape[1]),
        state=state,
        left_out=tuple(left_out),
        input=plans.input(in_channels),
        inference=plans.inference,
        notes=plans.notes,
        labels=plans.labels,
    )


def _reason(name: str) -> str:
    if name.endswith("mask_token"):
        return "used in its training only"
    return "no part of the network"


def _converted(name: str, value: Tensor, found: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """A tensor by our names: one, several, or none."""
    for pattern, ours in _PLAIN:
        if match := re.match(pattern, name):
            yield match.expand(ours) + name[match.end() :], value
            return
    block = _BLOCK.fullmatch(name)
    if block is None:
        return
    side, stage, place, part = block.groups()
    into = f"{'encoder' if side == 'model_down' else 'decoder'}.{stage}.{place}."
    if part == _TABLE:
        index = found.get(name.replace(_TABLE, _INDEX))
        if index is not None:
            yield into + "attention.bias", _bias(value, index)
    elif part.startswith("attn.qkv."):
        width = value.shape[0] // 3
        yield into + "attention.query." + part.removeprefix("attn.qkv."), value[:width]
        yield into + "attention.key_value." + part.removeprefix("attn.qkv."), value[width:]
    else:
        yield from _in_block(into, part, value)


def _in_block(into: str, part: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    import torch

    skip_attention = into.startswith("decoder.") and into.endswith(".0.")
    for theirs, ours in _IN_BLOCK.items():
        if part.startswith(theirs):
            for name in ours:
                yield into + name + part.removeprefix(theirs), value
    if skip_attention and part.startswith("norm1."):
        yield into + "context_norm." + part.removeprefix("norm1."), value
    if skip_attention and part == "attn.kv.weight":
        width = value.shape[1]
        yield into + "attention.query.weight", torch.eye(width, dtype=value.dtype)
        yield into + "attention.query.bias", torch.zeros(width, dtype=value.dtype)


def _bias(table: Tensor, index: Tensor) -> Tensor:
    """A table ``(rows, heads)`` with the row of each pair of tokens ``(N, N)`` as ours, ``(heads, offsets)``.

    Raises:
        InputError: they do not go together.
    """
    import torch

    window = _window(table, index)
    if int(index.min()) < 0 or int(index.max()) >= table.shape[0]:
        raise InputError("Its table of relative positions is damaged.")
    spans = [2 * size - 1 for size in window]
    places = torch.tensor(list(itertools.product(*(range(size) for size in window))))
    offsets = places[:, None] - places[None, :] + torch.tensor(window) - 1
    row = (offsets[..., 0] * spans[1] + offsets[..., 1]) * spans[2] + offsets[..., 2]
    bias = table.new_zeros(table.shape[1], math.prod(spans))
    bias[:, row.flatten()] = table[index.flatten().long()].T
    return bias


def _window(table: Tensor, index: Tensor) -> Size:
    """Tokens (K, J, I) of a window from the number of their pairs and of their offsets: a cube, or J and I alike.

    Raises:
        InputError: no window has those.
    """
    tokens, rows = index.shape[0], table.shape[0]
    for k, j in itertools.product(range(1, MOST_WINDOW + 1), repeat=2):
        if k * j * j == tokens and (2 * k - 1) * (2 * j - 1) ** 2 == rows:
            return k, j, j
    raise InputError(f"It is an nnFormer with windows of {tokens} tokens, which are not known here.")


def _options(found: Mapping[str, Tensor]) -> tuple[dict[str, Any], Size]:
    """Keyword arguments of our network, and the voxels it sees at once: its coarsest stage is one window.

    Raises:
        InputError: a stage is missing, or it is no whole nnFormer.
    """
    blocks: dict[int, set[int]] = {}
    for name in found:
        if (match := _BLOCK.fullmatch(name)) and match[1] == "model_down":
            blocks.setdefault(int(match[2]), set()).add(int(match[3]))
    tables, windows = [], []
    for stage in range(len(blocks)):
        place = f"model_down.layers.{stage}.blocks.0."
        table, index = found.get(place + _TABLE), found.get(place + _INDEX)
        if table is None or index is None:
            raise InputError(f"It is no whole nnFormer: stage {stage} is missing.")
        tables.append(table)
        windows.append(_window(table, index))
    kernels = [
        found.get(f"model_down.layers.{stage}.downsample.reduction.weight")
        for stage in range(len(blocks) - 1)
    ]
    if not blocks or any(kernel is None for kernel in kernels):
        raise InputError("It is no whole nnFormer: a merging between its stages is missing.")
    strides = [
        [1 if side == 1 else 2 for side in kernel.shape[2:]] for kernel in kernels if kernel is not None
    ]
    token = _token(found)
    heads = [int(name.split(".")[1]) for name in found if name.startswith("final.")]
    kwargs = {
        "token": list(token),
        "strides": strides,
        "windows": [list(window) for window in windows],
        "channels": int(found["model_down.patch_embed.norm.weight"].shape[0]),
        "depths": [len(blocks[stage]) for stage in range(len(blocks))],
        "num_heads": [int(table.shape[1]) for table in tables],
        "deep_heads": max(heads, default=0),
        "authors_activations": True,
    }
    total = [math.prod(stride[axis] for stride in strides) for axis in range(3)]
    k, j, i = (t * n * w for t, n, w in zip(token, total, windows[-1], strict=True))
    return kwargs, (k, j, i)


def _token(found: Mapping[str, Tensor]) -> Size:
    """Voxels of a token: the output is enlarged by them.

    Raises:
        InputError: there is no output to read it off, or the embedding is missing.
    """
    final = found.get("final.0.up.weight")
    if final is None or final.ndim != 5 or "model_down.patch_embed.norm.weight" not in found:
        raise InputError("It is no whole nnFormer: its output or its embedding is missing.")
    k, j, i = final.shape[2:]
    return k, j, i
