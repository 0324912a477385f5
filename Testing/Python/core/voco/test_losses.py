"""The loss terms have the values and gradients that the equations say."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.methods.voco import losses
from medcontext.methods.voco.config import VoCoConfig
from medcontext.methods.voco.crops import Layout
from medcontext.methods.voco.losses import Embedded
from medcontext.methods.voco.presets import preset

SCANS, RANDOM, CELLS, WIDTH = 2, 4, 9, 16


def overlap_of(scans: int = SCANS, grid=(1, 3, 3), seed: int = 0) -> Tensor:
    layout = Layout(grid, (8, 8, 8), (8, 8, 8))
    starts = layout.draw(scans * RANDOM, np.random.default_rng(seed))
    return torch.from_numpy(layout.overlap(starts)).reshape(scans, RANDOM, -1)


def embedded(seed: int = 0, scans: int = SCANS) -> Embedded:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((scans, RANDOM, WIDTH), (scans, CELLS, WIDTH))
    random, base = (
        torch.randn(shape, generator=generator, dtype=torch.double).requires_grad_() for shape in shapes
    )
    return Embedded(random, base)


def test_similarities_lie_between_zero_and_one():
    said = losses.logits(embedded(0), embedded(1), VoCoConfig())
    assert said.shape == (SCANS, RANDOM, CELLS)
    assert said.min() == 0
    assert said.max() <= 1 + 1e-12


def test_similarities_are_cosines_of_every_random_with_every_base_crop():
    mine, taught = embedded(0), embedded(1)
    said = losses.logits(mine, taught, VoCoConfig()).detach()
    for v in range(SCANS):
        for n in range(RANDOM):
            for m in range(CELLS):
                first = F.cosine_similarity(mine.random[v, n], taught.base[v, m], dim=0).relu()
                second = F.cosine_similarity(taught.random[v, n], mine.base[v, m], dim=0).relu()
                assert ((first + second) / 2).item() == pytest.approx(said[v, n, m].item(), abs=1e-12)


def test_where_all_embeddings_are_equal_position_costs_the_entropy_and_the_rest_one():
    same = torch.ones(SCANS, 1, WIDTH, dtype=torch.double)
    alike = Embedded(same.expand(-1, RANDOM, -1), same.expand(-1, CELLS, -1))
    said, y = losses.logits(alike, alike, VoCoConfig()), overlap_of()
    assert torch.allclose(said, torch.ones_like(said))
    entropy = torch.special.entr(y).sum((1, 2)) / RANDOM
    assert torch.allclose(losses.position(said, y), entropy, atol=1e-4)
    assert (losses.position(said, y) <= math.log(4)).all()
    assert torch.allclose(losses.negative(said, y, "l2"), torch.ones(SCANS, dtype=torch.double), atol=1e-5)
    assert torch.allclose(
        losses.regularisation(alike.base, VoCoConfig()), torch.ones(SCANS, dtype=torch.double)
    )


def test_a_perfect_prediction_costs_nothing():
    y = overlap_of()
    assert torch.allclose(losses.position(y, y), torch.full((SCANS,), -1e-6, dtype=torch.double), atol=1e-8)
    assert torch.equal(losses.negative(y, y, "l2"), torch.zeros(SCANS, dtype=torch.double))
    assert losses.negative(y, y, "log").abs().max() < 2e-6


def test_to_see_no_similarity_on_a_cell_costs_the_logarithm_of_epsilon():
    one_hot = torch.eye(CELLS, dtype=torch.double)[:RANDOM].expand(SCANS, -1, -1)
    cost = losses.position(torch.zeros_like(one_hot), one_hot)
    assert cost.tolist() == pytest.approx([-math.log(1e-6)] * SCANS, abs=2e-4)
    assert -math.log(1e-6) == pytest.approx(13.8155, abs=1e-4)


def test_terms_are_those_of_the_authors_code_written_out():
    """A loop over crops and cells; sums over all random crops of a scan, then the mean over scans."""
    said, y = losses.logits(embedded(0), embedded(1), VoCoConfig()).detach(), overlap_of()
    terms = losses.prediction(said, y, VoCoConfig(w_position=2, w_negative=3))
    logs = losses.prediction(said, y, VoCoConfig(negative="log"))
    position, squares, log = [], [], []
    for v in range(SCANS):
        up = down = square = other = count = 0.0
        for n in range(RANDOM):
            for m in range(CELLS):
                target, found = float(y[v, n, m]), float(said[v, n, m])
                up -= target * math.log(1 - abs(target - found) + 1e-6)
                down += target
                if target == 0:
                    square, other, count = square + found**2, other - math.log(1 - found + 1e-6), count + 1
        position.append(up / (down + 1e-6))
        squares.append(square / (count + 1e-6))
        log.append(other / (count + 1e-6))
    assert float(terms["position"]) == pytest.approx(2 * np.mean(position), rel=1e-9)
    assert float(terms["negative"]) == pytest.approx(3 * np.mean(squares), rel=1e-9)
    assert float(logs["negative"]) == pytest.approx(np.mean(log), rel=1e-9)


def test_the_paper_has_one_sum_over_all_cells():
    mine, y = embedded(), overlap_of()
    config = preset("paper")
    said = losses.logits(mine, mine.detached(), config).detach()
    assert said.min() < 0  # no ReLU
    terms = losses.prediction(said, y, config)
    rest = [
        max(0.0, 1 - abs(float(a) - float(b))) + 1e-6 for a, b in zip(y.ravel(), said.ravel(), strict=True)
    ]
    assert set(terms) == {"position"}
    assert float(terms["position"]) == pytest.approx(-np.mean(np.log(rest)), rel=1e-9)


@pytest.mark.parametrize("name", ["default", "paper"])
def test_regularisation_is_the_mean_over_pairs(name):
    base = embedded().base.detach()
    cost = losses.regularisation(base, preset(name))
    for v in range(SCANS):
        cosines = [
            float(F.cosine_similarity(base[v, a], base[v, b], dim=0))
            for a, b in combinations(range(CELLS), 2)
        ]
        wanted = [abs(c) for c in cosines] if name == "paper" else [max(0.0, c) ** 2 for c in cosines]
        assert float(cost[v]) == pytest.approx(np.mean(wanted), rel=1e-9)


@pytest.mark.parametrize("name", ["default", "repo", "paper", "v2"])
def test_base_crops_at_right_angles_cost_nothing_and_their_length_does_not_matter(name):
    config = preset(name)
    base = embedded().base.detach()
    assert losses.regularisation(torch.eye(CELLS)[None], config).abs().max() < 1e-12
    longer = base * torch.linspace(0.1, 10, CELLS, dtype=torch.double)[:, None]
    assert torch.allclose(losses.regularisation(base, config), losses.regularisation(longer, config))


def gradients_of_regularisation(name: str, order: list[int]) -> Tensor:
    base = embedded().base.detach()[:, order].requires_grad_()
    losses.regularisation(base, preset(name)).sum().backward()
    return base.grad if base.grad is not None else torch.zeros_like(base)


def test_repo_the_last_base_crop_is_never_regularised():
    gradient = gradients_of_regularisation("repo", list(range(CELLS))).norm(dim=-1)
    assert (gradient[:, -1] == 0).all()
    assert (gradient[:, 0] > 0).all()


def test_symmetric_regularisation_does_not_depend_on_the_order_of_base_crops():
    order = torch.randperm(CELLS, generator=torch.Generator().manual_seed(1)).tolist()
    plain, turned = (gradients_of_regularisation("default", o) for o in (list(range(CELLS)), order))
    assert torch.allclose(plain[:, order], turned, atol=1e-12)
    assert (plain.norm(dim=-1) > 0).all()
    plain, turned = (gradients_of_regularisation("repo", o) for o in (list(range(CELLS)), order))
    assert not torch.allclose(plain[:, order], turned, atol=1e-3)


def test_where_teacher_and_student_agree_both_halves_are_equal():
    mine = embedded()
    both = losses.logits(mine, mine.detached(), VoCoConfig())
    one = losses.logits(mine, mine.detached(), VoCoConfig(halves="student"))
    assert torch.allclose(both, one, atol=1e-12)


def test_random_crops_learn_by_the_first_half_and_base_crops_by_the_second():
    """The teacher's part of each half has no gradient."""
    mine, taught = embedded(0), embedded(1)
    losses.logits(mine, taught, VoCoConfig()).sum().backward()
    whole = mine.random.grad.clone()
    assert mine.base.grad.abs().max() > 0
    assert taught.random.grad is None
    assert taught.base.grad is None
    mine.random.grad = mine.base.grad = None
    losses.logits(mine, taught, VoCoConfig(halves="student")).sum().backward()
    assert mine.base.grad is None
    assert torch.allclose(whole, mine.random.grad / 2)


