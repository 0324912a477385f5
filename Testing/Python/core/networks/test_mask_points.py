"""The places where masked training hides the image: complete, and in the form they declare."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medcontext.networks import MaskPoints, SegmentationNetwork


def hidden_forward(
    network: SegmentationNetwork, points: MaskPoints, image: Tensor, hide_skips: bool = True
) -> list[Tensor]:
    """Everything masked: the embedding's output is one token everywhere, image skips see zeros."""
    token = torch.linspace(-1, 1, points.channels)

    def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        shaped = token if points.layout == "tokens" else token.view(-1, 1, 1, 1)
        return shaped.expand_as(output).contiguous()

    def blank(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(x) for x in inputs)

    handles = [points.embedding.register_forward_hook(replace)]
    if hide_skips:
        handles += [module.register_forward_pre_hook(blank) for module in points.image_skips]
    try:
        with torch.no_grad():
            return network.forward_deep(image)
    finally:
        for handle in handles:
            handle.remove()


def test_with_everything_hidden_the_logits_do_not_depend_on_the_image(example: Any) -> None:
    network = example.build()
    for points in {network.mask_points(True), network.mask_points(False)}:  # the same for all but UNETR
        first = hidden_forward(network, points, example.image(0))
        second = hidden_forward(network, points, 5 * example.image(1) + 3)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with torch.no_grad():
        assert not torch.equal(network(example.image(0)), network(example.image(1)))


def test_image_skips_are_listed_because_they_leak(example: Any) -> None:
    network = example.build()
    points = network.mask_points()
    if not points.image_skips:
        return
    first = hidden_forward(network, points, example.image(0), hide_skips=False)
    second = hidden_forward(network, points, example.image(1), hide_skips=False)
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("before_position", [True, False])
def test_the_embedding_has_the_form_it_declares(example: Any, before_position: bool) -> None:
    network = example.build()
    points = network.mask_points(before_position)
    seen: list[Tensor] = []
    handle = points.embedding.register_forward_hook(lambda _m, _i, output: seen.append(output))
    network(example.image(batch=2))
    handle.remove()
    grid = tuple(n // c for n, c in zip(example.patch, points.cell, strict=True))
    tokens = grid[0] * grid[1] * grid[2]
    expected = (2, tokens, points.channels) if points.layout == "tokens" else (2, points.channels, *grid)
    assert [tuple(output.shape) for output in seen] == [expected]


def test_a_hidden_token_of_unetr_knows_its_place_only_when_masked_before_the_position() -> None:
    from medcontext import networks

    torch.manual_seed(0)
    kwargs = {"feature_size": 4, "hidden_size": 12, "mlp_dim": 16, "num_heads": 2, "proj_type": "perceptron"}
    network = networks.build("unetr", 1, 2, patch_size=[16, 16, 48], **kwargs)
    image = torch.randn(1, 1, 16, 16, 48)
    tokens: list[Tensor] = []
    handle = network.backbone.vit.blocks[0].register_forward_pre_hook(lambda _m, x: tokens.append(x[0]))
    for before_position in (True, False):
        hidden_forward(network, network.mask_points(before_position), image)
    handle.remove()
    assert not torch.equal(tokens[0][0, 0], tokens[0][0, 1])
    assert torch.equal(tokens[1][0, 0], tokens[1][0, 1])
