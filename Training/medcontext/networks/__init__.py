"""Segmentation networks by name: build, choose sizes, know what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medcontext.networks.registry import (
    all_kwargs,
    build,
    check_patch,
    default_kwargs,
    names,
    nearest_patch,
    round_patch,
)

if TYPE_CHECKING:
    from medcontext.networks.base import MaskPoints, MonaiNetwork, SegmentationNetwork
    from medcontext.networks.facts import NetworkFacts, describe, encoder_activation_bytes

__all__ = [
    "MaskPoints",
    "MonaiNetwork",
    "NetworkFacts",
    "SegmentationNetwork",
    "all_kwargs",
    "build",
    "check_patch",
    "default_kwargs",
    "describe",
    "encoder_activation_bytes",
    "names",
    "nearest_patch",
    "round_patch",
]


def __getattr__(name: str) -> Any:
    """Load what needs torch only when it is asked for, so that listing names stays instant."""
    if name in ("MaskPoints", "MonaiNetwork", "SegmentationNetwork"):
        from medcontext.networks import base

        return getattr(base, name)
    if name in ("NetworkFacts", "describe", "encoder_activation_bytes"):
        from medcontext.networks import facts

        return getattr(facts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
