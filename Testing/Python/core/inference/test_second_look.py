"""Sums over the windows of a scan: each voxel counts once, padding never, and size alone is no doubt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.inference.second_look import Look, _Sums, _windows


@pytest.mark.parametrize("shape", [(9, 20, 33), (16, 16, 16), (5, 7, 40)])
def test_each_voxel_counts_once_and_padding_never(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(1, 1, (2, *shape)).astype(np.float32)
    sums = np.zeros(2)
    weights = 0.0
    for window, weight in _windows(image, (16, 16, 16)):
        assert window.shape == (2, 16, 16, 16)
        sums += (window * weight).flatten(1).sum(1).numpy()
        weights += float(weight.sum())
    assert weights == pytest.approx(np.prod(shape), rel=1e-4)
    np.testing.assert_allclose(sums, image.reshape(2, -1).sum(1), rtol=1e-3)


def look(*labels: tuple[int, int, int]) -> Look:
    """Labels of ``(voxels of the clean view, of a masked one, of both)`` in a scan of a million voxels."""
    sums = _Sums(1)
    clean, view = torch.zeros(2, len(labels), 1, 1, 1_000_000)
    for number, (one, other, common) in enumerate(labels):
        clean[number, ..., :one] = 1
        view[number, ..., one - common : one - common + other] = 1
    weight = torch.ones(1, 1, 1_000_000)
    sums.add_features([torch.ones(1, 3, 1, 1, 4)], weight, clean.amax(0))
    sums.add_pair(0, clean, view, weight)
    return sums.result()


def test_views_that_agree_are_sure_and_those_that_do_not_are_not() -> None:
    assert look((1000, 1000, 1000)).uncertainty < 0.06
    assert look((1000, 1000, 0)).uncertainty > 0.95
    assert look((1000, 1000, 800)).uncertainty < look((1000, 1000, 500)).uncertainty


def test_a_large_organ_is_not_unsure_by_its_size() -> None:
    small, large = look((3000, 3000, 2400)), look((300_000, 300_000, 240_000))
    assert large.uncertainty == pytest.approx(small.uncertainty, abs=0.01)
    both = look((300_000, 300_000, 300_000), (3000, 3000, 0))
    assert both.uncertainty == pytest.approx(0.5, abs=0.05)


def test_where_nothing_is_found_nothing_is_sure() -> None:
    nothing = look((0, 0, 0), (0, 0, 0))
    assert nothing.uncertainty == pytest.approx(1.0)
    assert nothing.found < 0.01
    assert look((0, 0, 0), (3000, 3000, 2900)).found > 0.9


def test_features_are_those_of_the_foreground() -> None:
    sums = _Sums(0)
    features = torch.tensor([1.0, 5.0, 1.0, 1.0]).view(1, 1, 1, 1, 4)
    foreground = torch.tensor([0.0, 1.0, 0.0, 0.0]).view(1, 1, 4)
    sums.add_features([features], torch.ones(1, 1, 4), foreground)
    assert sums.result().features[0] == pytest.approx(5.0, abs=0.2)
