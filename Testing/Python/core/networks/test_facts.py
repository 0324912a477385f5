"""The costs that plans and tables quote."""

from __future__ import annotations

from typing import Any

import pytest

from medcontext import networks
from medcontext.errors import InputError


def test_facts_of_every_network_are_plausible(example: Any) -> None:
    facts = networks.describe(
        example.name, example.kwargs, example.in_channels, example.classes, example.patch
    )
    weights = 4 * sum(p.numel() for p in example.build().parameters())
    assert 4 * facts.parameters == weights
    assert facts.flops > 0
    assert facts.inference_memory_bytes > weights
    assert facts.training_memory_bytes > 5 * weights
    assert facts.activation_bytes > 1.5 * (facts.inference_memory_bytes - weights)


def test_flops_of_a_known_network() -> None:
    """A U-Net of 16 to 256 filters on 96 voxels a side: 101 GFLOP (docs/performance.md)."""
    kwargs = networks.default_kwargs("dynunet", (96, 96, 96), (1, 1, 1), "medium")
    kwargs |= {"filters": [16, 32, 64, 128, 256], "strides": kwargs["strides"][:5], "kernels": [[3] * 3] * 5}
    assert networks.describe("dynunet", kwargs, 1, 14, (96, 96, 96)).flops == pytest.approx(101e9, rel=0.01)


def test_activations_grow_with_the_patch_and_state_does_not() -> None:
    kwargs = networks.default_kwargs("dynunet", (32, 32, 32), (1, 1, 1), "small")
    small = networks.describe("dynunet", kwargs, 1, 3, (32, 32, 32))
    large = networks.describe("dynunet", kwargs, 1, 3, (64, 64, 32))
    assert large.state_bytes == small.state_bytes
    assert large.flops == pytest.approx(4 * small.flops, rel=0.01)
    assert large.activation_bytes == pytest.approx(4 * small.activation_bytes, rel=0.1)
    assert small.training_memory(2) == small.state_bytes + 2 * small.activation_bytes


def test_a_step_keeps_at_least_what_its_largest_layers_need() -> None:
    """The first block of 8 channels alone keeps inputs and outputs of convolutions, norms and activations."""
    kwargs = networks.default_kwargs("dynunet", (32, 32, 32), (1, 1, 1), "small")
    facts = networks.describe("dynunet", kwargs, 1, 3, (32, 32, 32))
    one_feature_map = 4 * 8 * 32**3
    assert 6 * one_feature_map < facts.activation_bytes < 30 * one_feature_map


def test_a_patch_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="mednext cannot take a patch"):
        networks.describe("mednext", {}, 1, 2, (40, 40, 41))
