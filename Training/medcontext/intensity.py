"""Grey values of a scanner become numbers a network can compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medcontext.errors import InputError
from medcontext.plan import Channel, Intensity

MAXIMUM_SAMPLES = 2_000_000
"""Percentiles are taken of at most this many voxels (a regular subset): 0.01 percentile points at 2 million."""


def normalise(
    array: np.ndarray, channels: Sequence[Channel], hidden: np.ndarray | None = None
) -> np.ndarray:
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
    result = np.empty(array.shape, np.float32)
    for index, channel in enumerate(channels):
        seen = array[index] if hidden is None else array[index][~hidden]
        shift, scale, low, high = _parameters(seen, channel.intensity, channel.name)
        np.clip(array[index], low, high, out=result[index], casting="unsafe")
        result[index] -= np.float32(shift)
        result[index] *= np.float32(1 / scale)
    if hidden is not None:
        result[:, hidden] = 0
    return result


def _parameters(values: np.ndarray, intensity: Intensity, name: str) -> tuple[float, float, float, float]:
    """``(shift, scale, low, high)`` of ``(clip(x, low, high) - shift) / scale``."""
    if intensity.kind == "none":
        return 0.0, 1.0, -np.inf, np.inf
    if intensity.kind == "ct":
        numbers = (intensity.mean, intensity.std, intensity.low, intensity.high)
        if any(n is None for n in numbers):
            raise InputError(
                f"Channel {name} is normalised as CT but has no statistics.", "Run the planner again."
            )
        mean, std, low, high = (float(n) for n in numbers if n is not None)
        return mean, max(std, 1e-6), low, high
    flat = values.reshape(-1)
    sample = flat[:: max(1, -(-flat.size // MAXIMUM_SAMPLES))].astype(np.float64)
    low, high = (float(p) for p in np.percentile(sample, intensity.percentiles))
    if not np.isfinite([low, high]).all():
        raise InputError(f"Channel {name} holds voxels that are not finite.", "Re-export the image.")
    if intensity.kind == "rescale":
        return low, max(high - low, 1e-6), low, high
    clipped = np.clip(sample, low, high)
    # A constant image has no contrast to scale: it becomes zero everywhere.
    return float(clipped.mean()), max(float(clipped.std()), 1e-6), low, high
