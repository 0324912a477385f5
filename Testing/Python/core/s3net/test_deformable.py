"""Deformable convolution: what the formula says, voxel by voxel, and what torchvision gives where it is installed."""

from __future__ import annotations

from itertools import product
from math import floor

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medcontext.networks.s3net.deformable import DeformableConv, deform_conv

SIZE = (5, 7)


def drawn(kernel: tuple[int, int] = (3, 3), padding: int = 1, reach: float = 2.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    taps, rows, columns = (
        kernel[0] * kernel[1],
        *(n + 2 * padding - k + 1 for n, k in zip(SIZE, kernel, strict=True)),
    )
    return {
        "x": torch.randn(1, 2, *SIZE, generator=generator),
        "offset": reach * torch.randn(1, 2 * taps, rows, columns, generator=generator),
        "mask": torch.rand(1, taps, rows, columns, generator=generator),
        "weight": torch.randn(3, 2, *kernel, generator=generator),
        "bias": torch.randn(3, generator=generator),
    }


def at(plane: np.ndarray, j: float, i: float) -> float:
    """The value between voxels; zero outside."""
    total = 0.0
    for row, column in product((floor(j), floor(j) + 1), (floor(i), floor(i) + 1)):
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            total += (1 - abs(j - row)) * (1 - abs(i - column)) * plane[row, column]
    return total


def by_the_formula(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, padding: int
) -> np.ndarray:
    image, moved, share, factors = (a.double().numpy() for a in (x[0], offset[0], mask[0], weight))
    kernel = factors.shape[2:]
    result = np.zeros((len(factors), *share.shape[1:]))
    for j, i in np.ndindex(*share.shape[1:]):
        for tap, (a, b) in enumerate(np.ndindex(*kernel)):
            place = (j - padding + a + moved[2 * tap, j, i], i - padding + b + moved[2 * tap + 1, j, i])
            seen = np.array([at(plane, *place) for plane in image])
            result[:, j, i] += share[tap, j, i] * factors[:, :, a, b] @ seen
    return result + bias.numpy()[:, None, None]


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), 1), ((3, 3), 0), ((1, 3), 1)])
def test_it_computes_the_formula_also_beyond_the_border(kernel: tuple[int, int], padding: int) -> None:
    given = drawn(kernel, padding)
    expected = by_the_formula(**given, padding=padding)
    np.testing.assert_allclose(deform_conv(**given, padding=padding)[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_it_gives_what_torchvision_gives_and_the_same_gradients(padding: int) -> None:
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed; it need not be")
    results = []
    for function in (deform_conv, ops.deform_conv2d):
        given = {name: value.requires_grad_() for name, value in drawn(padding=padding).items()}
        mask = given.pop("mask") if function is ops.deform_conv2d else None
        x, offset, weight = (given.pop(name) for name in ("x", "offset", "weight"))
        if mask is not None:
            out = function(x, offset, weight, padding=padding, mask=mask, **given)
        else:
            mask = given.pop("mask")
            out = function(x, offset, mask, weight, padding=padding, **given)
        out.square().sum().backward()
        results.append([out, *[value.grad for value in (x, offset, mask, weight)]])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("mode", ["static", "predicted"])
def test_without_offsets_and_with_full_masks_it_is_a_plain_convolution(mode: str) -> None:
    torch.manual_seed(0)
    layer = DeformableConv(4, mode, (6, 9))  # type: ignore[arg-type]
    if mode == "static":
        torch.nn.init.zeros_(layer.offset)
        torch.nn.init.ones_(layer.mask)
    x = torch.randn(1, 4, 6, 9)
    torch.testing.assert_close(layer(x), functional.conv2d(x, layer.weight, padding=1), atol=1e-5, rtol=1e-4)


def test_static_offsets_and_masks_are_27_numbers_of_each_pixel_all_positive_as_published() -> None:
    layer = DeformableConv(4, "static", (6, 9))
    assert layer.offset.numel() + layer.mask.numel() == 27 * 6 * 9
    for drawn_from_0_to_1 in (layer.offset, layer.mask, layer.weight):
        assert 0 <= drawn_from_0_to_1.min() < 0.2
        assert 0.8 < drawn_from_0_to_1.max() <= 1
    with pytest.raises(ValueError, match="no deformable convolution"):
        layer(torch.randn(1, 4, 6, 8))  # they belong to one size


def test_predicted_offsets_learn_and_take_any_size() -> None:
    layer = DeformableConv(4, "predicted")
    for size in ((6, 9), (5, 5)):
        x = torch.randn(1, 4, *size)
        layer(x).square().sum().backward()
        assert layer(x).shape == x.shape
    assert layer.predict is not None
    assert layer.predict.weight.grad is not None
    assert layer.predict.weight.grad.abs().max() > 0


def test_static_needs_a_size() -> None:
    with pytest.raises(ValueError, match="need the size"):
        DeformableConv(4, "static")
