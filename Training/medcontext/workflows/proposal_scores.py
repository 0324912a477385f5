"""A proposal beside ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medcontext.workflows.proposal import Proposal

if TYPE_CHECKING:
    from medcontext.workflows.propose_files import Foreground


def scores_of(proposal: Proposal, foreground: Foreground | None, truth: np.ndarray) -> dict[str, Any]:
    """Scores of a proposal, on the grid that was worked on.

    Args:
        proposal: the regions.
        foreground: that was chosen, or None.
        truth: labels ``(K, J, I)`` on the grid of the image, at least one above 0.

    Returns:
        The names and values of :func:`medcontext.metrics.clusters.cluster_scores` for all labels together;
        ``foreground_dice`` of the foreground; where there are several labels, ``hungarian_dice_of`` each.
    """
    from medcontext.metrics.clusters import cluster_scores, dice, hungarian_dice

    worked = proposal.worked
    labels = worked.copy.shrunk(truth)
    mask = labels > 0
    found: dict[str, Any] = {}
    if foreground is not None:
        found["foreground_dice"] = dice(worked.copy.shrunk(foreground.mask), mask)
    found |= cluster_scores(worked.clusters, worked.regions, worked.facts, mask, worked.copy.image.spacing)
    if len(np.unique(labels[mask])) > 1:
        by_label = hungarian_dice(worked.clusters, labels)
        found["hungarian_dice_of"] = {str(label): value for label, value in by_label.items()}
    return found
