"""The quick way to regions: groups of colour, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.regions import superpixels
from medcontext.regions.superpixels import require_superpixels, superpixel_clusters


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


@pytest.fixture
def ball() -> np.ndarray:
    j, i = np.ogrid[:48, :64]
    return ((j - 24) ** 2 + (i - 30) ** 2 < 15**2)[None]


@pytest.fixture(autouse=True)
def _scikit_image() -> None:
    pytest.importorskip("skimage", reason="superpixels need scikit-image")


def noisy(values: np.ndarray, sd: float) -> np.ndarray:
    return (values + np.random.default_rng(0).normal(0, sd, values.shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("dark", "bright"),
    [([50, 40, 60], [200, 60, 70]), ([100], [900]), ([0.1, 700], [0.2, 900])],
    ids=["colours", "grey", "two channels"],
)
def test_a_disc_is_told_from_its_ground(ball: np.ndarray, dark: list[float], bright: list[float]) -> None:
    image = np.stack([np.where(ball, b, a) for a, b in zip(dark, bright, strict=True)])
    found = superpixel_clusters(noisy(image, 0.05 * min(b - a for a, b in zip(dark, bright, strict=True))))
    assert found.shape == ball.shape
    assert sorted(np.unique(found)) == [0, 1]
    assert dice(found == 1, ball) > 0.9


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_across_any_axis_gives_the_same(ball: np.ndarray, axis: int) -> None:
    image = noisy(np.where(ball, 3.0, 1.0), 0.1)
    turned = superpixel_clusters(np.moveaxis(image, 0, axis)[None])
    assert np.array_equal(np.moveaxis(turned, axis, 0), superpixel_clusters(image[None]))


def test_a_volume_and_its_millimetres() -> None:
    k, j, i = np.ogrid[:8, :32, :32]
    ball = (2 * (k - 4)) ** 2 + (j - 16) ** 2 + (i - 16) ** 2 < 9**2
    found = superpixel_clusters(noisy(np.where(ball, 3.0, 1.0), 0.1)[None], spacing=(2.0, 1.0, 1.0))
    assert dice(found == 1, ball) > 0.8


def test_one_bright_speck_does_not_blind_it(ball: np.ndarray) -> None:
    image = noisy(np.where(ball, 100.0, 60.0), 2.0)
    image[0, 2, 2] = 30000
    assert dice(superpixel_clusters(image[None]) == 1, ball) > 0.9


def test_the_same_seed_gives_the_same_clusters_the_darkest_first() -> None:
    image = np.random.default_rng(3).random((3, 1, 40, 40), np.float32)
    first = superpixel_clusters(image, 4, seed=5)
    assert np.array_equal(first, superpixel_clusters(image, 4, seed=5))
    steps = np.repeat([10.0, 90.0, 40.0, 60.0], 12)[None, None, None] * np.ones((1, 1, 48, 1))
    found = superpixel_clusters(steps.astype(np.float32), 4)
    assert [int(np.median(found[..., n : n + 12])) for n in (0, 12, 24, 36)] == [0, 3, 1, 2]


def test_fewer_colours_than_clusters_are_fewer_clusters() -> None:
    image = np.repeat([0.0, 1.0], 16)[None, None, None] * np.ones((1, 1, 32, 1))
    assert len(np.unique(superpixel_clusters(image, 5))) == 2


def test_one_cluster_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 clusters, not 1"):
        superpixel_clusters(np.zeros((1, 1, 20, 20)), 1)


def test_without_the_package_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superpixels, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"need scikit-image.*medcontext\[surfaces\]"):
        require_superpixels()
