"""Mirroring of patches, label classes and predictions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch

from medcontext.errors import InputError
from medcontext.plan import STORED, Size

ClassPairs = Sequence[tuple[int, int]]


def left_right_axis(orientation: str, transpose: Size = (0, 1, 2)) -> int | None:
    """The axis of a network's input from left to right.

    Args:
        orientation: of (i, j, k), such as ``"LPS"`` (whose array axis 2 it is).
        transpose: array axes of images in that orientation, in the network's order.

    Returns:
        0..2, or None for images that stay as they are stored: each may lie otherwise.

    Raises:
        InputError: the code holds neither L nor R.
    """
    if orientation == STORED:
        return None
    for position, letter in enumerate(orientation):
        if letter in "LR":
            return transpose.index(2 - position)
    raise InputError(f"Orientation '{orientation}' is not a code such as LPS or RAS.")


def mirror(tensor: torch.Tensor, axes: Iterable[int]) -> torch.Tensor:
    """``tensor`` ``(..., K, J, I)`` reversed along the array axes given; its own inverse."""
    dims = [axis - 3 for axis in axes]
    return tensor.flip(dims) if dims else tensor


def mirror_labels(
    labels: torch.Tensor, axes: Iterable[int], flip_class_pairs: ClassPairs = (), left_right: int | None = 2
) -> torch.Tensor:
    """Class indices ``(..., K, J, I)`` mirrored; classes of a pair swap where left and right do."""
    axes = tuple(axes)
    moved = mirror(labels, axes)
    if left_right in axes and flip_class_pairs:
        original, moved = moved, moved.clone()
        for first, second in flip_class_pairs:
            moved[original == first] = second
            moved[original == second] = first
    return moved


def mirror_classes(
    scores: torch.Tensor, axes: Iterable[int], flip_class_pairs: ClassPairs = (), left_right: int | None = 2
) -> torch.Tensor:
    """Scores ``(B, classes, K, J, I)`` mirrored, with the channels of a pair swapped; its own inverse.

    ``mirror_classes(network(mirror(x, axes)), axes, pairs)`` is a prediction for ``x``.
    """
    axes = tuple(axes)
    moved = mirror(scores, axes)
    if left_right in axes and flip_class_pairs:
        moved = moved[:, _swapped(scores.shape[1], flip_class_pairs)]
    return moved


def mirror_known(
    known: torch.Tensor, axes: Iterable[int], flip_class_pairs: ClassPairs = (), left_right: int | None = 2
) -> torch.Tensor:
    """Something said of each class ``(..., classes)``, such as whether it was annotated, after mirroring."""
    if left_right in tuple(axes) and flip_class_pairs:
        return known[..., _swapped(known.shape[-1], flip_class_pairs)]
    return known


def mirror_combinations(allowed_flips: Sequence[int]) -> list[tuple[int, ...]]:
    """Every set of the axes allowed, the empty one first: the views that test-time averaging runs over."""
    axes = sorted(set(allowed_flips))
    return [chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count)]


def _swapped(classes: int, flip_class_pairs: ClassPairs) -> list[int]:
    order = list(range(classes))
    for first, second in flip_class_pairs:
        order[first], order[second] = second, first
    return order
