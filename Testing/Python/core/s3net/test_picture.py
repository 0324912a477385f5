"""What the network sees of an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.methods import make_config
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.picture import lab, prepare

PLAIN = S3NetConfig(colour="rgb", normalise="standard", outliers=0, contrast=0)
"""Nothing but another size and range."""


def plain(*settings: str) -> S3NetConfig:
    return PLAIN.updated(list(settings))


def noise(*shape: int, most: float = 255) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, most, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((3, 300, 400), (48, 64)), ((1, 400, 300), (64, 48)), ((1, 30, 40), (30, 40)), ((3, 2000, 16), (64, 8))],
)
def test_a_picture_keeps_its_shape_and_is_never_enlarged(
    shape: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    found = prepare(noise(*shape), plain("size=64"))
    assert found.shape == (1, shape[0], *seen)
    assert found.dtype == torch.float32


def test_a_volume_has_a_size_of_its_own() -> None:
    assert prepare(noise(1, 40, 48, 24), plain("size_3d=32")).shape == (1, 1, 27, 32, 16)
    assert prepare(noise(1, 20, 18, 24), plain("size_3d=32")).shape == (1, 1, 20, 18, 24)


def test_the_published_program_sees_a_square_of_shares_of_255() -> None:
    config = make_config("s3net", "repo").updated(["size=32"])
    assert isinstance(config, S3NetConfig)
    found = prepare(noise(3, 30, 40), config)
    assert found.shape == (1, 3, 32, 32)
    flat = prepare(np.full((3, 30, 40), 51, np.float32), config)
    torch.testing.assert_close(flat, torch.full((1, 3, 32, 32), 0.2))


@pytest.mark.parametrize("factor", [1, 257, -3])
def test_the_range_of_the_values_makes_no_difference(factor: float) -> None:
    config = plain("size=32")
    image = noise(3, 30, 40)
    found = prepare(factor * image + 5, config)
    torch.testing.assert_close(found, np.sign(factor) * prepare(image, config), atol=1e-3, rtol=1e-3)
    assert found.mean().item() == pytest.approx(0, abs=1e-2)


def test_values_beyond_bytes_are_stretched() -> None:
    found = prepare(noise(1, 20, 20, most=65535), plain("normalise=byte"))
    assert (found.min().item(), found.max().item()) == pytest.approx((0, 1))


def test_lab_is_that_of_the_cie() -> None:
    colours = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]]).T[:, :, None]
    expected = np.array(
        [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [53.39, 0, 0]]
    )
    np.testing.assert_allclose(lab(colours)[:, :, 0].T, expected, atol=0.05)


def test_lab_is_for_pictures_of_three_channels() -> None:
    config = plain("colour=lab")
    grey, volume, colour = noise(1, 20, 20), noise(3, 8, 8, 8), noise(3, 20, 20)
    assert torch.equal(prepare(grey, config), prepare(grey, PLAIN))
    assert torch.equal(prepare(volume, config), prepare(volume, PLAIN))
    assert not torch.equal(prepare(colour, config), prepare(colour, PLAIN))


def test_outliers_are_cut_off() -> None:
    image = noise(1, 20, 20)
    image[0, 3, 4] = 1e6
    assert prepare(image, PLAIN).std() < 1.01
    assert prepare(image, PLAIN).max() > 19
    assert prepare(image, plain("outliers=0.01")).max() < 2


def test_each_channel_can_have_a_range_of_its_own() -> None:
    image = noise(3, 30, 40) * np.array([1, 50, 0.1], np.float32)[:, None, None]
    found = prepare(image, plain("normalise=channel", "size=20"))
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std((2, 3))[0], torch.ones(3), atol=1e-2, rtol=0)


@pytest.mark.parametrize("shape", [(3, 40, 60), (1, 20, 24, 28)])
def test_a_further_channel_tells_grain_from_smooth_places(shape: tuple[int, ...]) -> None:
    image = np.full(shape, 100, np.float32)
    half = shape[-1] // 2
    image[..., half:] += np.random.default_rng(0).normal(0, 20, (*shape[:-1], shape[-1] - half))
    found = prepare(image, plain("contrast=0.02", "size_3d=32"))
    assert found.shape[1] == shape[0] + 1
    assert found[0, -1][..., half + 3 :].min() > found[0, -1][..., : half - 3].max()
