"""Strides and kernels follow the voxel size, as nnU-Net's do."""

from __future__ import annotations

import pytest

from medcontext import networks
from medcontext.networks.sizes import PatchRule, plan_pooling, product


def test_a_cube_is_halved_down_to_four_voxels() -> None:
    strides, kernels = plan_pooling((128, 128, 128), (1, 1, 1))
    assert strides == [(1, 1, 1)] + [(2, 2, 2)] * 5
    assert kernels == [(3, 3, 3)] * 6


def test_a_coarse_axis_is_spared_until_the_others_caught_up() -> None:
    """5 x 0.8 x 0.8 mm: in-plane 1.6 and 3.2 mm come first, then all axes are within a factor of two."""
    strides, kernels = plan_pooling((16, 320, 320), (5, 0.8, 0.8))
    assert strides[:4] == [(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert kernels[:3] == [(1, 3, 3), (1, 3, 3), (3, 3, 3)]


@pytest.mark.parametrize("patch", [(40, 56, 40), (14, 160, 160), (9, 17, 30), (7, 7, 7)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (6.0, 1.0, 1.0)])
def test_no_axis_is_pooled_below_four_voxels(
    patch: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    strides, _ = plan_pooling(patch, spacing)
    assert all(s == 1 or n // s >= 4 for n, s in zip(patch, product(strides), strict=True))


@pytest.mark.parametrize(("size", "millions"), [("small", 0.35), ("medium", 1.4), ("large", 5.6)])
def test_dynunet_sizes_for_whole_hippocampus_crops(size: str, millions: float) -> None:
    kwargs = networks.default_kwargs("dynunet", (40, 56, 40), (1, 1, 1), size)  # type: ignore[arg-type]
    network = networks.build("dynunet", 1, 3, **kwargs)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(millions * 1e6, rel=0.02)
    assert networks.round_patch("dynunet", kwargs, (40, 56, 40)) == (40, 56, 40)


def test_large_dynunet_stops_widening_where_nnunet_does() -> None:
    kwargs = networks.default_kwargs("dynunet", (128, 128, 128), (1, 1, 1), "large")
    assert kwargs["filters"] == [32, 64, 128, 256, 320, 320]


def test_residual_blocks_are_an_option() -> None:
    kwargs = networks.default_kwargs("dynunet", (16, 16, 16), (1, 1, 1), "small")
    plain = networks.build("dynunet", 1, 2, **kwargs)
    residual = networks.build("dynunet", 1, 2, **kwargs | {"res_block": True})
    count = [sum(p.numel() for p in network.parameters()) for network in (plain, residual)]
    assert count[0] < count[1] < 1.2 * count[0]


def test_rounding_up_keeps_more_than_one_voxel_at_the_bottom() -> None:
    rule = PatchRule((32, 32, 32))
    assert rule.round_up((32, 20, 32)) == (64, 32, 32)
    assert rule.round_up((10, 10, 33)) == (32, 32, 64)
    assert not rule.fits((0, 32, 64))
