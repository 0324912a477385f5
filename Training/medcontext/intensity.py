"""Grey values of a scanner become numbers a network can compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medcontext.errors import InputError
from medcontext.plan import Channel, Intensity

MAXIMUM_SAMPLES = 2_000_000
"""Percentiles are taken of at most this many voxels (a regular subset): 0.01 percentile points at 2 million. Where
they are 0 and 100 nothing is clipped, and every voxel counts for mean and deviation, or for the range."""


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
    omitted = left_out(array, channels, hidden)
    return scaled(array, find_scales(array, channels, omitted), omitted)


def left_out(
    array: np.ndarray, channels: Sequence[Channel], hidden: np.ndarray | None = None
) -> list[np.ndarray | None]:
    """The voxels ``(K, J, I)`` of each channel that no statistic is taken of and that become zero; None for none.

    Arguments and errors as for :func:`normalise`.
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
    around = None
    if any(channel.intensity.within_nonzero for channel in channels):
        around = _around(array)
        around = around if hidden is None else around | hidden
        if around.all():
            raise InputError(
                "The image holds no voxel that is not zero.", "Look whether it is the right one."
            )
    return [around if channel.intensity.within_nonzero else hidden for channel in channels]


def _around(array: np.ndarray) -> np.ndarray:
    """What is zero in all channels and reaches the border of the image: holes inside belong to what is seen."""
    from scipy import ndimage

    seen = np.logical_or.reduce([channel != 0 for channel in array])
    outside: np.ndarray = ~ndimage.binary_fill_holes(seen)
    return outside


def find_scales(
    array: np.ndarray, channels: Sequence[Channel], omitted: Sequence[np.ndarray | None]
) -> list[Scale]:
    """How each channel of an image is normalised, without the voxels that are :func:`left_out`.

    Raises:
        InputError: a per-case statistic is not finite.
    """
    return [
        _scale(values if mask is None else values[~mask], channel.intensity, channel.name)
        for values, channel, mask in zip(array, channels, omitted, strict=True)
    ]


def scaled(
    array: np.ndarray, scales: Sequence[Scale], omitted: Sequence[np.ndarray | None] | None = None
) -> np.ndarray:
    """Apply the scales to an image, which may be seen from another side than when they were found.

    Args:
        array: ``(C, K, J, I)``, in any order in memory.
        scales: one a channel.
        omitted: of each channel the voxels that become zero, seen from the same side.

    Returns:
        float32 of the same shape, contiguous.
    """
    result = np.empty(array.shape, np.float32)
    for index, scale in enumerate(scales):
        for source, plane in zip(array[index], result[index], strict=True):  # a plane stays in the cache
            with np.errstate(over="ignore"):  # what float32 does not reach is clipped
                plane[...] = source
            np.clip(plane, scale.low, scale.high, out=plane)
            plane -= np.float32(scale.shift)
            plane *= np.float32(1 / scale.width)
        mask = None if omitted is None else omitted[index]
        if mask is not None:
            result[index][mask] = 0
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
    scale = _of_all(values, intensity) if intensity.percentiles == (0, 100) else _of_sample(values, intensity)
    if not np.isfinite([scale.shift, scale.width]).all():
        raise InputError(f"Channel {name} holds voxels that are not finite.", "Re-export the image.")
    return scale


def _of_sample(values: np.ndarray, intensity: Intensity) -> Scale:
    flat = values.reshape(-1)
    sample = flat[:: max(1, -(-flat.size // MAXIMUM_SAMPLES))].astype(np.float64)
    low, high = (float(p) for p in np.percentile(sample, intensity.percentiles))
    if intensity.kind == "rescale":
        return Scale(low, max(high - low, 1e-6), low, high)
    if not np.isfinite([low, high]).all():
        return Scale(np.nan, np.nan, low, high)
    clipped = np.clip(sample, low, high)
    # A constant image has no contrast to scale: it becomes zero everywhere.
    return Scale(float(clipped.mean()), max(float(clipped.std()), 1e-6), low, high)


def _of_all(values: np.ndarray, intensity: Intensity) -> Scale:
    """From every voxel, nothing clipped."""
    if intensity.kind == "rescale":
        low, high = float(values.min()), float(values.max())
        return Scale(low, max(high - low, 1e-6), -np.inf, np.inf)
    mean, squares = float(values.mean(dtype=np.float64)), 0.0
    for part in np.array_split(values.reshape(-1), -(-values.size // MAXIMUM_SAMPLES)):
        squares += float(np.square(np.subtract(part, mean, dtype=np.float64)).sum())
    return Scale(mean, max(math.sqrt(squares / values.size), 1e-6), -np.inf, np.inf)
