"""The authors' nnFormer as a function of its tensors, written from their description: what an import must reproduce.

Grids are cubes, as in their settings for Synapse and BraTS.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


def authors_index(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens. The first factor, ``3 w - 1``, is theirs: rows are shared."""
    places = torch.tensor(list(itertools.product(range(window), repeat=3)))
    offsets = places[:, None] - places[None, :] + window - 1
    return (offsets * torch.tensor([3 * window - 1, 2 * window - 1, 1])).sum(-1)


def authors_state(
    channels: int,
    heads: Sequence[int],
    windows: Sequence[int],
    token: Sequence[int],
    classes: int,
    outputs: int,
) -> State:
    """Random tensors by the authors' names, two blocks a stage."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    state: State = {"model_down.mask_token": torch.zeros(1, 1, channels)}

    def layer(name: str, *shape: int, bias: int | None = None) -> None:
        state[f"{name}.weight"] = random(*shape)
        state[f"{name}.bias"] = random(shape[0] if bias is None else bias)

    def block(place: str, width: int, stage: int, skip: bool) -> None:
        layer(f"{place}.norm1", width)
        layer(f"{place}.attn.{'kv' if skip else 'qkv'}", (2 if skip else 3) * width, width)
        layer(f"{place}.attn.proj", width, width)
        state[f"{place}.attn.relative_position_bias_table"] = random(
            (2 * windows[stage] - 1) ** 3, heads[stage]
        )
        state[f"{place}.attn.relative_position_index"] = authors_index(windows[stage])
        layer(f"{place}.norm2", width)
        layer(f"{place}.mlp.fc1", 4 * width, width)
        layer(f"{place}.mlp.fc2", width, 4 * width)

    half, embed = channels // 2, "model_down.patch_embed"
    for name, shape in (("proj1", (half, 1)), ("proj2", (channels, half))):
        layer(f"{embed}.{name}.conv1", *shape, 3, 3, 3)
        layer(f"{embed}.{name}.norm1", shape[0])
        layer(f"{embed}.{name}.conv2", shape[0], shape[0], 3, 3, 3)
    layer(f"{embed}.proj1.norm2", half)
    layer(f"{embed}.norm", channels)
    for stage in range(len(heads)):
        width = channels * 2**stage
        for place in range(2):
            block(f"model_down.layers.{stage}.blocks.{place}", width, stage, skip=False)
        layer(f"model_down.norm{stage}", width)
        if stage + 1 < len(heads):
            layer(f"model_down.layers.{stage}.downsample.norm", width)
            layer(f"model_down.layers.{stage}.downsample.reduction", 2 * width, width, 3, 3, 3)
            for place in range(2):
                block(f"decoder.layers.{stage}.blocks.{place}", width, stage, skip=place == 0)
            layer(f"decoder.layers.{stage}.Upsample.norm", 2 * width)
            layer(f"decoder.layers.{stage}.Upsample.up", 2 * width, width, 2, 2, 2, bias=width)
        if stage < outputs:
            layer(f"final.{stage}.up", width, classes, *token, bias=classes)
    return state


def authors_logits(s: State, image: Tensor, windows: Sequence[int], token: Sequence[int]) -> Tensor:
    """Logits of the finest output."""
    x, skips = _embedded(s, image, token), []
    for stage, window in enumerate(windows):
        if stage:
            place = f"model_down.layers.{stage - 1}.downsample"
            x = _conv(s, f"{place}.reduction", _norm(s, f"{place}.norm", F.gelu(x)), (2, 2, 2))
        for place in range(2):
            x = _block(s, f"model_down.layers.{stage}.blocks.{place}", x, window, shifted=place == 1)
        skips.append(_norm(s, f"model_down.norm{stage}", x))
    x = skips.pop()
    for stage in reversed(range(len(windows) - 1)):
        at = f"decoder.layers.{stage}"
        up = _norm(s, f"{at}.Upsample.norm", x).movedim(-1, 1)
        up = F.conv_transpose3d(up, s[f"{at}.Upsample.up.weight"], s[f"{at}.Upsample.up.bias"], 2).movedim(
            1, -1
        )
        x = _block(
            s, f"{at}.blocks.0", up + skips[stage], windows[stage], shifted=False, skip=skips[stage], up=up
        )
        x = _block(s, f"{at}.blocks.1", x, windows[stage], shifted=True)
    return F.conv_transpose3d(x.movedim(-1, 1), s["final.0.up.weight"], s["final.0.up.bias"], tuple(token))


def _embedded(s: State, image: Tensor, token: Sequence[int]) -> Tensor:
    first = tuple(min(2, n) for n in token)
    second = tuple(n // f for n, f in zip(token, first, strict=True))
    at = "model_down.patch_embed"
    x = image.movedim(1, -1)
    x = _norm(s, f"{at}.proj1.norm1", F.gelu(_conv(s, f"{at}.proj1.conv1", x, first)))
    x = _norm(s, f"{at}.proj1.norm2", F.gelu(_conv(s, f"{at}.proj1.conv2", x, (1, 1, 1))))
    x = _norm(s, f"{at}.proj2.norm1", F.gelu(_conv(s, f"{at}.proj2.conv1", x, second)))
    return _norm(s, f"{at}.norm", _conv(s, f"{at}.proj2.conv2", x, (1, 1, 1)))


def _conv(s: State, name: str, x: Tensor, stride: Sequence[int]) -> Tensor:
    return F.conv3d(x.movedim(-1, 1), s[f"{name}.weight"], s[f"{name}.bias"], tuple(stride), 1).movedim(1, -1)


def _norm(s: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"])


def _linear(s: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])


def _block(
    s: State,
    at: str,
    x: Tensor,
    window: int,
    *,
    shifted: bool,
    skip: Tensor | None = None,
    up: Tensor | None = None,
) -> Tensor:
    grid, width = x.shape[1], x.shape[-1]
    shift = window // 2 if shifted and grid > window else 0

    def windows_of(t: Tensor) -> Tensor:
        t = t.roll((-shift,) * 3, (1, 2, 3))
        n = grid // window
        t = t.view(1, n, window, n, window, n, window, -1).permute(0, 1, 3, 5, 2, 4, 6, 7)
        return t.reshape(n**3, window**3, -1)

    if skip is None or up is None:
        query, key, value = _linear(s, f"{at}.attn.qkv", windows_of(_norm(s, f"{at}.norm1", x))).chunk(3, -1)
    else:
        query = windows_of(_norm(s, f"{at}.norm1", up))
        key, value = _linear(s, f"{at}.attn.kv", windows_of(_norm(s, f"{at}.norm1", skip))).chunk(2, -1)
    table = s[f"{at}.attn.relative_position_bias_table"]
    bias = table[s[f"{at}.attn.relative_position_index"]].permute(2, 0, 1)
    heads = table.shape[1]
    query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    score = query @ key.transpose(-1, -2) * (width // heads) ** -0.5 + bias
    if shift:
        part = torch.zeros(grid)
        part[-window:-shift], part[-shift:] = 1, 2
        region = part[:, None, None] * 9 + part[:, None] * 3 + part
        n = grid // window
        region = region.view(n, window, n, window, n, window).permute(0, 2, 4, 1, 3, 5).reshape(n**3, -1)
        score = score + (region[:, :, None] != region[:, None, :]).unsqueeze(1) * -100.0
    mixed = (score.softmax(-1) @ value).transpose(1, 2).flatten(-2)
    mixed = _linear(s, f"{at}.attn.proj", mixed)
    n = grid // window
    mixed = (
        mixed.view(1, n, n, n, window, window, window, -1).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(x.shape)
    )
    x = x + mixed.roll((shift,) * 3, (1, 2, 3))
    return x + _linear(s, f"{at}.mlp.fc2", F.gelu(_linear(s, f"{at}.mlp.fc1", _norm(s, f"{at}.norm2", x))))
