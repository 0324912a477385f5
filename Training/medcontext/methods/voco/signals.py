"""Numbers that say whether anything is learnt."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.methods.voco.config import VoCoConfig
from medcontext.methods.voco.losses import prediction

CONSTANTS = 1000
"""Similarities from 0 to 1 that are tried as the best constant; its loss is found to about 1e-5."""


def position_accuracy(logits: Tensor, overlap: Tensor) -> float:
    """How often the most similar base crop is the one that most of a random crop lies in; both ``(V, n, m)``.

    Chance is ``1 / m``.
    """
    return float((logits.argmax(-1) == overlap.argmax(-1)).float().mean())


def prediction_loss(logits: Tensor, overlap: Tensor, config: VoCoConfig) -> float:
    """What :func:`medcontext.methods.voco.losses.prediction` gives, its terms added."""
    return float(torch.stack(list(prediction(logits, overlap, config).values())).sum())


def best_constant(overlap: Tensor, config: VoCoConfig) -> float:
    """The least prediction loss that one and the same similarity everywhere has with overlaps ``(V, n, m)``.

    Nothing was learnt above it. For random places on a grid of 3 x 3 it is 0.36, for the similarity 0.31.
    """
    constants = torch.linspace(0, 1, CONSTANTS + 1)
    return min(prediction_loss(torch.full_like(overlap, float(c)), overlap, config) for c in constants)


def effective_rank(embeddings: Tensor) -> float:
    """How many directions embeddings ``(N, D)`` point in, 1 to ``min(N, D)``; 1 where they are all alike.

    ``exp(-sum p log p)`` with ``p`` the singular values, divided by their sum, of the embeddings brought to length 1
    (Roy and Vetterli, *The effective rank*, EUSIPCO 2007, definition 1).
    """
    values = torch.linalg.svdvals(F.normalize(embeddings.double(), dim=-1))
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())
