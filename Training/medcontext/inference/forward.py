"""What happens to one batch of windows: precision, mirrored copies, members of an ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from medcontext.devices import torch_dtype

Forward = Callable[[Tensor], Tensor]
"""From windows ``(B, C, *patch)`` to float32 scores ``(B, classes, *patch)``."""


def network_forward(network: nn.Module, precision: str = "fp32") -> Forward:
    """``network`` under autocast in ``precision``, float32 scores out."""
    dtype = torch_dtype(precision)

    def forward(windows: Tensor) -> Tensor:
        with torch.autocast(windows.device.type, dtype=dtype, enabled=precision != "fp32"):
            scores: Tensor = network(windows)
        return scores.float()

    return forward


def mean_forward(members: Sequence[Forward]) -> Forward:
    """The average of the members' scores (logits, before softmax)."""
    if len(members) == 1:
        return members[0]

    def forward(windows: Tensor) -> Tensor:
        total = members[0](windows)
        for member in members[1:]:
            total = total + member(windows)
        return total / len(members)

    return forward


def mirrored_forward(
    inner: Forward, axes: Sequence[int], left_right: int | None, channel_order: Sequence[int] | None = None
) -> Forward:
    """The average over windows mirrored along every combination of ``axes``.

    Args:
        inner: scores of windows.
        axes: array axes 0..2.
        left_right: the array axis on which sides swap; None where nobody knows it.
        channel_order: score channels after sides have swapped; None where no label has a side.
    """
    combinations = [
        chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(sorted(axes), count)
    ]
    if len(combinations) == 1:
        return inner

    def forward(windows: Tensor) -> Tensor:
        total = inner(windows)
        for chosen in combinations[1:]:
            dims = [axis + 2 for axis in chosen]
            scores = inner(windows.flip(dims)).flip(dims)
            if channel_order is not None and left_right in chosen:
                scores = scores[:, list(channel_order)]
            total = total + scores
        return total / len(combinations)

    return forward


def remember_constant(inner: Forward, limit_bytes: int = 512 * 2**20) -> Forward:
    """``inner`` that runs once for windows that hold one and the same constant, such as air after clipping.

    Exact for any network that computes samples on their own. Only the last constant is kept, and only when
    its scores take at most ``limit_bytes``.
    """
    kept: dict[tuple[float, ...], Tensor] = {}

    def one(window: Tensor, key: tuple[float, ...] | None) -> Tensor:
        if key is not None and key in kept:
            return kept[key]
        scores = inner(window[None])[0]
        if key is not None and scores.numel() * scores.element_size() <= limit_bytes:
            kept.clear()
            kept[key] = scores
        return scores

    def forward(windows: Tensor) -> Tensor:
        keys = [_constant(window) for window in windows]
        if all(key is None for key in keys):
            return inner(windows)
        return torch.stack([one(window, key) for window, key in zip(windows, keys, strict=True)])

    return forward


def _constant(window: Tensor) -> tuple[float, ...] | None:
    """The value of each channel of ``(C, ...)`` if all its voxels are the same, else None."""
    flat = window.flatten(1)
    # One voxel differs in almost every window: look at the corners and the middle before reading all of it.
    probe = flat[:, :: max(1, flat.shape[1] // 7)]
    if not bool((probe == flat[:, :1]).all()) or not bool((flat == flat[:, :1]).all()):
        return None
    return tuple(float(value) for value in flat[:, 0])
