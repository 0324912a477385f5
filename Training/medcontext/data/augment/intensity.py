"""Changing the grey values of a batch as drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from medcontext.data.augment.draw import IntensityDraw
from medcontext.data.augment.spline import upsample

EPSILON = 1e-6
"""Smallest range or standard deviation that is divided by; a constant channel stays as it is."""


def apply_intensity(images: torch.Tensor, draws: Sequence[IntensityDraw]) -> torch.Tensor:
    """Change normalised intensities, in the order a scanner would: resolution, coil, contrast, noise.

    Args:
        images: ``(B, C, K, J, I)`` float32, normalised; never changed.
        draws: one per sample, with arrays for ``C`` channels or for one that stands for all.

    Returns:
        A new tensor of the same shape. The noise comes from the seed drawn, on the CPU, so that every device
        sees the same numbers.

    Raises:
        ValueError: the number of draws is not that of the images.
    """
    if len(draws) != len(images):
        raise ValueError(f"{len(draws)} draws do not fit {len(images)} images.")
    return torch.stack([_change(image, drawn) for image, drawn in zip(images, draws, strict=True)])


def _change(image: torch.Tensor, drawn: IntensityDraw) -> torch.Tensor:
    image = _lower_resolution(image, drawn)
    if drawn.bias.any():
        image = _bias(image, drawn.bias)
    if (drawn.gamma != 1).any():
        image = _gamma(image, drawn.gamma, drawn.gamma_inverted)
    if (drawn.contrast != 1).any():
        low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        mean = image.mean((1, 2, 3), keepdim=True)
        image = torch.lerp(mean, image, _column(drawn.contrast, image)).clamp(low, high)
    if (drawn.brightness != 1).any():
        image = image * _column(drawn.brightness, image)
    if drawn.offset.any():
        image = image + _column(drawn.offset, image)
    if drawn.noise_sd.any():
        generator = torch.Generator().manual_seed(drawn.noise_seed)
        noise = torch.randn(image.shape, generator=generator).to(image.device)
        image = image + noise * _column(drawn.noise_sd, image)
    return image


def _column(values: np.ndarray, image: torch.Tensor) -> torch.Tensor:
    """``(C or 1, 1, 1, 1)`` on the image's device."""
    return torch.from_numpy(np.asarray(values, np.float32)).to(image.device).reshape(-1, 1, 1, 1)


def _lower_resolution(image: torch.Tensor, drawn: IntensityDraw) -> torch.Tensor:
    """Blur, then average into larger voxels and back: one small matrix for each axis."""
    for axis, (factor, sigma) in enumerate(zip(drawn.low_resolution, drawn.blur_sigma, strict=True)):
        if factor == 1 and sigma == 0:
            continue
        matrix = _axis_matrix(image.shape[axis + 1], factor, sigma).to(image.device)
        image = torch.tensordot(image, matrix, dims=([axis + 1], [1])).movedim(-1, axis + 1)
    return image


def _axis_matrix(size: int, factor: float, sigma: float) -> torch.Tensor:
    """``(size, size)``: what blurring and coarsening do to the voxels of a line; rows sum to 1."""
    matrix = torch.eye(size)
    if sigma > 0:
        position = torch.arange(size, dtype=torch.float32)
        matrix = torch.exp(-0.5 * ((position[:, None] - position[None]) / sigma) ** 2)
        matrix /= matrix.sum(1, keepdim=True)
    count = max(1, round(size / factor))
    if count < size:
        coarse = functional.interpolate(matrix.T[None], size=count, mode="area")
        matrix = functional.interpolate(coarse, size=size, mode="linear", align_corners=False)[0].T
    return matrix


def _bias(image: torch.Tensor, control: np.ndarray) -> torch.Tensor:
    """Multiply by the gain; the darkest voxel stands for no signal: normalised values have no such zero."""
    points = np.ascontiguousarray(control.transpose(1, 2, 3, 0), np.float32)
    gain = upsample(torch.from_numpy(points).to(image.device), image.shape[1:]).movedim(-1, 0).exp()  # type: ignore[arg-type]
    low = image.amin((1, 2, 3), keepdim=True)
    return torch.addcmul(low, image - low, gain)


def _gamma(image: torch.Tensor, gamma: np.ndarray, inverted: np.ndarray) -> torch.Tensor:
    """``x**gamma`` on intensities brought to 0..1, then the old mean and standard deviation again."""
    sign = _column(np.where(inverted, -1.0, 1.0), image)
    work = image * sign
    low, high = work.amin((1, 2, 3), keepdim=True), work.amax((1, 2, 3), keepdim=True)
    spread = (high - low).clamp_min(EPSILON)
    curved = ((work - low) / spread).clamp_(0, 1) ** _column(gamma, image)
    sd, mean = torch.std_mean(work, (1, 2, 3), keepdim=True)
    curved_sd, curved_mean = torch.std_mean(curved, (1, 2, 3), keepdim=True)
    curved = (curved - curved_mean) * (sd / curved_sd.clamp_min(EPSILON)) + mean
    changed = _column(gamma, image) != 1
    return torch.where(changed & (high - low > EPSILON), curved * sign, image)
