"""Scores of clusters found without labels, beside ground truth.

A network that was given no labels gives numbers without names; how it is told which of them is meant decides what a
score is worth:

===================  ==================================================================================
oracle cluster       the ground truth chooses the cluster: an upper bound, reachable by nobody
Hungarian matching   the ground truth gives each label a cluster of its own: an upper bound as well
seeded               one click at the deepest point of what is looked for: what a person gets
rule-based           a rule that knows no ground truth chooses: what runs by itself
legacy_leaky         the published helper, which removes what lies far from the ground truth: no score
===================  ==================================================================================

All but the last stay the same when clusters change their numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Triple
from medcontext.regions.choosing import Rule, choose, filled
from medcontext.regions.statistics import RegionFacts

LEAK = (
    "legacy_leaky removes everything farther than 4 pixels from the ground truth before it scores: it shows what the "
    "published numbers are worth and says nothing about a segmentation."
)


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """``2 |A and B| / (|A| + |B|)`` of bool arrays of one shape.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(mask, truth)
    return 2 * int(np.count_nonzero(mask & truth)) / int(np.count_nonzero(mask) + np.count_nonzero(truth))


def hm(mask: np.ndarray, truth: np.ndarray) -> float:
    """Hammoude's distance ``(|A or B| - |A and B|) / |A or B|``: 0 is best, 1 is worst.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(mask, truth)
    return int(np.count_nonzero(mask ^ truth)) / int(np.count_nonzero(mask | truth))


def xor(mask: np.ndarray, truth: np.ndarray) -> float:
    """``(|A or B| - |A and B|) / |truth|``: 0 is best; above 1 where more is wrong than there is to find.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(mask, truth)
    return int(np.count_nonzero(mask ^ truth)) / int(np.count_nonzero(truth))


def oracle_cluster_dice(clusters: np.ndarray, truth: np.ndarray) -> float:
    """The Dice of the one cluster that the ground truth likes best.

    Args:
        clusters: integers.
        truth: bool of the same shape.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(clusters, truth)
    return float(_dice_table(clusters, truth.astype(np.uint8))[1][:, 1].max())


def hungarian_dice(clusters: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """The Dice of each label when all labels, background too, have the clusters that suit them best together.

    No two labels have the same cluster (Kuhn 1955); clusters that are left over belong to nobody.

    Args:
        clusters: integers.
        labels: integers of the same shape; 0 is background.

    Returns:
        Label value to Dice, background left out; 0 for a label that has no cluster.

    Raises:
        InputError: the shapes differ, or there is no label.
    """
    _check(clusters, labels)
    names, table = _dice_table(clusters, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    matched = dict(zip(columns.tolist(), table[rows, columns].tolist(), strict=True))
    return {int(name): matched.get(n, 0.0) for n, name in enumerate(names) if name}


def deepest_point(truth: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Triple:
    """The voxel ``(k, j, i)`` of a mask that is farthest from what is outside: where a person would click.

    What lies beyond the image is outside; not so across an axis of length 1.

    Args:
        truth: bool ``(K, J, I)``.
        spacing: millimetres of a voxel along ``(K, J, I)``.

    Raises:
        InputError: the mask is empty.
    """
    _check(truth, truth)
    margins = [(1, 1) if n > 1 else (0, 0) for n in truth.shape]
    depth = ndimage.distance_transform_edt(np.pad(truth, margins), sampling=spacing)
    place = np.unravel_index(int(depth.argmax()), depth.shape)
    k, j, i = (int(n) - before for n, (before, _) in zip(place, margins, strict=True))
    return k, j, i


def seeded_mask(clusters: np.ndarray, point: Triple) -> np.ndarray:
    """What a click gives: the piece, connected by faces, of the cluster at a point, without holes.

    Args:
        clusters: integers ``(K, J, I)``; or regions, each of which is a piece.
        point: ``(k, j, i)``.
    """
    pieces, _ = ndimage.label(clusters == clusters[point])
    return filled(pieces == pieces[point])


def seeded_dice(
    clusters: np.ndarray, truth: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> float:
    """The Dice of what one click at the deepest point of the truth gives.

    Args:
        clusters: integers ``(K, J, I)``.
        truth: bool of the same shape.
        spacing: millimetres of a voxel along ``(K, J, I)``.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(clusters, truth)
    return dice(seeded_mask(clusters, deepest_point(truth, spacing)), truth)


