"""Grey values of a scanner become numbers a network can compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medcontext.errors import InputError
from medcontext.plan import Channel, Intensity

MAXIMUM_SAMPLES = 2_000_000
"""Percentiles are taken of at most this many voxels (a regular subset): 0.01 percentile points at 2 million."""


@dataclass(frozen=True)
class Scale:
    """How one channel is normalised: ``(clip(x, low, high) - shift) / width``."""

    shift: float
    width: float
    low: float
    high: float


def normalise(array: np.ndarray, channels: Sequence[Channel], hidden: np.ndarray | None = None) -> np.ndarray:
    """Normalise an image of ``(C, K, J, I)`` channel by channel.

    Args:
        array: the image in scanner units.
        channels: one entry a channel of ``array``.
        hidden: bool ``(K, J, I)``; voxels that no statistic is taken of and that become zero, whatever they hold.

    Returns:
        float32 of the same shape.

    Raises:
        InputError: the number of channels differs, a per-case statistic is not finite, or everything is hidden.
    """
    return scaled(array, find_scales(array, channels, hidden), hidden)


def find_scales(
    array: np.ndarray, channels: Sequence[Channel], hidden: np.ndarray | None = None
) -> list[Scale]:
    """How each channel of an image is normalised; arguments and errors as for :func:`normalise`."""
    if array.shape[0] != len(channels):
        names = ", ".join(f"{c.name} ({c.modality})" for c in channels)
        raise InputError(
            f"The image has {array.shape[0]} channel(s), {len(channels)} are needed: {names}.",
            "Give one file for each channel, in that order.",
        )
    if hidden is not None and hidden.all():
        raise InputError(
            "The whole image is hidden: nothing is left to conclude from.", "Choose a smaller region."
        )
    seen = [values if hidden is None else values[~hidden] for values in array]
    return [_scale(values, c.intensity, c.name) for values, c in zip(seen, channels, strict=True)]


def scaled(array: np.ndarray, scales: Sequence[Scale], hidden: np.ndarray | None = None) -> np.ndarray:
    """Apply the scales to an image, which may be seen from another side than when they were found.

    Args:
        array: ``(C, K, J, I)``, in any order in memory.
        scales: one a channel.
        hidden: as for :func:`normalise`, seen from the same side.

    Returns:
        float32 of the same shape, contiguous.
    """
    result = np.empty(array.shape, np.float32)
    for values, target, scale in zip(array, result, scales, strict=True):
        for source, plane in zip(values, target, strict=True):  # a plane stays in the cache
            with np.errstate(over="ignore"):  # what float32 does not reach is clipped
                plane[...] = source
            np.clip(plane, scale.low, scale.high, out=plane)
            plane -= np.float32(scale.shift)
            plane *= np.float32(1 / scale.width)
    if hidden is not None:
        result[:, hidden] = 0
    return result


def _scale(values: np.ndarray, intensity: Intensity, name: str) -> Scale:
    if intensity.kind == "none":
        return Scale(0.0, 1.0, -np.inf, np.inf)
    if intensity.kind == "ct":
        numbers = (intensity.mean, intensity.std, intensity.low, intensity.high)
        if any(n is None for n in numbers):
            raise InputError(
                f"Channel {name} is normalised as CT but has no statistics.", "Run the planner again."
            )
        mean, std, low, high = (float(n) for n in numbers if n is not None)
        return Scale(mean, max(std, 1e-6), low, high)
    flat = values.reshape(-1)
    sample = flat[:: max(1, -(-flat.size // MAXIMUM_SAMPLES))].astype(np.float64)
    low, high = (float(p) for p in np.percentile(sample, intensity.percentiles))
    if not np.isfinite([low, high]).all():
        raise InputError(f"Channel {name} holds voxels that are not finite.", "Re-export the image.")
    if intensity.kind == "rescale":
        return Scale(low, max(high - low, 1e-6), low, high)
    clipped = np.clip(sample, low, high)
    # A constant image has no contrast to scale: it becomes zero everywhere.
    return Scale(float(clipped.mean()), max(float(clipped.std()), 1e-6), low, high)
