"""What a user relies on: every pixel belongs to one connected region, and specks belong to what surrounds them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medcontext.errors import InputError
from medcontext.regions.extraction import region_clusters, regions_of


def a_picture(*rows: str) -> np.ndarray:
    """Clusters by digits."""
    return np.array([[[int(digit) for digit in row] for row in rows]])


def pieces(regions: np.ndarray) -> list[int]:
    """Into how many pieces each region falls."""
    return [int(ndimage.label(regions == value)[1]) for value in np.unique(regions)]


def test_pieces_of_a_cluster_are_regions_of_their_own_by_size() -> None:
    clusters = a_picture("5511155", "5511155", "5511155", "5511111")
    regions = regions_of(clusters, 0)
    assert regions.dtype == np.uint8
    assert regions.tolist() == a_picture("2211133", "2211133", "2211133", "2211111").tolist()
    assert region_clusters(regions, clusters) == [1, 5, 5]


def test_pixels_that_touch_at_a_corner_do_not_belong_together() -> None:
    assert regions_of(a_picture("10", "01"), 0).max() == 4


def test_a_speck_goes_to_the_neighbour_with_the_longest_border() -> None:
    clusters = a_picture("111122222", "111122222", "111132222", "111132222", "111142222")
    regions = regions_of(clusters, 2.5 / clusters.size)
    assert regions.max() == 2
    assert set(regions[clusters == 1]) == {2}
    assert set(regions[clusters == 2]) == {1}
    # 3 has two edges with either side, 4 has one: the larger neighbour wins, with which they then are one region.
    assert set(regions[clusters > 2]) == {1}


def test_where_borders_differ_the_longest_wins_over_the_larger_neighbour() -> None:
    clusters = a_picture("1111111", "1111111", "2233332", "2222222")
    assert region_clusters(regions_of(clusters, 5 / 28), clusters) == [1, 2]
    assert set(regions_of(clusters, 5 / 28)[clusters == 3]) == {2}


def test_a_speck_within_a_speck_disappears_with_it() -> None:
    clusters = np.zeros((1, 20, 20), int)
    clusters[0, 8:11, 8:11], clusters[0, 9, 9] = 1, 2
    assert (regions_of(clusters, 10 / 400) == 1).all()
    assert regions_of(clusters, 9 / 400).max() == 2


@pytest.mark.parametrize("shape", [(1, 48, 40), (30, 1, 40), (12, 14, 16)])
@pytest.mark.parametrize("seed", range(3))
def test_of_noise_too_every_voxel_has_a_connected_region_of_the_least_size(
    shape: tuple[int, int, int], seed: int
) -> None:
    clusters = np.random.default_rng(seed).integers(0, 5, shape)
    regions = regions_of(clusters, 0.01)
    sizes = np.bincount(regions.ravel())
    assert sizes[0] == 0
    assert (np.diff(sizes[1:]) <= 0).all()
    assert sizes[1:].min() >= 0.01 * clusters.size
    assert set(pieces(regions)) == {1}
    assert np.array_equal(regions, regions_of(clusters, 0.01))


@pytest.mark.parametrize("most", [1, 7, 250])
def test_no_more_regions_are_left_than_wished(most: int) -> None:
    clusters = np.random.default_rng(0).integers(0, 9, (1, 40, 40))
    regions = regions_of(clusters, 0, most)
    assert np.unique(regions).tolist() == list(range(1, most + 1))
    assert set(pieces(regions)) == {1}


def test_the_numbers_of_clusters_do_not_matter() -> None:
    clusters = np.random.default_rng(1).integers(0, 4, (1, 32, 32))
    other = np.array([70, -3, 12, 5])[clusters]
    regions = regions_of(clusters)
    assert np.array_equal(regions_of(other), regions)
    assert set(region_clusters(regions_of(other), other)) <= {70, -3, 12, 5}


def test_one_cluster_is_one_region() -> None:
    assert regions_of(np.full((1, 8, 8), 9)).tolist() == np.ones((1, 8, 8)).tolist()


@pytest.mark.parametrize(
    ("clusters", "least", "most"),
    [(np.zeros((4, 4), int), 0, 9), (np.zeros((1, 0, 4), int), 0, 9), (np.zeros((1, 4, 4), int), 2, 9)]
    + [(np.zeros((1, 4, 4), int), 0, most) for most in (0, 256)],
)
def test_what_cannot_be_cut_is_refused(clusters: np.ndarray, least: float, most: int) -> None:
    with pytest.raises(InputError):
        regions_of(clusters, least, most)
