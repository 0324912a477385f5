"""Distances in segmentation space."""

import pytest
import torch

from medcontext.losses.consistency import consistency

NORMS = ["relative", "frobenius", "mean", "prob", "kl"]


@pytest.fixture
def two_fields() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 4, 4), torch.randn(2, 3, 4, 4, 4)


@pytest.mark.parametrize("norm", NORMS)
def test_equal_fields_have_no_distance(two_fields, norm):
    assert consistency(two_fields[0], two_fields[0].clone(), norm).item() == 0


def test_frobenius_grows_with_the_logits(two_fields):
    t, s = two_fields
    assert consistency(3 * t, 3 * s, "frobenius").item() == pytest.approx(
        3 * consistency(t, s, "frobenius").item()
    )


def test_frobenius_is_the_mean_square_over_the_norm_of_the_batch(two_fields):
    t, s = two_fields
    expected = ((s - t) ** 2).mean() / (t**2).sum().sqrt()
    assert consistency(t, s, "frobenius").item() == pytest.approx(expected.item())


def test_relative_does_not_depend_on_the_scale_of_the_logits(two_fields):
    t, s = two_fields
    assert consistency(3 * t, 3 * s, "relative").item() == pytest.approx(consistency(t, s, "relative").item())


@pytest.mark.parametrize("norm", ["relative", "mean", "prob", "kl"])
def test_only_the_region_counts(two_fields, norm):
    t, s = two_fields
    region = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    region[:, :2] = True
    elsewhere = s.clone()
    elsewhere[:, 0, 2:] += 10
    assert consistency(t, s, norm, region).item() == pytest.approx(
        consistency(t, elsewhere, norm, region).item()
    )
    assert consistency(t, s, norm).item() != pytest.approx(consistency(t, elsewhere, norm).item())


@pytest.mark.parametrize("norm", NORMS)
def test_the_teacher_gets_no_gradient(two_fields, norm):
    t, s = (field.requires_grad_() for field in two_fields)
    consistency(t, s, norm).backward()
    assert t.grad is None
    assert s.grad.abs().sum() > 0
