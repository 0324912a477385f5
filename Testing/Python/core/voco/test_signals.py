"""Numbers that tell learning from guessing, and a picture."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from medcontext.errors import CancelledError
from medcontext.methods.voco.config import VoCoConfig
from medcontext.methods.voco.crops import Layout
from medcontext.methods.voco.picture import Answer, draw
from medcontext.methods.voco.presets import preset
from medcontext.methods.voco.signals import best_constant, effective_rank, position_accuracy, prediction_loss


def overlaps(grid=(1, 3, 3), cell: int = 1000, count: int = 10000) -> torch.Tensor:
    layout = Layout(grid, (cell,) * 3, (cell,) * 3)
    return torch.from_numpy(layout.overlap(layout.draw(count, np.random.default_rng(0))))[None]


def test_accuracy_counts_crops_whose_most_similar_cell_is_the_one_they_lie_in():
    y = torch.tensor([[[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0]]])
    said = torch.tensor([[[0.2, 0.1, 0.0], [0.3, 0.1, 0.2], [0.0, 0.1, 0.9], [0.3, 0.2, 0.1]]])
    assert position_accuracy(said, y) == 0.75


def test_random_answers_are_right_as_often_as_chance_says():
    y = overlaps()
    said = torch.rand(y.shape, generator=torch.Generator().manual_seed(0))
    assert position_accuracy(said, y) == pytest.approx(1 / 9, abs=0.02)


def test_the_best_constant_on_a_grid_of_nine_is_a_similarity_of_a_third():
    y, config = overlaps(), VoCoConfig()
    best = best_constant(y, config)
    assert best == pytest.approx(
        0.357, abs=0.006
    )  # and higher for small crops, which lie on a cell more often
    assert best == pytest.approx(prediction_loss(torch.full_like(y, 0.31), y, config), abs=1e-3)
    assert best <= prediction_loss(torch.full_like(y, 0.25), y, config)
    assert prediction_loss(torch.zeros_like(y), y, config) == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("name", ["default", "paper", "v2"])
def test_what_is_right_beats_the_best_constant_of_its_own_loss(name):
    y = overlaps(count=500)
    best = best_constant(y, preset(name))
    assert prediction_loss(y, y, preset(name)) < 0.01 < best
    assert best <= prediction_loss(torch.full_like(y, 1 / 9), y, preset(name))


def test_the_effective_rank_counts_directions():
    assert effective_rank(torch.eye(8)) == pytest.approx(8)
    assert effective_rank(torch.ones(8, 5)) == pytest.approx(1, abs=1e-4)
    assert effective_rank(torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0], [0.0, 9.0]])) == pytest.approx(2)
    alike = torch.ones(20, 10) + 0.01 * torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    assert 1 < effective_rank(alike) < 2


def look_of(small) -> Callable:
    shape = (len(small.plan.channels), 12, 30, 30)
    volumes = [np.random.default_rng(n).standard_normal(shape).astype(np.float16) for n in range(3)]
    return small.method.look_at(volumes, ["one", "two", "three"])


def test_a_look_tells_all_numbers_and_the_same_as_long_as_nothing_is_learnt(built):
    small = built()
    look = look_of(small)
    sight = look(lambda: None)
    assert set(sight.signals) == {
        "position_accuracy", "chance", "prediction_loss", "best_constant", "effective_rank"
    }  # fmt: skip
    assert sight.signals["chance"] == pytest.approx(1 / 9)
    assert sight.case == "one, two, three"
    small.loss(small.batch())
    assert look(lambda: None).signals == sight.signals
    assert look_of(small)(lambda: None).signals == sight.signals


def test_embeddings_that_are_all_alike_are_warned_about_once_a_network_had_time_to_learn(built):
    small = built()
    look = look_of(small)
    with torch.no_grad():
        small.student.projector[-1].weight.zero_()
        small.student.projector[-1].bias.fill_(1)
    early = look(lambda: None)
    small.loss(small.batch(), step=99)
    assert early.signals["effective_rank"] == pytest.approx(1, abs=1e-3)
    assert not early.warnings
    small.loss(small.batch(), step=100)
    (sentence,) = look(lambda: None).warnings
    assert "All crops look alike" in sentence
    assert "effective rank of their embeddings 1.0" in sentence


def test_a_healthy_network_is_not_warned_about(built):
    small = built()
    small.loss(small.batch(), step=100)
    sight = look_of(small)(lambda: None)
    assert sight.signals["effective_rank"] > 2
    assert not sight.warnings


def test_a_look_ends_when_somebody_asks_to_stop(built):
    def check() -> None:
        raise CancelledError("stop")

    with pytest.raises(CancelledError):
        look_of(built())(check)


def test_without_a_scan_there_is_nothing_to_see(built):
    sight = built().method.look_at([], [])(lambda: None)
    assert (sight.signals, sight.picture) == ({}, None)


def columns(answers: list[Answer], layout: Layout, plan) -> np.ndarray:
    return imread(io.BytesIO(draw(answers, layout, plan)))[..., :3]


@pytest.mark.parametrize("grid", [(1, 3, 3), (3, 3, 1), (2, 2, 2)])
def test_the_picture_shows_the_crop_true_and_predicted_overlap(plan_of, grid):
    layout = Layout(grid, (8, 8, 8), (8, 8, 8))
    volume = np.random.default_rng(0).standard_normal((2, 26, 26, 26)).astype(np.float16)
    ((place),) = layout.draw(1, np.random.default_rng(0))
    ((y),) = layout.overlap(place[None])
    right = Answer("scan", volume, (1, 1, 1), place, y, y)
    wrong = Answer("scan", volume, (1, 1, 1), place, y, 1 - y)
    good, bad = (columns([answer], layout, plan_of()) for answer in (right, wrong))
    differs = (good != bad).any(axis=(1, 2))
    assert differs.any()
    assert not differs[: len(differs) * 3 // 5].any()  # only the last of three rows says what was predicted
    yellow = (good[..., 0] > 0.9) & (good[..., 1] > 0.9) & (good[..., 2] < 0.2)
    assert yellow.sum() > 50
