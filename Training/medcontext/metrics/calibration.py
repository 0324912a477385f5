"""Whether a certainty map knows where the labelmap is wrong, and in which cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

from medcontext.errors import InputError
from medcontext.geometry import Volume
from medcontext.labels import IGNORE
from medcontext.metrics.scores import check_same_grid, label_array
from medcontext.metrics.surfaces import surface_voxels, union_box, value_boxes


@dataclass(frozen=True)
class CertaintyScore:
    """How well the certainty of one case finds its wrong voxels.

    ``auroc``: chance that a wrong voxel is less certain than a right one (0.5 is guessing), over all
    annotated voxels; ``auroc_near``: over those within ``near_mm`` of the reference surface. None where all
    voxels are right or all wrong. ``mean``: mean certainty of the voxels the prediction labels (of all, where
    it labels none): it needs no reference, and background does not drown it.
    """

    case: str
    auroc: float | None
    auroc_near: float | None
    near_mm: float
    mean: float
    wrong_voxels: int


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation over ``n`` cases; None when fewer than three or one side is constant."""

    rho: float | None
    p_value: float | None
    n: int


def score_certainty(
    certainty: Volume, prediction: Volume, reference: Volume, *, near_mm: float = 3.0, case: str = ""
) -> CertaintyScore:
    """Score the certainty map of one case.

    Args:
        certainty: one float channel on the grid of the prediction; higher is surer, any scale.
        prediction: the labelmap that the certainty is about.
        reference: the true labelmap; 255 where nobody annotated.
        near_mm: width of the band to either side of the reference surface: the border of each label, towards
            background and towards other labels.
        case: name of the case in the result.

    Raises:
        InputError: grids differ, an image is of the wrong kind, or the certainty is not finite.
    """
    check_same_grid(certainty, reference)
    check_same_grid(prediction, reference)
    predicted, truth = label_array(prediction, "prediction"), label_array(reference, "reference")
    # Maps are stored as uint8, whose negative wraps around: the least sure voxel would become the surest.
    sure = certainty.array[0].astype(np.float32)
    if certainty.channels != 1 or not np.isfinite(sure).all():
        raise InputError("A certainty map must be one channel of finite numbers.")
    known = truth != IGNORE
    wrong = (predicted != truth) & known
    near = known & near_surface(reference, near_mm)
    labelled = sure[predicted > 0] if (predicted > 0).any() else sure
    return CertaintyScore(
        case=case,
        auroc=auroc(-sure[known], wrong[known]),
        auroc_near=auroc(-sure[near], wrong[near]),
        near_mm=near_mm,
        mean=float(labelled.mean(dtype=np.float64)),
        wrong_voxels=int(wrong.sum()),
    )


def near_surface(reference: Volume, distance_mm: float) -> np.ndarray:
    """Which voxels lie within ``distance_mm`` of the border of some label; bool ``(K, J, I)``.

    Distances follow the spacing; shear of the axes (gantry tilt) is not looked at: it is only a band.
    """
    truth = label_array(reference, "reference")
    ignored = truth == IGNORE
    flat = tuple(axis for axis in range(3) if truth.shape[axis] == 1)
    surface = np.zeros(truth.shape, bool)
    for value, box in value_boxes(truth).items():
        wider = union_box(box, None, reference.shape)
        if value != IGNORE and wider is not None:
            surface[wider] |= surface_voxels(truth[wider] == value, ignored[wider], flat)
    if not surface.any():
        return surface
    distances = ndimage.distance_transform_edt(~surface, sampling=reference.spacing)
    return np.asarray(distances <= distance_mm + 1e-6)


def auroc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive has the higher score, ties counting half; None when all or none are positive.

    Args:
        scores: numbers, any shape.
        positive: bool of the same shape.
    """
    positives = int(np.count_nonzero(positive))
    negatives = positive.size - positives
    if not positives or not negatives:
        return None
    rank_sum = float(stats.rankdata(scores)[positive.ravel()].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def rank_correlation(first: Sequence[float | None], second: Sequence[float | None]) -> Correlation:
    """Spearman's rank correlation of two numbers per case, such as mean certainty and Dice.

    Args:
        first, second: in the same order; a pair with a None or NaN is left out.

    Raises:
        InputError: the lengths differ.
    """
    if len(first) != len(second):
        raise InputError(f"A correlation needs pairs; given {len(first)} and {len(second)} numbers.")
    pairs = np.array([first, second], dtype=np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    n = pairs.shape[1]
    if n < 3 or (np.ptp(pairs, axis=1) == 0).any():
        return Correlation(None, None, n)
    result = stats.spearmanr(pairs[0], pairs[1])
    return Correlation(float(result.statistic), float(result.pvalue), n)
