"""How far the student's answer on a masked view is from the teacher's on the clean one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.losses.config import ConsistencyNorm
from medcontext.losses.reduction import global_mean, global_sum


def consistency(
    teacher: Tensor, student: Tensor, norm: ConsistencyNorm, region: Tensor | None = None
) -> Tensor:
    """Distance of two logit fields ``(B, C, K, J, I)`` in segmentation space; the teacher carries no gradient.

    * ``relative``: per sample ``sum (s - t)^2 / sum t^2``; invariant to the scale of the logits.
    * ``frobenius``: ``mean (s - t)^2 / ||t||_F`` over the whole batch, as the authors' code computes it. Its
      gradient is about 1e-4 of the supervised one and depends on the patch size.
    * ``mean``: mean squared difference of the logits.
    * ``prob``: mean squared difference of the probabilities, summed over classes.
    * ``kl``: Kullback-Leibler divergence of the student from the teacher, mean over voxels.

    Args:
        teacher: logits of the clean view.
        student: logits of the masked view.
        norm: one of the above.
        region: bool ``(B, K, J, I)``; only these voxels count; all when None.
    """
    teacher, student = teacher.detach().float(), student.float()
    if norm == "frobenius":
        count = global_sum(student.new_tensor(float(student.numel())))
        squares = global_sum((student - teacher).square().sum())
        return squares / count / global_sum(teacher.square().sum()).sqrt()
    weight = None if region is None else region.unsqueeze(1).float()
    if norm == "relative":
        error = _per_sample_sum((student - teacher) ** 2, weight)
        return global_mean(error / (_per_sample_sum(teacher**2, weight) + 1e-8))
    if norm == "kl":
        difference = F.kl_div(
            F.log_softmax(student, 1), F.log_softmax(teacher, 1), log_target=True, reduction="none"
        ).sum(1, keepdim=True)
    elif norm == "prob":
        difference = ((student.softmax(1) - teacher.softmax(1)) ** 2).sum(1, keepdim=True)
    else:
        difference = ((student - teacher) ** 2).mean(1, keepdim=True)
    count = _per_sample_sum(torch.ones_like(difference), weight).clamp(min=1)
    return global_mean(_per_sample_sum(difference, weight) / count)


def _per_sample_sum(values: Tensor, weight: Tensor | None) -> Tensor:
    return (values if weight is None else values * weight).flatten(1).sum(1)
