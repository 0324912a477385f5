"""The random numbers of one sample's augmentation: drawn once, applied to image, label and teacher view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medcontext.data.augment.config import AugmentConfig
from medcontext.plan import Size, Spacing

COARSE_RATIO = 3.0
"""An axis this much coarser than the finest is left alone: nothing between thick slices can be known."""

_PLANES = ((1, 2), (0, 2), (0, 1))  # the two array axes that a rotation about axis 0, 1, 2 moves


@dataclass(frozen=True, eq=False)
class SpatialDraw:
    """Where each voxel of one output patch comes from. Per-axis values are in array order (K, J, I).

    The object is magnified, then rotated about the patch centre (both in mm), then mirrored.

    Args:
        rotation: degrees about each array axis; a positive angle turns the lower-numbered of the two other
            axes towards the higher-numbered one, as ``torch.rot90`` does. Applied about I first, K last.
        scale: magnification along each axis; 2 makes objects twice as long.
        offset: position of the patch in the source, in voxels from the source's centre.
        flips: array axes that are mirrored.
        displacement: ``(3, a, b, c)`` elastic displacement of the source position in source voxels, at
            control points spread evenly from the first to the last voxel of the patch; None for none.
        spacing: voxel size in mm.
    """

    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flips: tuple[int, ...] = ()
    displacement: np.ndarray | None = None
    spacing: Spacing = (1.0, 1.0, 1.0)

    @property
    def is_crop(self) -> bool:
        """Whether whole voxels are moved, so that nothing has to be interpolated."""
        still = not any(self.rotation) and all(s == 1 for s in self.scale) and self.displacement is None
        return still and all(float(o).is_integer() for o in self.offset)

    @property
    def matrix(self) -> np.ndarray:
        """``(3, 3)``: source voxels from output voxels, (K, J, I) about the patch centre; no mirroring."""
        inverse = np.eye(3)
        for axis in range(3):
            inverse = inverse @ _rotation(axis, self.rotation[axis])
        inverse = np.diag(1 / np.asarray(self.scale)) @ inverse.T
        spacing = np.asarray(self.spacing)
        return inverse * spacing[None, :] / spacing[:, None]


@dataclass(frozen=True, eq=False)
class IntensityDraw:
    """How the grey values of one sample change. Arrays of length ``C``, or 1 for all channels alike.

    Args:
        gamma: exponents; 1 for none.
        gamma_inverted: where the exponent applies to the negative.
        brightness: factors; 1 for none.
        offset: constants added; 0 for none.
        contrast: factors about the mean; 1 for none.
        bias: ``(C, 3, 3, 3)`` logarithm of the gain at control points over the patch; 0 for none.
        noise_sd: standard deviations; 0 for none.
        noise_seed: seed of the noise.
        low_resolution: growth of voxels along (K, J, I); 1 for none.
        blur_sigma: standard deviation of the blur along (K, J, I) in voxels; 0 for none.
    """

    gamma: np.ndarray
    gamma_inverted: np.ndarray
    brightness: np.ndarray
    offset: np.ndarray
    contrast: np.ndarray
    bias: np.ndarray
    noise_sd: np.ndarray
    noise_seed: int
    low_resolution: tuple[float, float, float]
    blur_sigma: tuple[float, float, float]

    def scaled(self, strength: float) -> IntensityDraw:
        """The same change made weaker or stronger: 0 is the identity, 1 is this draw."""
        return replace(
            self,
            gamma=self.gamma**strength,
            brightness=self.brightness**strength,
            offset=self.offset * strength,
            contrast=self.contrast**strength,
            bias=self.bias * strength,
            noise_sd=self.noise_sd * strength,
            low_resolution=_triple(1 + (np.asarray(self.low_resolution) - 1) * strength),
            blur_sigma=_triple(np.asarray(self.blur_sigma) * strength),
        )

    @classmethod
    def identity(cls) -> IntensityDraw:
        """The draw that changes nothing."""
        one, zero = np.ones(1), np.zeros(1)
        flat = np.zeros((1, 3, 3, 3))
        return cls(one, zero > 0, one, zero, one, flat, zero, 0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


@dataclass(frozen=True, eq=False)
class AugmentDraw:
    """Everything drawn for one sample."""

    spatial: SpatialDraw
    intensity: IntensityDraw


def draw(
    config: AugmentConfig,
    generator: np.random.Generator,
    patch_size: Size,
    spacing: Spacing,
    allowed_flips: Sequence[int] = (),
    channels: int = 1,
) -> AugmentDraw:
    """Draw the augmentation of one sample.

    Args:
        config: probabilities and ranges.
        generator: made from (seed, step, sample), so that the draw depends on neither worker nor order.
        patch_size: voxels of the output (K, J, I).
        spacing: voxel size in mm (K, J, I).
        allowed_flips: array axes that may be mirrored.
        channels: image channels; each gets intensity changes of its own.
    """
    spatial = draw_spatial(config, generator, patch_size, spacing, allowed_flips)
    intensity = draw_intensity(
        config, generator, channels=channels, coarse_axis=coarse_axis(spacing, patch_size)
    )
    return AugmentDraw(spatial, intensity)


def draw_spatial(
    config: AugmentConfig,
    generator: np.random.Generator,
    patch_size: Size,
    spacing: Spacing,
    allowed_flips: Sequence[int] = (),
) -> SpatialDraw:
    """Draw the spatial part alone; arguments as in :func:`draw`.

    Numbers that a probability discards are drawn all the same: turning one change off leaves the others.
    """
    fine = np.ones(3, bool)
    coarse = coarse_axis(spacing, patch_size)
    if coarse is not None:
        fine[coarse] = False
    axes = config.rotation_axes
    if axes is None:
        axes = [0, 1, 2] if coarse is None else [coarse]
    turns = _happens(generator, config.rotation_probability) & np.isin(np.arange(3), axes)
    rotation = np.where(turns, generator.uniform(-1, 1, 3) * config.rotation_degrees, 0.0)
    resized = _happens(generator, config.scale_probability) & fine
    alone = _happens(generator, config.scale_per_axis_share)
    factors = _factors(generator, config.scale, 3)
    scale = np.where(resized, np.where(alone, factors, factors[0]), 1.0)
    moved = _happens(generator, config.translation_probability)
    shift = generator.uniform(-1, 1, 3) * config.translation * np.asarray(patch_size)
    offset = np.where(moved, np.where(fine, shift, np.rint(shift)), 0.0)
    flipped = generator.random(3) < config.flip_probability
    deformed = _happens(generator, config.elastic_probability)
    displacement = _displacement(config, generator, patch_size, spacing, fine)
    return SpatialDraw(
        rotation=_triple(rotation),
        scale=_triple(scale),
        offset=_triple(offset),
        flips=tuple(axis for axis in range(3) if axis in allowed_flips and flipped[axis]),
        displacement=displacement if deformed else None,
        spacing=spacing,
    )


def draw_intensity(
    config: AugmentConfig,
    generator: np.random.Generator,
    strength: float = 1.0,
    channels: int = 1,
    coarse_axis: int | None = None,
) -> IntensityDraw:
    """Draw the intensity part alone.

    Args:
        config: probabilities and ranges.
        generator: made from (seed, step, sample).
        strength: 1 as configured, less for a weak view, 0 for no change; the numbers consumed are the same.
        channels: image channels.
        coarse_axis: array axis that blur and low resolution leave alone.
    """

    def pick(probability: float, values: np.ndarray, neutral: float) -> np.ndarray:
        return np.where(generator.random(channels) < probability, values, neutral)

    bias = generator.uniform(*config.bias_sd) * generator.standard_normal((channels, 3, 3, 3))
    bias -= bias.mean(axis=(1, 2, 3), keepdims=True)
    biased = generator.random((channels, 1, 1, 1)) < config.bias_probability
    low_resolution, blur_sigma = _resolution(config, generator, np.arange(3) != coarse_axis)
    return IntensityDraw(
        gamma=pick(config.gamma_probability, _factors(generator, config.gamma, channels), 1.0),
        gamma_inverted=generator.random(channels) < config.gamma_inverted_share,
        brightness=pick(config.brightness_probability, _factors(generator, config.brightness, channels), 1.0),
        offset=pick(config.offset_probability, generator.uniform(-1, 1, channels) * config.offset, 0.0),
        contrast=pick(config.contrast_probability, _factors(generator, config.contrast, channels), 1.0),
        bias=np.where(biased, bias, 0.0),
        noise_sd=pick(config.noise_probability, generator.uniform(*config.noise_sd, channels), 0.0),
        noise_seed=int(generator.integers(2**62)),
        low_resolution=low_resolution,
        blur_sigma=blur_sigma,
    ).scaled(strength)


def coarse_axis(spacing: Spacing, patch_size: Size) -> int | None:
    """The array axis that is more than :data:`COARSE_RATIO` coarser than the finest, or None.

    Across a patch of a single slice it is that of the slice, whatever lies beside it.
    """
    if 1 in patch_size:
        return patch_size.index(1)
    return int(np.argmax(spacing)) if max(spacing) > COARSE_RATIO * min(spacing) else None


def _resolution(
    config: AugmentConfig, generator: np.random.Generator, fine: np.ndarray
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Growth of voxels and blur along each axis."""
    coarsened = _happens(generator, config.low_resolution_probability) & fine
    single, axis = _happens(generator, config.low_resolution_single_axis_share), generator.integers(3)
    if single:
        coarsened &= np.arange(3) == axis
    factor = generator.uniform(*config.low_resolution)
    blurred = _happens(generator, config.blur_probability) & fine
    sigma = generator.uniform(*config.blur_sigma)
    return _triple(np.where(coarsened, factor, 1.0)), _triple(np.where(blurred, sigma, 0.0))


def _displacement(
    config: AugmentConfig,
    generator: np.random.Generator,
    patch_size: Size,
    spacing: Spacing,
    fine: np.ndarray,
) -> np.ndarray:
    points = config.elastic_points or tuple(int(np.clip(round(n / 10) + 1, 4, 9)) for n in patch_size)
    distance = (np.asarray(patch_size) - 1) / np.maximum(np.asarray(points) - 1, 1)
    sd = generator.uniform(*config.elastic_sd) * min(spacing) / np.asarray(spacing)
    sd = np.where(fine, np.minimum(sd, 0.2 * distance), 0.0)
    return (generator.standard_normal((3, *points)) * sd[:, None, None, None]).astype(np.float32)


def _rotation(axis: int, degrees: float) -> np.ndarray:
    first, second = _PLANES[axis]
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[second, first], matrix[first, second] = sine, -sine
    return matrix


def _happens(generator: np.random.Generator, probability: float) -> bool:
    return bool(generator.random() < probability)


def _factors(generator: np.random.Generator, limits: tuple[float, float], count: int) -> np.ndarray:
    return np.exp(generator.uniform(np.log(limits[0]), np.log(limits[1]), count))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
