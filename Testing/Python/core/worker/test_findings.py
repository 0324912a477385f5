"""Place and size of labels, compared with the slow and simple way."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext import voxel_counts
from medcontext.worker.findings import find_labels, keep_only


def slowly(labelmap: np.ndarray) -> dict[int, tuple]:
    found = {}
    for value in range(1, 256):
        places = np.argwhere(labelmap == value)
        if len(places):
            ends = zip(places.min(0).tolist(), (places.max(0) + 1).tolist(), strict=True)
            found[value] = tuple(ends), len(places)
    return found


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (8, 16, 16), (1, 9, 1)])
@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_extent_and_size_of_each_label(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], share: float
) -> None:
    monkeypatch.setattr(voxel_counts, "PAIRS", 100)
    generator = np.random.default_rng(0)
    labelmap = generator.integers(1, 255, shape, np.uint8) * (generator.random(shape) < share)
    assert find_labels(labelmap) == slowly(labelmap)


def test_labels_that_are_not_wanted_become_background() -> None:
    labelmap = np.random.default_rng(0).integers(0, 10, (4, 5, 6), np.uint8)
    before = labelmap.copy()
    keep_only(labelmap, [3, 7])
    np.testing.assert_array_equal(labelmap, np.where(np.isin(before, [3, 7]), before, 0))