def rule_dice(
    regions: np.ndarray, facts: Sequence[RegionFacts], truth: np.ndarray, rule: Rule = "largest"
) -> float:
    """The Dice of the foreground that a rule takes without ground truth; see :mod:`medcontext.regions.choosing`.

    Raises:
        InputError: the shapes differ, the truth is empty, or there is no such rule.
    """
    return dice(choose(regions, facts, rule)[0], truth)


def cluster_scores(
    clusters: np.ndarray,
    regions: np.ndarray,
    facts: Sequence[RegionFacts],
    truth: np.ndarray,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> dict[str, float]:
    """All honest scores of one image; a click takes a region, as it does in the module.

    Args:
        clusters: integers ``(K, J, I)``.
        regions: uint8 of the same shape, cut from the clusters.
        facts: of the regions.
        truth: bool of the same shape.
        spacing: millimetres of a voxel along ``(K, J, I)``.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(clusters, truth)
    clicked = seeded_mask(regions, deepest_point(truth, spacing))
    return {
        "seeded_dice": dice(clicked, truth),
        "seeded_hm": hm(clicked, truth),
        "seeded_xor": xor(clicked, truth),
        "largest_dice": rule_dice(regions, facts, truth, "largest"),
        "contrast_dice": rule_dice(regions, facts, truth, "contrast"),
        "oracle_cluster_dice": oracle_cluster_dice(clusters, truth),
        "hungarian_dice": hungarian_dice(clusters, truth.astype(np.uint8))[1],
    }


def legacy_leaky(clusters: np.ndarray, truth: np.ndarray, reporter: Reporter | None = None) -> float:
    """The Dice that the published ``create_mask`` of S3-Net arrives at; it warns, because it is no score.

    The ground truth chooses the cluster with the largest overlap, of which it then removes all that lies outside of
    its own dilation (two by 5 x 5). The cluster with number 0 cannot be chosen.

    Args:
        clusters: integers ``(K, J, I)`` of a picture, one axis of length 1.
        truth: bool of the same shape.
        reporter: hears the warning as well.

    Raises:
        InputError: the shapes differ, or the truth is empty.
    """
    _check(clusters, truth)
    warnings.warn(LEAK, stacklevel=2)
    if reporter is not None:
        reporter.warning(LEAK)
    names, overlaps = np.unique(clusters[truth], return_counts=True)
    overlaps[names == 0] = 0
    if not overlaps.any():
        return 0.0
    square = np.ones([5 if n > 1 else 1 for n in truth.shape], bool)
    near = ndimage.binary_dilation(truth, square, iterations=2)
    return dice((clusters == names[overlaps.argmax()]) & near, truth)


def _check(found: np.ndarray, truth: np.ndarray) -> None:
    if found.shape != truth.shape:
        raise InputError(
            f"The ground truth has the shape {truth.shape}, what is scored {found.shape}: they must be the same.",
            "Give a ground truth on the grid of the image.",
        )
    if not truth.any():
        raise InputError("The ground truth is empty: there is nothing to score against.")


def _dice_table(clusters: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label values and the Dice of each cluster (row) with each of them (column)."""
    _, row = np.unique(clusters, return_inverse=True)
    names, column = np.unique(labels, return_inverse=True)
    cells = row.ravel() * len(names) + column.ravel()
    both = np.bincount(cells, minlength=(int(row.max()) + 1) * len(names)).reshape(-1, len(names))
    return names, 2 * both / (both.sum(1, keepdims=True) + both.sum(0, keepdims=True))
