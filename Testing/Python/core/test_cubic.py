"""Cubic splines: the same numbers as scikit-image, which nnU-Net prepares its images with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from medcontext.cubic import cubic, nearest_index

SHAPES = [
    ((40, 44, 30), (33, 70, 41)),
    ((5, 6, 90), (9, 2, 70)),
    ((1, 2, 20), (1, 5, 20)),
    ((12, 3, 14), (12, 3, 15)),
]


def noise(shape: tuple[int, ...], channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)


def reference(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return resize(volume.astype(float), shape, order=3, mode="edge", anti_aliasing=False)


@pytest.mark.parametrize(("shape", "wanted"), SHAPES)
def test_volumes_are_those_of_scikit_image(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    array = noise(shape, channels=2)
    array[1] += 100
    moved = cubic(array, wanted)
    assert moved.dtype == np.float32
    for channel, source in zip(moved, array, strict=True):
        np.testing.assert_allclose(channel, reference(source, wanted), atol=3e-6 * np.abs(source).max())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("wanted", [(9, 25, 31), (30, 40, 14)])
def test_slices_on_their_own_are_those_of_scikit_image_and_the_nearest_is_taken(
    axis: int, wanted: tuple[int, ...]
) -> None:
    array = noise((18, 20, 22))
    in_plane = [n for a, n in enumerate(wanted) if a != axis]
    slices = np.stack([reference(s, in_plane) for s in np.moveaxis(array[0], axis, 0)], axis)
    ends = [n / m * (np.arange(m) + 0.5) - 0.5 for n, m in zip(slices.shape, wanted, strict=True)]
    places = np.stack(np.meshgrid(*ends, indexing="ij"))
    expected = map_coordinates(slices, places, order=0, mode="nearest")
    np.testing.assert_allclose(cubic(array, wanted, axis)[0], expected, atol=3e-6)


@pytest.mark.parametrize("separate", [None, 1])
def test_nothing_overshoots_the_image(separate: int | None) -> None:
    """A spline swings over at an edge; a grey value that is nowhere in the image would be none of its tissues."""
    array = np.zeros((1, 12, 4, 12), np.float32)
    array[..., 6:] = 1
    moved = cubic(array, (30, 4, 30), separate)
    assert (moved.min(), moved.max()) == (0, 1)


def test_the_nearest_voxel_is_that_of_scipy() -> None:
    for count in range(1, 30):
        for wanted in range(1, 60):
            position = count / wanted * (np.arange(wanted) + 0.5) - 0.5
            line = np.arange(count, dtype=float)
            expected = map_coordinates(line, position[None], order=0, mode="nearest")
            np.testing.assert_array_equal(nearest_index(count, wanted), expected)


def test_the_same_size_costs_nothing() -> None:
    array = noise((4, 5, 6))
    assert cubic(array, (4, 5, 6)) is array
