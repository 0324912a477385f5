"""The execution plan: faster forms are used only where the labels stay."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from medcontext.inference import plan as planning
from medcontext.inference.labelling import ScoreMeaning
from medcontext.inference.plan import ExecutionPlan, default_plan, measured_plan, planned_forward

FP32, BF16, LEAN = ExecutionPlan(), ExecutionPlan("bf16"), ExecutionPlan("bf16", channels_last=True)


@pytest.fixture(autouse=True)
def bf16_at_hand(monkeypatch) -> None:
    """As on a CPU that computes bf16 itself, and nothing remembered."""
    monkeypatch.setattr(planning, "candidates", lambda _device, _wanted="auto": [FP32, BF16, LEAN])
    monkeypatch.setattr(planning, "_measured", {})


class Fickle(nn.Module):
    """Slow in fp32; under autocast it is faster and adds ``error`` to the score of label 1."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error
        self.weight = nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if image.dtype != torch.float32:
            raise RuntimeError("expected Float")
        reduced = torch.is_autocast_enabled("cpu")
        time.sleep(0.0 if reduced else 0.05)
        return torch.cat([torch.zeros_like(image), image + (self.error if reduced else 0)], 1)


def measure(network: nn.Module, card, cpu, calls: int = 100) -> ExecutionPlan:
    window = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return measured_plan(network, ScoreMeaning(card), cpu, window, "auto", calls)


def test_the_fastest_form_with_the_same_labels_is_taken(make_card, cpu) -> None:
    assert measure(Fickle(0.0), make_card(), cpu) == BF16


@pytest.mark.parametrize("error", [0.5, -3.0])
def test_a_form_that_moves_labels_is_not(make_card, cpu, error: float) -> None:
    assert measure(Fickle(error), make_card(), cpu) == FP32


def test_nothing_is_measured_for_a_few_windows(make_card, cpu) -> None:
    network = Fickle(0.0)
    assert measure(network, make_card(), cpu, calls=4) == default_plan(cpu)
    assert network.calls == 0


def test_a_measurement_is_remembered_for_these_weights_only(make_card, cpu) -> None:
    network = Fickle(0.0)
    measure(network, make_card(), cpu)
    calls = network.calls
    measure(network, make_card(), cpu)
    assert network.calls == calls
    with torch.no_grad():
        network.weight += 1
    measure(network, make_card(), cpu)
    assert network.calls > calls


def test_an_error_of_the_plain_form_is_not_hidden(make_card, cpu) -> None:
    class Broken(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(f"sizes do not fit: {tuple(image.shape)}")

    with pytest.raises(RuntimeError, match="sizes do not fit"):
        measure(Broken(), make_card(), cpu)


def test_channels_last_with_group_norm_computes_the_same() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1),
        nn.Sequential(nn.InstanceNorm3d(6, affine=True), nn.LeakyReLU()),
        nn.Conv3d(6, 3, 1),
        nn.InstanceNorm3d(3),
    ).eval()
    nn.init.normal_(network[1][0].weight)
    image = torch.randn(2, 1, 8, 9, 10)
    with torch.inference_mode():
        given = planned_forward(network, ExecutionPlan("fp32", channels_last=True))(image)
        torch.testing.assert_close(given, network(image), rtol=1e-4, atol=1e-5)
    assert isinstance(network[1][0], nn.InstanceNorm3d)  # the model itself stays as it was


def test_a_network_can_be_trained_after_it_was_used_for_prediction(make_card, threshold, cpu, noise) -> None:
    from medcontext.inference import Predictor

    Predictor([threshold], make_card(), cpu).predict(noise((40, 12, 12)))
    threshold(torch.ones(1, 1, 4, 4, 4)).sum().backward()
    assert threshold.convolution.weight.grad is not None
