"""Windows of nnFormer: padding and opposite edges are invisible, and small windows use the same bias."""

from __future__ import annotations

import pytest
import torch

from medcontext.networks.window_attention import WindowBlock, Windows

GRIDS = [(4, 4, 4), (6, 5, 9), (3, 8, 2)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shifted", [False, True])
def test_splitting_and_joining_gives_the_tokens_back(grid: tuple[int, int, int], shifted: bool) -> None:
    x = torch.randn(2, *grid, 3)
    windows = Windows(grid, (4, 4, 4), shifted)
    assert torch.equal(windows.join(windows.split(x)), x)


def test_each_window_holds_neighbours() -> None:
    place = torch.arange(8.0).view(1, 8, 1, 1, 1)
    assert Windows((8, 1, 1), (4, 4, 4), False).split(place).flatten(2).tolist() == [
        [[0, 1, 2, 3], [4, 5, 6, 7]]
    ]
    assert Windows((8, 1, 1), (4, 4, 4), True).split(place).flatten(2).tolist() == [
        [[2, 3, 4, 5], [6, 7, 0, 1]]
    ]


def a_block(shifted: bool, cross: bool = False) -> WindowBlock:
    torch.manual_seed(0)
    return WindowBlock(8, 2, (4, 4, 4), shifted=shifted, cross=cross).eval()


def test_padding_is_invisible() -> None:
    """Tokens 4 and 5 of 6 share a padded window: they must be treated as a window of two."""
    x = torch.randn(1, 6, 3, 5, 8)
    block = a_block(shifted=False)
    torch.testing.assert_close(block(x)[:, 4:, :, 4:], block(x[:, 4:, :, 4:]))


def test_shifted_windows_do_not_join_opposite_edges() -> None:
    x = torch.randn(1, 8, 4, 4, 8)
    shifted, plain = a_block(shifted=True), a_block(shifted=False)
    expected = torch.cat([plain(x[:, :2]), plain(x[:, 2:6]), plain(x[:, 6:])], dim=1)
    torch.testing.assert_close(shifted(x), expected)


def test_position_matters_inside_a_window() -> None:
    block = a_block(shifted=False)
    with torch.no_grad():
        block.attention.bias.normal_()
    x = torch.randn(1, 4, 1, 1, 8)
    assert not torch.allclose(block(x.flip(1)).flip(1), block(x), atol=1e-4)


def test_skip_attention_reads_the_skip_connection_window_by_window() -> None:
    block = a_block(shifted=False, cross=True)
    x, skip = torch.randn(1, 8, 4, 4, 8), torch.randn(1, 8, 4, 4, 8)
    changed = skip.clone()
    changed[:, 0, 0, 0] = torch.randn(8)
    difference = (block(x, skip) - block(x, changed)).abs().amax(-1)
    assert bool((difference[:, :4] > 0).all()), "every query of the window sees the change"
    assert bool((difference[:, 4:] == 0).all()), "no query of another window does"
