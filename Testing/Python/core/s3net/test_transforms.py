"""Random changes of the image: what moves in the image moves in the labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from medcontext.methods.s3net.config import ChangesConfig
from medcontext.methods.s3net.transforms import draw_change

SIZES = [(32, 48), (24, 28, 20)]
STILL = ChangesConfig(turn=0, flip=0, scale=0)


def ball(sizes: tuple[int, ...]) -> Tensor:
    """bool, a ball beside the middle."""
    places = torch.meshgrid(*[torch.arange(n) for n in sizes], indexing="ij")
    return sum((p - n // 2 - 2) ** 2 for p, n in zip(places, sizes, strict=True)) < 5**2  # type: ignore[return-value]


@pytest.mark.parametrize("sizes", SIZES)
def test_no_change_changes_nothing(sizes: tuple[int, ...]) -> None:
    image, labels = torch.randn(1, 3, *sizes), torch.randint(0, 9, (1, *sizes))
    change = draw_change(image, STILL, np.random.default_rng(0))
    torch.testing.assert_close(change.image(image), image, atol=1e-4, rtol=1e-4)
    assert torch.equal(change.labels(labels), labels)
    assert change.valid.all()


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_image_and_labels_move_alike_and_a_ball_stays_round(sizes: tuple[int, ...], seed: int) -> None:
    image = ball(sizes)[None, None].float()
    change = draw_change(image, ChangesConfig(scale=0), np.random.default_rng(seed))
    seen, told = change.image(image)[0, 0] > 0.5, change.labels(image[0].long())[0] > 0
    assert (seen != told).float().sum() <= 0.15 * told.sum()  # the rim
    assert told.sum().item() == pytest.approx(image.sum().item(), rel=0.1)
    places = told.nonzero().float()
    spread = torch.linalg.eigvalsh(torch.cov(places.T))
    assert spread[0] / spread[-1] > 0.8


@pytest.mark.parametrize("sizes", SIZES)
def test_the_image_turns_and_is_mirrored(sizes: tuple[int, ...]) -> None:
    image = torch.randn(1, 1, *sizes)
    mirrored = draw_change(image, STILL.updated(["flip=1"]), np.random.default_rng(0))
    torch.testing.assert_close(mirrored.image(image), image.flip(*range(2, image.ndim)), atol=1e-4, rtol=1e-4)
    turned = draw_change(image, STILL.updated(["turn=180"]), np.random.default_rng(0)).image(image)
    assert (turned - image).abs().mean() > 0.1


def test_a_picture_that_shrinks_shows_what_lies_outside_and_says_so() -> None:
    image = torch.ones(1, 1, 40, 40)
    seeds = range(20)
    changes = [draw_change(image, STILL.updated(["scale=0.5"]), np.random.default_rng(s)) for s in seeds]
    shares = [change.valid.float().mean().item() for change in changes]
    assert min(shares) < 0.6
    assert max(shares) == 1
    for change in changes:
        assert change.image(image).min() > 0.99  # mirrored, not black
        assert change.valid[0, 19:21, 19:21].all()
