"""What a score of unlabelled clusters means, and what the published helper hides."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.metrics import clusters as scores
from medcontext.regions.extraction import regions_of
from medcontext.regions.statistics import facts_of


def disc(radius: float, size: int = 40, centre: tuple[int, int] = (20, 20)) -> np.ndarray:
    j, i = np.ogrid[:size, :size]
    return ((j - centre[0]) ** 2 + (i - centre[1]) ** 2 <= radius**2)[None]


@pytest.fixture
def truth() -> np.ndarray:
    return disc(9)


@pytest.fixture
def found() -> np.ndarray:
    """Three clusters: a slightly smaller disc which also lies in a corner, a hole in it, and the rest."""
    clusters = np.where(disc(8) | disc(6, centre=(0, 0)), 3, 1)
    clusters[disc(2)] = 7
    return clusters


def test_a_perfect_mask_and_masks_drawn_by_hand(truth: np.ndarray) -> None:
    assert (scores.dice(truth, truth), scores.hm(truth, truth), scores.xor(truth, truth)) == (1, 0, 0)
    reference, mask = np.zeros((2, 1, 4, 4), bool)
    reference[0, 1:3, 1:3] = True  # 4 pixels, of which 2 are found beside 4 others
    mask[0, :3, 2:] = True
    assert scores.dice(mask, reference) == pytest.approx(2 * 2 / (4 + 6))
    assert scores.hm(mask, reference) == pytest.approx((8 - 2) / 8)
    assert scores.xor(mask, reference) == pytest.approx((8 - 2) / 4)
    nothing = np.zeros_like(reference)
    assert [f(nothing, reference) for f in (scores.dice, scores.hm, scores.xor)] == [0, 1, 1]


def test_the_oracle_takes_a_whole_cluster_with_all_its_pieces(truth: np.ndarray, found: np.ndarray) -> None:
    assert scores.oracle_cluster_dice(found, truth) == pytest.approx(scores.dice(found == 3, truth))


def test_a_click_takes_one_piece_and_fills_its_holes(found: np.ndarray) -> None:
    ring = disc(9) & ~disc(2)
    point = scores.deepest_point(ring)
    assert found[point] == 3
    assert np.array_equal(scores.seeded_mask(found, point), disc(8))
    assert scores.seeded_dice(found, ring) == pytest.approx(scores.dice(disc(8), ring))


def test_the_deepest_point_is_the_centre_and_the_border_of_the_image_is_outside() -> None:
    assert scores.deepest_point(disc(9, centre=(17, 22))) == (0, 17, 22)
    whole = np.ones((1, 9, 21), bool)
    assert scores.deepest_point(whole)[1] == 4
    assert 4 <= scores.deepest_point(whole)[2] <= 16


def test_millimetres_decide_which_point_is_deepest() -> None:
    volume = np.zeros((5, 40, 20), bool)
    volume[1:4, 2:9, 2:9] = True
    volume[2, 14:38, 2:18] = True  # one voxel thin, which is most where voxels are long
    assert scores.deepest_point(volume, (1, 1, 1))[1] < 9
    assert scores.deepest_point(volume, (50, 1, 1))[1] > 14


def test_matching_gives_no_two_labels_the_same_cluster() -> None:
    labels = np.zeros((1, 10, 12), int)
    labels[0, :, 4:8], labels[0, :, 8:] = 1, 2
    two = (labels > 0).astype(int)
    assert scores.hungarian_dice(labels * 5 + 2, labels) == {1: 1.0, 2: 1.0}
    alone = scores.hungarian_dice(two, labels)
    assert sorted(alone.values()) == pytest.approx([0.0, 2 / 3])


def test_matching_maximises_the_sum(truth: np.ndarray) -> None:
    """Background would take the cluster that the label needs more."""
    clusters = np.where(truth, 0, 1)
    clusters[0, :2] = 2
    assert scores.hungarian_dice(clusters, truth.astype(int)) == {1: 1.0}


@pytest.mark.parametrize("seed", range(3))
def test_other_numbers_for_the_clusters_change_no_score(
    found: np.ndarray, truth: np.ndarray, seed: int
) -> None:
    names = np.random.default_rng(seed).permutation(8)

    def all_scores(clusters: np.ndarray) -> dict[str, float]:
        regions = regions_of(clusters)
        image = Volume(found[None].astype(np.float32), Geometry.from_spacing(found.shape))
        return scores.cluster_scores(clusters, regions, facts_of(regions, image, 0), truth)

    assert all_scores(names[found]) == pytest.approx(all_scores(found))


def test_the_rule_does_not_know_the_truth(truth: np.ndarray) -> None:
    clusters = np.where(disc(9) | disc(12, centre=(0, 0)), 1, 0)
    regions = regions_of(clusters)
    facts = facts_of(
        regions, Volume(clusters[None].astype(np.float32), Geometry.from_spacing(truth.shape)), 0
    )
    assert scores.rule_dice(regions, facts, truth) == 1
    elsewhere = disc(5, centre=(3, 3))
    assert scores.rule_dice(regions, facts, elsewhere) == 0


@pytest.mark.filterwarnings("ignore:legacy_leaky")
@pytest.mark.parametrize("radius", [3, 6, 9])
def test_the_published_helper_makes_a_score_of_nothing(radius: int) -> None:
    """All of the image as foreground: 2|G| / (|G| + |dilated G|) by the helper, 2|G| / (|G| + |image|) in truth."""
    truth = disc(radius)
    everything = np.ones(truth.shape, int)
    size = truth.sum()
    dilated = ndimage.binary_dilation(truth[0], np.ones((5, 5)), iterations=2).sum()
    assert scores.legacy_leaky(everything, truth) == pytest.approx(2 * size / (size + dilated))
    assert scores.oracle_cluster_dice(everything, truth) == pytest.approx(2 * size / (size + truth.size))


@pytest.mark.filterwarnings("ignore:legacy_leaky")
def test_the_published_helper_cannot_choose_cluster_0(truth: np.ndarray) -> None:
    clusters = np.where(truth, 0, 1)
    assert scores.legacy_leaky(clusters, truth) == 0
    assert scores.legacy_leaky(clusters + 1, truth) == 1


def test_the_published_helper_warns(truth: np.ndarray) -> None:
    events: list[dict] = []
    with pytest.warns(UserWarning, match="legacy_leaky removes"):
        scores.legacy_leaky(truth.astype(int), truth, Reporter(events.append))
    assert [e["event"] for e in events] == ["warning"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores.seeded_dice(truth.astype(int), truth)


@pytest.mark.parametrize(
    "score", [scores.dice, scores.hm, scores.xor, scores.oracle_cluster_dice, scores.seeded_dice]
)
def test_an_empty_truth_or_one_of_another_shape_is_refused(score, truth: np.ndarray) -> None:
    with pytest.raises(InputError, match="The ground truth is empty"):
        score(truth, np.zeros_like(truth))
    with pytest.raises(InputError, match=r"has the shape \(1, 30, 30\)"):
        score(truth, disc(3, 30))
