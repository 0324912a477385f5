"""Sliding windows: every voxel is covered, blending weighs as written, memory does not grow with depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from scipy.ndimage import gaussian_filter

from medcontext.errors import InputError
from medcontext.inference.accumulate import RollingSlab, predict_planes
from medcontext.inference.windows import WindowGrid, gaussian_profile, nnunet_profile, window_starts

CPU = torch.device("cpu")


def blend(forward, image: torch.Tensor, grid: WindowGrid, axis: int = 0, batch: int = 1) -> torch.Tensor:
    """All planes put together again, divided by their weights."""
    planes = predict_planes(forward, image, grid, axis=axis, device=CPU, batch=batch)
    return torch.stack([sums / weight for _index, sums, weight in planes], axis + 1)


@pytest.mark.parametrize(
    ("size", "patch", "overlap", "expected"),
    [
        (8, 8, 0.5, [0]),
        (5, 8, 0.5, [0]),
        (12, 8, 0.5, [0, 4]),
        (13, 8, 0.5, [0, 2, 5]),
        (20, 8, 0.0, [0, 6, 12]),
    ],
)
def test_starts_are_even_and_as_few_as_the_overlap_allows(size, patch, overlap, expected) -> None:
    assert window_starts(size, patch, overlap) == expected


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_impossible_overlap_is_refused(overlap: float) -> None:
    with pytest.raises(InputError, match="overlap"):
        WindowGrid.cover((8, 8, 8), (4, 4, 4), overlap)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(9, 20, 14), (3, 17, 5), (2, 3, 4), (31, 8, 8)])
def test_windows_of_an_identity_network_give_the_image_back(shape, axis) -> None:
    image = torch.randn(2, *shape)
    grid = WindowGrid.cover(shape, (8, 6, 5), 0.4)
    torch.testing.assert_close(blend(lambda x: x, image, grid, axis, batch=3), image)


def test_two_windows_are_blended_as_computed_by_hand() -> None:
    """Windows of 4 over 6 voxels begin at 0 and 2; the first answers 1, the second 3."""
    answers = iter([1.0, 3.0])
    grid = WindowGrid.cover((6, 1, 1), (4, 1, 1), 0.5)
    image = torch.zeros(1, 6, 1, 1)
    blended = blend(lambda x: torch.full_like(x, next(answers)), image, grid).flatten()
    # The Gaussian has sigma 0.5 on 4 voxels: offsets 0.5 and 1.5 from the middle.
    inner, outer = np.exp(-0.5), np.exp(-4.5)
    before, after = (inner + 3 * outer) / (inner + outer), (outer + 3 * inner) / (inner + outer)
    np.testing.assert_allclose(blended, [1, 1, before, after, 3, 3], rtol=1e-5)


def test_blending_equals_monai_with_the_same_weights() -> None:
    """The answer depends on where in the window a voxel lies; on this grid both place windows alike."""
    patch, shape = (8, 6, 4), (16, 12, 8)
    ramp = torch.rand(1, 3, *patch)

    def network(x: torch.Tensor) -> torch.Tensor:
        return x * ramp

    image = torch.randn(1, *shape)
    k, j, i = (gaussian_profile(p) for p in patch)
    expected = sliding_window_inference(
        image[None], patch, 2, network, overlap=0.5, roi_weight_map=k[:, None, None] * j[:, None] * i
    )
    torch.testing.assert_close(blend(network, image, WindowGrid.cover(shape, patch, 0.5)), expected[0])


@pytest.mark.parametrize("patch", [(8, 12, 5), (1, 16, 7)])
def test_the_weights_of_nnunet_are_a_filtered_point(patch) -> None:
    point = np.zeros(patch)
    point[tuple(n // 2 for n in patch)] = 1
    expected = gaussian_filter(point, [n / 8 for n in patch], mode="constant")
    k, j, i = (nnunet_profile(p) for p in patch)
    weight = k[:, None, None] * j[:, None] * i
    assert (weight > 0).all()
    np.testing.assert_allclose(weight, expected / expected.max(), atol=1e-7)
    windows = WindowGrid.cover((12, 30, 9), patch, 0.5, "nnunet")
    np.testing.assert_array_equal(torch.stack(windows.weights()[:1])[0], k)
    image = torch.randn(1, 12, 30, 9)
    torch.testing.assert_close(blend(lambda x: x, image, windows), image)


@pytest.mark.parametrize("depth", [8, 64, 512])
def test_the_slab_is_one_patch_deep_however_deep_the_volume(depth: int) -> None:
    grid = WindowGrid.cover((depth, 16, 12), (8, 8, 8), 0.5)
    assert RollingSlab(3, grid, 0, CPU).sums.shape == (3, 8, 16, 12)


def test_planes_leave_before_the_last_window_is_computed() -> None:
    grid = WindowGrid.cover((32, 4, 4), (8, 4, 4), 0.5)
    calls = []

    def network(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x

    planes = predict_planes(network, torch.zeros(1, 32, 4, 4), grid, axis=0, device=CPU)
    next(planes)
    assert len(calls) == 1
    assert len(list(planes)) == 31


def test_the_slab_runs_along_the_axis_that_saves_memory() -> None:
    assert WindowGrid.cover((40, 40, 200), (32, 32, 32)).slab_axis == 2
    assert WindowGrid.cover((40, 40, 44), (32, 32, 32)).slab_axis == 0