def test_a_similarity_below_zero_is_not_learnt_from_but_in_the_paper():
    mine = Embedded(-torch.ones(1, 1, 4).requires_grad_(), torch.ones(1, 1, 4))
    for name, learns in (("default", False), ("paper", True)):
        (gradient,) = torch.autograd.grad(
            losses.similarity(
                mine.random * torch.tensor([1.0, 2, 3, 4]), mine.base, relu=preset(name).relu
            ).sum(),
            mine.random,
        )
        assert bool(gradient.abs().max() > 0) == learns


def test_the_loss_of_a_scan_does_not_depend_on_the_others():
    mine, taught, y = embedded(0, 3), embedded(1, 3), overlap_of(3)
    order = [2, 0, 1]
    moved = [Embedded(e.random[order], e.base[order]) for e in (mine, taught)]
    said, turned = (losses.logits(*pair, VoCoConfig()) for pair in ((mine, taught), moved))
    assert torch.allclose(losses.position(said, y)[order], losses.position(turned, y[order]))
    assert torch.allclose(losses.negative(said, y, "l2")[order], losses.negative(turned, y[order], "l2"))
    regular = losses.regularisation(mine.base, VoCoConfig())
    assert torch.allclose(regular[order], losses.regularisation(moved[0].base, VoCoConfig()))


