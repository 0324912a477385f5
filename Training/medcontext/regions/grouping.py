"""k-means that gives the same groups for the same seed, whoever asks."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2

STARTS, ROUNDS = 10, 100


def groups(points: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """k-means from several starts (k-means++, Arthur and Vassilvitskii 2007), of which the best one counts.

    Args:
        points: ``(n, C)``.
        clusters: groups at most; fewer where there are fewer different points.
        seed: of the starts.

    Returns:
        int64 ``(n,)``: the group of each point, counted from 0 by the first channel of their centres.
    """
    points = points.astype(np.float64)
    clusters = min(clusters, len(np.unique(points, axis=0)))
    generator = np.random.default_rng(seed)
    best, least = np.zeros(len(points), np.int64), np.inf
    for _ in range(STARTS):
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # a group that lost its points: another start does better
            centres, group = kmeans2(points, clusters, ROUNDS, minit="++", seed=generator)
        cost = float(((points - centres[group]) ** 2).sum())
        if cost < least:
            least, best = cost, np.argsort(np.argsort(centres[:, 0], kind="stable"))[group]
    return best
