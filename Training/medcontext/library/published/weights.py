"""Weights of a whole network of ours, as they were recognised in a file of other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medcontext.card_schema import InferenceSpec, InputSpec
from medcontext.plan import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PublishedWeights:
    """What a file holds.

    Attributes:
        form: what it is, for people.
        network: our network.
        in_channels: image channels.
        classes: output channels; None where the file has no output.
        state: tensors by our names.
        left_out: names in the file that our network has no place for, each with the reason.
        input: what the authors' code feeds the network with.
        inference: how it applies it.
        notes: what the file does not say and was taken from the authors' code, or is not the same here.
        labels: label value of each output channel but the first; 1, 2, 3, ... when None.
    """

    form: str
    network: NetworkSpec
    in_channels: int
    classes: int | None
    state: Mapping[str, Tensor]
    left_out: tuple[tuple[str, str], ...]
    input: InputSpec
    inference: InferenceSpec
    notes: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None


def front_of(names: Mapping[str, Tensor], anchor: str) -> str | None:
    """What stands before a name that every such file has: of a student rather than of a teacher; None where it is not.

    The student is what is used for prediction; its teacher is the mean of the last steps.
    """
    fronts = [name.removesuffix(anchor) for name in names if name.endswith(anchor)]
    return min(fronts, key=lambda f: ("teacher" in f, "student" not in f, len(f)), default=None)