def test_the_inter_volume_term_compares_with_the_next_scan():
    mine, taught, config = embedded(0, 3), embedded(1, 3), preset("v2")
    cost = losses.inter(mine, taught, config)
    wanted = []
    for i in range(3):
        j = (i + 1) % 3
        said = losses.similarity(mine.random[i : i + 1], mine.base[j : j + 1])
        target = losses.similarity(taught.random[i : i + 1], taught.base[j : j + 1]).detach()
        assert (target == 0).any()  # what the teacher sees no similarity to is a negative
        wanted.append(sum(losses.prediction(said, target, config).values()))
    assert torch.allclose(cost, torch.stack(wanted).mean())
    cost.backward()
    assert taught.random.grad is None
    assert taught.base.grad is None
    assert mine.random.grad.abs().max() > 0
    assert mine.base.grad.abs().max() > 0


def test_the_inter_volume_term_of_a_single_scan_compares_it_with_itself():
    mine, taught, config = embedded(0, 1), embedded(1, 1), preset("v2")
    target = losses.similarity(taught.random, taught.base).detach()
    alone = sum(losses.prediction(losses.similarity(mine.random, mine.base), target, config).values())
    assert torch.allclose(losses.inter(mine, taught, config), alone)


def test_a_crop_that_touches_every_cell_has_no_negatives():
    y = torch.tensor([[[0.5, 0.5]]], dtype=torch.double)
    said = torch.rand_like(y, requires_grad=True)
    cost = losses.negative(said, y, "l2")
    cost.sum().backward()
    assert cost.item() == 0
    assert torch.equal(said.grad, torch.zeros_like(y))
