"""What the network sees of an image."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from medcontext.methods.s3net.config import S3NetConfig

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ (IEC 61966-2-1)."""
LEAST = 8
"""Voxels along an axis that are not given up for the shape."""
TINY = 1e-30
"""Instead of zero, where something is divided by it."""
WHITE = np.array([0.95047, 1.0, 1.08883])
"""XYZ of the white of daylight (D65)."""


def prepare(image: np.ndarray, config: S3NetConfig) -> Tensor:
    """Colours, size and range as the network wants them.

    Args:
        image: ``(C, *spatial)``, spatial ``(J, I)`` or ``(K, J, I)``; values as the file has them.
        config: the settings.

    Returns:
        float32 ``(1, C, *smaller)``; a volume or a picture that is small enough keeps its size.
    """
    values = image.astype(np.float32)
    if config.outliers:
        values = cut_off(values, config.outliers)
    if config.colour == "lab" and len(values) == 3 and values.ndim == 3:
        values = lab(to_unit(values))
    if config.normalise == "channel":
        values = np.stack([standardised(channel) for channel in values])
    else:
        values = to_unit(values) if config.normalise == "byte" else standardised(values)
    if config.contrast:
        around = standardised(local_contrast(values[0], config.contrast * max(values.shape[1:])))
        values = np.concatenate([values, around[None]])
    seen = resized(torch.from_numpy(np.ascontiguousarray(values)).unsqueeze(0), config)
    if config.normalise != "channel":
        return seen
    spatial = tuple(range(2, seen.ndim))  # making it smaller has smoothed it
    mean, deviation = seen.mean(spatial, keepdim=True), seen.std(spatial, keepdim=True)
    return (seen - mean) / deviation.clamp_min(TINY)


def local_contrast(values: np.ndarray, sigma: float) -> np.ndarray:
    """How much ``(*spatial)`` varies around each voxel: the standard deviation under a Gaussian, blurred alike."""
    mean, square = (ndimage.gaussian_filter(x, sigma, mode="nearest") for x in (values, values**2))
    return cast(
        np.ndarray,
        ndimage.gaussian_filter(np.sqrt(np.maximum(square - mean**2, 0)), sigma, mode="nearest"),
    )


def cut_off(values: np.ndarray, share: float) -> np.ndarray:
    """``(C, *spatial)`` without the smallest and largest values of each channel."""
    axes = tuple(range(1, values.ndim))
    low, high = np.quantile(values, [share, 1 - share], axis=axes, keepdims=True)
    return np.clip(values, low, high).astype(np.float32)


def to_unit(values: np.ndarray) -> np.ndarray:
    """Bytes as shares of 255; other values stretched from their smallest and largest to 0..1."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and 1 < high <= 255:
        return values / 255
    return (values - low) / max(high - low, TINY)


def standardised(values: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 over all channels, whose differences stay."""
    return (values - values.mean()) / max(float(values.std()), TINY)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of sRGB: L* 0..100, a* and b* about -100..100.

    Args:
        rgb: ``(3, J, I)``, 0..1.
    """
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = np.einsum("ac,cji->aji", TO_XYZ, linear) / WHITE[:, None, None]
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)]).astype(np.float32)


def resized(image: Tensor, config: S3NetConfig) -> Tensor:
    """``(1, C, *spatial)`` at the size that the network sees."""
    sizes = image.shape[2:]
    if len(sizes) == 3:
        smaller = _fitting(sizes, config.size_3d)
        return image if smaller == list(sizes) else functional.interpolate(image, smaller, mode="area")
    if config.square:  # without smoothing before it shrinks, as the published program
        square = (config.size, config.size)
        return functional.interpolate(image, square, mode="bicubic", align_corners=False)
    smaller = _fitting(sizes, config.size)
    if smaller == list(sizes):
        return image
    return functional.interpolate(image, smaller, mode="bilinear", align_corners=False, antialias=True)


def _fitting(sizes: torch.Size, most: int) -> list[int]:
    """Sizes of the same shape, none above ``most``; a narrow image keeps some voxels across."""
    share = min(1.0, most / max(sizes))
    return [max(min(size, LEAST), round(share * size)) for size in sizes]
