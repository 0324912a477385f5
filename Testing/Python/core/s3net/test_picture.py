"""What the network sees of an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.methods import make_config
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.picture import lab, prepare


def noise(*shape: int, most: float = 255) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, most, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((3, 300, 400), (48, 64)), ((1, 400, 300), (64, 48)), ((1, 30, 40), (30, 40)), ((3, 2000, 16), (64, 8))],
)
def test_a_picture_keeps_its_shape_and_is_never_enlarged(
    shape: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    found = prepare(noise(*shape), S3NetConfig(size=64))
    assert found.shape == (1, shape[0], *seen)
    assert found.dtype == torch.float32


def test_a_volume_has_a_size_of_its_own() -> None:
    assert prepare(noise(1, 40, 48, 24), S3NetConfig(size_3d=32)).shape == (1, 1, 27, 32, 16)
    assert prepare(noise(1, 20, 18, 24), S3NetConfig(size_3d=32)).shape == (1, 1, 20, 18, 24)


def test_the_published_program_sees_a_square_of_shares_of_255() -> None:
    config = make_config("s3net", "repo").updated(["size=32"])
    assert isinstance(config, S3NetConfig)
    found = prepare(noise(3, 30, 40), config)
    assert found.shape == (1, 3, 32, 32)
    flat = prepare(np.full((3, 30, 40), 51, np.float32), config)
    torch.testing.assert_close(flat, torch.full((1, 3, 32, 32), 0.2))


@pytest.mark.parametrize("factor", [1, 257, -3])
def test_the_range_of_the_values_makes_no_difference(factor: float) -> None:
    config = S3NetConfig(size=32)
    image = noise(3, 30, 40)
    found = prepare(factor * image + 5, config)
    torch.testing.assert_close(found, np.sign(factor) * prepare(image, config), atol=1e-3, rtol=1e-3)
    assert found.mean().item() == pytest.approx(0, abs=1e-2)


def test_values_beyond_bytes_are_stretched() -> None:
    found = prepare(noise(1, 20, 20, most=65535), S3NetConfig(normalise="byte"))
    assert (found.min().item(), found.max().item()) == pytest.approx((0, 1))


def test_lab_is_that_of_the_cie() -> None:
    colours = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]]).T[:, :, None]
    expected = np.array(
        [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [53.39, 0, 0]]
    )
    np.testing.assert_allclose(lab(colours)[:, :, 0].T, expected, atol=0.05)


def test_lab_is_for_pictures_of_three_channels() -> None:
    config, plain = S3NetConfig(colour="lab"), S3NetConfig()
    grey, volume, colour = noise(1, 20, 20), noise(3, 8, 8, 8), noise(3, 20, 20)
    assert torch.equal(prepare(grey, config), prepare(grey, plain))
    assert torch.equal(prepare(volume, config), prepare(volume, plain))
    assert not torch.equal(prepare(colour, config), prepare(colour, plain))


def test_outliers_are_cut_off() -> None:
    image = noise(1, 20, 20)
    image[0, 3, 4] = 1e6
    assert prepare(image, S3NetConfig()).std() < 1.01
    assert prepare(image, S3NetConfig()).max() > 19
    assert prepare(image, S3NetConfig(outliers=0.01)).max() < 2
