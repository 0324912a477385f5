"""What VoCo minimises, as pure functions of embeddings and overlaps.

``V`` scans with ``n`` random and ``m`` base crops each, embeddings of ``D`` numbers. The equations are those of Wu et
al., *VoCo* (CVPR 2024); the terms apart are those of the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.methods.voco.config import VoCoConfig


@dataclass(frozen=True)
class Embedded:
    """Embeddings of the crops of some scans, float32.

    Attributes:
        random: ``(V, n, D)``.
        base: ``(V, m, D)``.
    """

    random: Tensor
    base: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, overlap: Tensor) -> Embedded:
        """From ``(V n + V m, D)``, the random crops of all scans first; ``overlap`` ``(V, n, m)`` has the numbers."""
        scans, random, base = overlap.shape
        first = embeddings[: scans * random].float().unflatten(0, (scans, random))
        return cls(first, embeddings[scans * random :].float().unflatten(0, (scans, base)))

    def detached(self) -> Embedded:
        """The same without gradient."""
        return Embedded(self.random.detach(), self.base.detach())


def rows(random: Tensor, base: Tensor) -> Tensor:
    """``(V, n, ...)`` and ``(V, m, ...)`` one below the other, as :meth:`Embedded.of` takes them apart."""
    return torch.cat([random.flatten(0, 1), base.flatten(0, 1)])


def logits(mine: Embedded, taught: Embedded, config: VoCoConfig) -> Tensor:
    """Similarity of each random crop to each base crop of its scan, ``(V, n, m)``.

    ``l = (cos(x_s, q_t) + cos(x_t, q_s)) / 2`` with ``s`` the student and ``t`` its teacher, or the first alone:
    random crops learn by the first half, base crops by the second.
    """
    first = similarity(mine.random, taught.base.detach(), relu=config.relu)
    if config.halves == "student":
        return first
    return 0.5 * (first + similarity(taught.random.detach(), mine.base, relu=config.relu))


def inter(mine: Embedded, taught: Embedded, config: VoCoConfig) -> Tensor:
    """Prediction loss of similarities to the next scan's base crops, whose target is what the teacher says of them.

    The last scan's next one is the first; a scan that is alone has itself.
    """
    following = Embedded(taught.random, taught.base.roll(-1, 0)).detached()
    target = similarity(following.random, following.base, relu=config.relu)
    said = similarity(mine.random, mine.base.roll(-1, 0), relu=config.relu)
    return torch.stack(list(prediction(said, target, config).values())).sum()


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
