"""What is rebuilt and what it costs: hidden voxels only, with the cell's own brightness where asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.errors import InputError
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.mae.targets import (
    cell_statistics,
    error_of_hidden,
    image_of,
    statistics_of_seen,
    target_of,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def hidden() -> torch.Tensor:
    mask = torch.zeros(2, 4, 6, 8, dtype=torch.bool)
    mask[0, :2] = True
    mask[1, :, :3, :4] = True
    return mask


def test_only_hidden_voxels_count(hidden: torch.Tensor) -> None:
    rebuilt, target = random(2, 3, 4, 6, 8).requires_grad_(), random(2, 3, 4, 6, 8, seed=1)
    error = error_of_hidden(rebuilt, target, hidden)
    seen = ~hidden.unsqueeze(1).expand_as(target)
    assert error_of_hidden(rebuilt, torch.where(seen, 99.0, target), hidden) == error
    assert error.item() == pytest.approx(((rebuilt - target)[~seen] ** 2).mean().item(), rel=1e-5)
    error.backward()
    assert not rebuilt.grad[seen].any()  # type: ignore[index]
    assert rebuilt.grad[~seen].all()  # type: ignore[index]


def test_the_guess_is_the_mean_of_what_is_seen_of_each_crop_and_channel(hidden: torch.Tensor) -> None:
    target = random(2, 3, 4, 6, 8)
    guess, deviation = statistics_of_seen(target, hidden)
    for crop in range(2):
        for channel in range(3):
            seen = target[crop, channel][~hidden[crop]]
            assert guess[crop, channel].item() == pytest.approx(seen.mean().item(), abs=1e-6)
            assert deviation[crop, channel].item() == pytest.approx(seen.std(correction=0).item(), abs=1e-5)
    for mine, other in zip(
        (guess, deviation),
        statistics_of_seen(target.masked_fill(hidden.unsqueeze(1), 99), hidden),
        strict=True,
    ):
        assert torch.equal(mine, other)


def test_statistics_of_cells_that_do_not_divide_the_crop() -> None:
    image = random(2, 3, 5, 6, 7).double() + 3
    mean, deviation = cell_statistics(image, (2, 3, 4))
    for k in range(0, 5, 2):
        for j in range(0, 6, 3):
            for i in range(0, 7, 4):
                box = (..., slice(k, k + 2), slice(j, j + 3), slice(i, i + 4))
                cell = image[box].flatten(2)
                expected = (cell.mean(2), (cell.var(2, unbiased=False) + 1e-6).sqrt())
                for found, value in zip((mean[box], deviation[box]), expected, strict=True):
                    assert torch.allclose(found.flatten(2), value.unsqueeze(2).expand_as(cell))


def test_normalised_cells_have_mean_0_and_deviation_1_and_come_back() -> None:
    config = MaeConfig(normalise_cells=True).updated(["mask.cell=4"])
    image = 5 * random(1, 2, 8, 8, 8) + 100
    target = target_of(image, config)
    mean, deviation = cell_statistics(target, (4, 4, 4))
    assert mean.abs().max() < 1e-4
    assert deviation == pytest.approx(np.ones(image.shape), abs=1e-3)
    assert torch.allclose(image_of(target, image, config), image, atol=1e-3)
    assert target_of(image, MaeConfig()) is image


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("mask.ratio=0", "between 0 and 1"),
        ("mask.ratio=1", "between 0 and 1"),
        ("mask.ratio=1.5", "mask.ratio"),
        ("mask.cell=0", "mask.cell"),
        ("crops=0", "crops"),
        ("width=0", "width"),
        ("decoder=4", "decoder"),
    ],
)
def test_settings_that_mean_nothing_are_refused_in_a_sentence(setting: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        MaeConfig().updated([setting])
