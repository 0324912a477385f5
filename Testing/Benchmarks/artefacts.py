"""Artefacts painted into a part of a scan: what metal, a signal void, motion and noise do to T1 MR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Painter = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def metal(image: np.ndarray, depth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A void in the middle, a saturated rim, and bright and dark streaks out to the border.

    Args:
        image: ``(K, J, I)`` in scanner units.
        depth: 0 at the border of the artefact to 1 in its middle; negative outside.
        generator: random numbers.
    """
    bright = float(np.percentile(image, 99.9))
    j, i = np.meshgrid(*(np.arange(n) for n in image.shape[1:]), indexing="ij")
    angle = np.arctan2(*(axis - np.average(axis, weights=(depth > 0).any(0)) for axis in (j, i)))
    streaks = np.sin(generator.integers(3, 7) * angle + generator.uniform(0, 2 * np.pi))
    painted = image + streaks * bright * 0.5
    painted = np.where(depth > 0.35, bright * 1.5, painted)
    return np.where(depth > 0.55, float(image.min()), painted)


def void(image: np.ndarray, depth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """No signal, with a rim of half of it; see :func:`metal`."""
    noise = generator.normal(0, 0.02, image.shape) * float(np.percentile(image, 99))
    low = float(image.min())
    return np.where(depth > 0.2, low + np.abs(noise), low + (image - low) * 0.5)


def motion(image: np.ndarray, depth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Two ghosts, shifted by 3 to 6 voxels along one axis, over a weakened image; see :func:`metal`."""
    axis, shift = int(generator.integers(0, 3)), int(generator.integers(3, 7))
    ghosts = np.roll(image, shift, axis) + np.roll(image, -shift, axis)
    return 0.3 * image + 0.35 * ghosts + 0 * depth


def noise(image: np.ndarray, depth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise as strong as the image's contrast; see :func:`metal`."""
    return image + generator.normal(0, 1, image.shape) * float(image.std()) + 0 * depth


KINDS: dict[str, Painter] = {"metal": metal, "void": void, "motion": motion, "noise": noise}


def corrupt(
    image: np.ndarray, distance: np.ndarray, radius: float, kind: str, generator: np.random.Generator
) -> np.ndarray:
    """An image ``(K, J, I)`` with an artefact where ``distance`` (mm from its centre) is at most ``radius``."""
    image = image.astype(np.float32)
    depth = 1 - distance / radius
    return np.where(depth >= 0, KINDS[kind](image, depth, generator), image).astype(np.float32)
