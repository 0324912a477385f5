"""The network of S3-Net: what its parts compute, and the sizes of the published one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from medcontext.networks.s3net.attention import AttentionBlock, DepthwiseConv, InceptionLargeKernelAttention
from medcontext.networks.s3net.network import S3Net


@pytest.mark.parametrize(("dims", "sizes"), [(2, (13, 20)), (3, (5, 13, 9))])
def test_attention_keeps_the_shape(dims: int, sizes: tuple[int, ...]) -> None:
    x = torch.randn(1, 4, *sizes)
    assert InceptionLargeKernelAttention(4, dims)(x).shape == x.shape
    assert AttentionBlock(4, dims)(x).shape == x.shape


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 2), (7, 3)])
def test_a_dilated_convolution_is_that_of_torch(kernel: int, dilation: int, batch: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv(4, kernel, dilation, dims=2)
    x = torch.randn(batch, 4, 17, 13)  # no multiple of a dilation
    weight, bias = layer.plane.weight, layer.plane.bias
    padding = dilation * (kernel // 2)
    expected = functional.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=4)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 2)])
def test_in_3d_the_kernel_is_the_product_of_two(kernel: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv(4, kernel, dilation, dims=3)
    assert layer.across is not None
    torch.nn.init.zeros_(layer.plane.bias)  # type: ignore[arg-type]
    x = torch.randn(2, 4, 7, 9, 11)
    weight = layer.plane.weight.unsqueeze(2) * layer.across.weight.unsqueeze(-1)
    padding = dilation * (kernel // 2)
    expected = functional.conv3d(x, weight, layer.across.bias, padding=padding, dilation=dilation, groups=4)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)


def test_a_voxel_hears_of_what_lies_up_to_11_voxels_away() -> None:
    x = torch.randn(1, 2, 31, 31, requires_grad=True)
    InceptionLargeKernelAttention(2, 2)(x)[0, :, 15, 15].sum().backward()
    assert x.grad is not None
    heard = x.grad.abs().sum((0, 1)).nonzero()
    assert heard.min(0).values.tolist() == [4, 4]
    assert heard.max(0).values.tolist() == [26, 26]


def test_the_published_sizes_have_the_published_number_of_parameters() -> None:
    network = S3Net(3, 64, 64, 2, "static", (256, 256))
    assert sum(p.numel() for p in network.parameters()) == 1_872_896
    assert (
        sum(p.numel() for name, p in network.named_parameters() if "offset" in name or "mask" in name)
        == 1_769_472
    )


@pytest.mark.parametrize(
    ("deformation", "sizes"),
    [("static", (16, 12)), ("predicted", (16, 12)), ("off", (16, 12)), ("off", (6, 8, 10))],
)
def test_two_heads_give_a_normalised_logit_of_each_cluster(deformation: str, sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    size = (sizes[0], sizes[1])
    network = S3Net(2, 4, 6, 1, deformation, size, dims=len(sizes))  # type: ignore[arg-type]
    x = torch.randn(1, 2, *sizes)
    heads = network(x)
    for head in heads:
        assert head.shape == (1, 6, *sizes)
        by_cluster = head.flatten(2)
        torch.testing.assert_close(by_cluster.mean(2), torch.zeros(1, 6), atol=1e-4, rtol=0)
        torch.testing.assert_close(by_cluster.std(2), torch.ones(1, 6), atol=2e-2, rtol=0)
    torch.testing.assert_close(network.other_head(x), heads[1])


def test_there_is_no_deformation_in_3d() -> None:
    with pytest.raises(ValueError, match="3D"):
        S3Net(1, 4, 6, 1, "predicted", dims=3)
