"""A certainty map is worth what it finds: wrong voxels, near the surface above all, and bad cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import IGNORE
from medcontext.metrics.calibration import auroc, near_surface, rank_correlation, score_certainty

SHAPE = (8, 20, 20)
GEOMETRY = Geometry.from_spacing(SHAPE, (3.0, 1.0, 1.0))


def example() -> tuple[np.ndarray, np.ndarray]:
    """A reference of two labels and a prediction that is one voxel off along J."""
    reference = np.zeros(SHAPE, np.uint8)
    reference[2:6, 5:15, 5:10], reference[2:6, 5:15, 10:15] = 1, 2
    return np.roll(reference, 1, axis=1), reference


def volume(array: np.ndarray) -> Volume:
    return Volume(array[None], GEOMETRY)


def certainty_of(array: np.ndarray) -> Volume:
    return volume(array.astype(np.float32))


def test_a_map_that_knows_all_errors_scores_one_and_its_opposite_zero() -> None:
    prediction, reference = example()
    knowing = (prediction == reference).astype(np.float32)
    score = score_certainty(certainty_of(knowing), volume(prediction), volume(reference), case="x")
    assert (score.case, score.auroc, score.auroc_near) == ("x", 1.0, 1.0)
    assert score.wrong_voxels == (prediction != reference).sum()
    score = score_certainty(certainty_of(1 - knowing), volume(prediction), volume(reference))
    assert (score.auroc, score.auroc_near) == (0.0, 0.0)


def test_knowing_only_where_the_surface_is_counts_overall_but_not_near_it() -> None:
    prediction, reference = example()
    far = ~near_surface(volume(reference), 1.0)
    score = score_certainty(certainty_of(far), volume(prediction), volume(reference), near_mm=1.0)
    assert score.auroc is not None
    assert score.auroc > 0.8
    assert score.auroc_near == 0.5


def test_the_area_is_the_chance_that_a_wrong_voxel_scores_higher_with_ties_as_half() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(0, 6, 300), generator.random(300) < 0.3
    test = stats.mannwhitneyu(scores[positive], scores[~positive])
    assert auroc(scores, positive) == pytest.approx(test.statistic / positive.sum() / (~positive).sum())
    assert auroc(scores, np.zeros(300, bool)) is None
    assert auroc(scores, np.ones(300, bool)) is None


def test_the_band_follows_millimetres_and_includes_the_border_between_labels() -> None:
    _, reference = example()
    band = near_surface(volume(reference), 2.0)
    assert band[4, 5 - 2, 7]  # 2 mm outside
    assert not band[4, 5 - 3, 7]
    assert not band[1, 10, 7]  # one slice away is 3 mm
    assert near_surface(volume(reference), 3.0)[1, 10, 7]
    inside = reference.copy()
    inside[inside > 0] = 1
    assert near_surface(volume(reference), 0.0)[4, 10, 10]
    assert not near_surface(volume(inside), 0.0)[4, 10, 10]


def test_unannotated_voxels_do_not_count() -> None:
    prediction, reference = example()
    random = np.random.default_rng(0).random(SHAPE)
    reference[:, :, 12:] = IGNORE
    expected = score_certainty(certainty_of(random), volume(prediction), volume(reference))
    changed = prediction.copy()
    changed[:, :, 12:] = 1
    random[:, :, 12:] = 0
    found = score_certainty(certainty_of(random), volume(changed), volume(reference))
    assert (found.auroc, found.auroc_near) == (expected.auroc, expected.auroc_near)
    assert found.wrong_voxels == expected.wrong_voxels


def test_the_case_mean_is_that_of_the_labelled_voxels() -> None:
    prediction, reference = example()
    certainty = np.where(prediction > 0, 0.25, 1.0)
    score = score_certainty(certainty_of(certainty), volume(prediction), volume(reference))
    assert score.mean == pytest.approx(0.25)
    nothing = np.zeros(SHAPE, np.uint8)
    assert score_certainty(certainty_of(certainty), volume(nothing), volume(reference)).mean > 0.25


def test_a_perfect_prediction_leaves_nothing_to_find() -> None:
    _, reference = example()
    score = score_certainty(certainty_of(np.ones(SHAPE)), volume(reference), volume(reference))
    assert (score.auroc, score.auroc_near, score.wrong_voxels) == (None, None, 0)


def test_case_means_are_ranked_against_dice() -> None:
    found = rank_correlation([0.1, 0.4, None, 0.2, 0.9], [0.5, 0.8, 0.1, 0.6, 0.95])
    assert (found.rho, found.n) == (pytest.approx(1.0), 4)
    assert rank_correlation([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]).rho == pytest.approx(-1.0)
    assert rank_correlation([0.1, 0.1, 0.1], [0.3, 0.2, 0.1]).rho is None
    assert rank_correlation([0.1, None], [0.3, 0.2]).n == 1
    with pytest.raises(InputError, match="3 and 2"):
        rank_correlation([1, 2, 3], [1, 2])


def test_maps_that_do_not_fit_are_refused() -> None:
    prediction, reference = example()
    certainty = np.ones(SHAPE, np.float32)
    with pytest.raises(InputError, match="same grid"):
        score_certainty(
            certainty_of(certainty).crop((0, 0, 0), (4, 20, 20)), volume(prediction), volume(reference)
        )
    certainty[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        score_certainty(certainty_of(certainty), volume(prediction), volume(reference))
