"""A mask filled with another scan: the student must rebuild the hidden organ where a stranger's tissue lies.

Bidirectional mixing of a labelled and an unlabelled patch (as in Bai et al., CVPR 2023) read as MedContext's
masking: what the box hides of one scan is filled with the other, and segmented from what surrounds it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medcontext.labels import IGNORE


def pseudo_labels(teacher_logits: Tensor, margin: float) -> Tensor:
    """Hard labels of the teacher, ``(B, K, J, I)`` class indices.

    Voxels that are structure rather than background, but whose two best structures differ by less than ``margin``
    in probability, are ignored (255): borders between neighbouring structures are where a teacher confirms its
    own mistakes, while its outer surface can be trusted.
    """
    probability = teacher_logits.float().softmax(1)
    labels = probability.argmax(1)
    if probability.shape[1] > 2 and margin > 0:
        best = probability[:, 1:].topk(2, dim=1).values
        unsure = (best[:, 0] - best[:, 1] < margin) & (labels > 0)
        labels = labels.masked_fill(unsure, IGNORE)
    return labels


def exchange(first: Tensor, second: Tensor, box: Tensor) -> Tensor:
    """Both mixtures of two patches: ``first`` with ``second`` in the box, then ``second`` with ``first``.

    Args:
        first, second: ``(B, ...)`` images ``(B, C, K, J, I)`` or labels ``(B, K, J, I)``.
        box: bool ``(B, K, J, I)``.

    Returns:
        ``(2 B, ...)``.
    """
    inside = box if first.dim() == box.dim() else box.unsqueeze(1)
    return torch.cat([torch.where(inside, second, first), torch.where(inside, first, second)])


def by_origin(labels: Tensor, pseudo: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Targets of the exchanged patches, split by where they come from.

    Returns:
        ``(2 B, K, J, I)`` targets with real labels (ignored elsewhere) and with pseudo-labels (ignored elsewhere).
    """
    ignored = torch.full_like(labels, IGNORE)
    return exchange(labels, ignored, box), exchange(ignored, pseudo, box)
