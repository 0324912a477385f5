"""What VoCo minimises, as pure functions of embeddings and overlaps.

``V`` scans with ``n`` random and ``m`` base crops each, embeddings of ``D`` numbers. The equations are those of Wu et
al., *VoCo* (CVPR 2024); the terms apart are those of the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.methods.voco.config import VoCoConfig


def similarity(first: Tensor, second: Tensor, *, relu: bool = True) -> Tensor:
    """Cosine of each of ``(V, n, D)`` to each of ``(V, m, D)``: ``(V, n, m)`` (equation 2); with ReLU from 0 to 1."""
    cosine = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).transpose(-1, -2)
    return cosine.relu() if relu else cosine


def prediction(logits: Tensor, overlap: Tensor, config: VoCoConfig) -> dict[str, Tensor]:
    """How far similarities are from overlaps, by term, weighted; each the mean over scans of a number of its own.

    ``joint``: ``-mean log(1 - |y - l|)`` (equation 3). ``split``: the same where ``y > 0``, weighted by ``y``, and
    ``l^2`` or ``-log(1 - l)`` where ``y = 0``.

    Args:
        logits: ``(V, n, m)``.
        overlap: ``(V, n, m)``, rows sum to one.
    """
    if config.prediction == "joint":
        return {"position": config.w_position * joint(logits, overlap, config.eps).mean()}
    return {
        "position": config.w_position * position(logits, overlap, config.eps).mean(),
        "negative": config.w_negative * negative(logits, overlap, config.negative, config.eps).mean(),
    }


def position(logits: Tensor, overlap: Tensor, eps: float = 1e-6) -> Tensor:
    """``sum -y log(1 - |y - l| + eps) / (sum y + eps)`` of each scan, ``(V,)``."""
    cost = -overlap * _log_of_rest(overlap - logits, eps)
    return cost.sum((-2, -1)) / (overlap.sum((-2, -1)) + eps)


def negative(logits: Tensor, overlap: Tensor, form: str, eps: float = 1e-6) -> Tensor:
    """Mean cost of similarity to cells that a crop does not touch, of each scan, ``(V,)``."""
    untouched = (overlap == 0).to(logits.dtype)
    cost = logits.square() if form == "l2" else -_log_of_rest(logits, eps)
    return (untouched * cost).sum((-2, -1)) / (untouched.sum((-2, -1)) + eps)


def joint(logits: Tensor, overlap: Tensor, eps: float = 1e-6) -> Tensor:
    """``-mean log(1 - |y - l| + eps)`` of each scan, ``(V,)`` (equation 3)."""
    return -_log_of_rest(overlap - logits, eps).mean((-2, -1))


def regularisation(bases: Tensor, config: VoCoConfig) -> Tensor:
    """Mean similarity of two base crops of each scan, ``(V,)`` (equation 5).

    Args:
        bases: ``(V, m, D)``.
        config: without ReLU the absolute cosine counts; without symmetry the second of each pair has no gradient, so
            that the last base crop never learns and the first one learns from all pairs.
    """
    other = bases if config.symmetric_regularisation else bases.detach()
    cosine = similarity(bases, other, relu=config.relu)
    count = bases.shape[-2]
    i, j = torch.triu_indices(count, count, 1, device=bases.device)
    return cosine[..., i, j].abs().pow(config.regularisation_power).mean(-1)


def _log_of_rest(difference: Tensor, eps: float) -> Tensor:
    """``log(1 - |d| + eps)``, for ``|d| > 1`` (a cosine below zero has no other bound) as for 1."""
    return torch.log((1 - difference.abs()).clamp_min(0) + eps)
