"""Building a network for weights of other programs, without letting their description fill the memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from medcontext.errors import InputError
from medcontext.plan import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks import SegmentationNetwork

_SLACK = 2.0
"""A network has at most so many times the numbers of its file: some names may be missing from it."""
_SMALL = 1_000_000
"""Numbers that any network may have."""


def build_for(
    spec: NetworkSpec, in_channels: int, classes: int, tensors: Mapping[str, Tensor], source: str
) -> SegmentationNetwork:
    """A network that some weights are meant for, with weights of its own that are the same each time.

    Raises:
        InputError: it cannot be built, or is far larger than the weights.
    """
    import torch

    from medcontext import networks

    numbers = sum(value.numel() for value in tensors.values())
    if spec.name == "swin_unetr":  # MONAI reads numbers off tensors while it builds that one
        features = spec.kwargs.get("feature_size", 24)
        if not any(value.ndim == 5 and value.shape[0] == features for value in tensors.values()):
            raise InputError(f"{source} holds no Swin UNETR with {features} features.")
    else:
        with torch.device("meta"):
            shell = networks.build(spec, in_channels, classes)
        wanted = sum(value.numel() for value in shell.state_dict().values())
        if wanted > _SLACK * numbers + _SMALL:
            raise InputError(
                f"{source} holds {numbers} numbers, far fewer than the {wanted} of the network that it is said to be.",
                "Look whether the file is the right one.",
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return networks.build(spec, in_channels, classes)
