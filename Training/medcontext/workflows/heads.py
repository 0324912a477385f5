"""The output layers of a child: which rows of its parent's they start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medcontext import networks
from medcontext.errors import InputError
from medcontext.networks import SegmentationNetwork
from medcontext.plan import NetworkSpec

LEAST_VOXELS = 20
"""From fewer voxels of a structure nothing is concluded."""
HOLD = 1e-3
"""How strongly the weights of a row are held at the plain mean: enough where few voxels could mean anything."""
MOST_ITERATIONS = 50


@dataclass(frozen=True)
class Row:
    """How the row of a class is made of the parent's rows.

    Attributes:
        weights: by class of the parent, background being 0; empty to start anew.
        bias: is added to the score.
    """

    weights: Mapping[int, float] = field(default_factory=dict)
    bias: float = 0.0

    @classmethod
    def of(cls, place: int) -> Row:
        """The row of one class of the parent."""
        return cls({place: 1.0})

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"weights": list(self.weights.items()), "bias": self.bias}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The opposite of :meth:`to_json`."""
        return cls({int(c): float(weight) for c, weight in data["weights"]}, float(data["bias"]))


@dataclass(frozen=True)
class Glance:
    """What a parent sees in a few annotated cases, beside what a person saw.

    Attributes:
        seen: voxels by class of the child (rows: background, then the classes learnt) and of the parent (columns).
        asked: annotated voxels of each class of the parent (columns) in cases that speak of one of the child (rows).
        scores: the parent's logits of some voxels, ``(n, classes of the parent)``.
        targets: their class of the child, ``(n,)``.
        stands_for: how many voxels each stands for, ``(n,)``.
        known: whether the case of each speaks of each class of the child, ``(n, classes)`` bool.
    """

    seen: np.ndarray
    asked: np.ndarray
    scores: np.ndarray
    targets: np.ndarray
    stands_for: np.ndarray
    known: np.ndarray

    @classmethod
    def nothing(cls, learnt: int, parent: int) -> Glance:
        """Of no voxel, with so many classes learnt and so many of the parent."""
        seen, none = np.zeros((learnt + 1, parent), np.int64), np.zeros(0)
        return cls(seen, seen, np.zeros((0, parent)), none, none, np.ones((0, learnt + 1), bool))

    def covered(self, place: int) -> float:
        """The share of a class of the parent that is painted as what is learnt, where somebody asked for that."""
        return float((self.seen[1:, place] / np.maximum(1, self.asked[1:, place])).sum())


def row_of_new(glance: Glance, index: int, others: Sequence[int]) -> Row:
    """Where a structure that the parent does not know starts from.

    Its score is the mixture of the parent's scores that finds it best: first the mean over what the parent sees in
    it, then by logistic regression against the classes that stay. Two structures that were merged into one start
    nearly right by this; one that the parent takes for background starts from background, as rare as it is there.

    Args:
        glance: at the cases.
        index: class of the child.
        others: classes of the parent that the child has too, background among them.
    """
    counts = glance.seen[index]
    if counts.sum() == 0:
        return Row()
    start = torch.tensor(counts / counts.sum(), dtype=torch.float64)
    chosen = glance.known[:, index]
    scores = torch.from_numpy(glance.scores[chosen]).double()
    wanted = torch.from_numpy(glance.targets[chosen] == index).double()
    if min(wanted.sum(), (1 - wanted).sum()) < LEAST_VOXELS:
        return Row({place: float(share) for place, share in enumerate(start) if share > 0})
    rivals = scores[:, list(others)].logsumexp(1)
    stands_for = torch.from_numpy(glance.stands_for[chosen]).double()
    weights, bias = _regressed(scores, wanted, stands_for / stands_for.mean(), rivals, start)
    return Row({place: float(weight) for place, weight in enumerate(weights)}, float(bias))


def dice_at_start(glance: Glance, index: int, row: Row, others: Sequence[int]) -> float | None:
    """Dice of a class of the child in the cases before it learns anything; None where nobody painted it.

    Args:
        glance: at the cases.
        index: class of the child.
        row: where it starts from.
        others: classes of the parent that it competes with.
    """
    chosen = glance.known[:, index]
    scores, counts = glance.scores[chosen], glance.stands_for[chosen]
    painted = glance.targets[chosen] == index
    if not painted.any():
        return None
    mine = scores[:, list(row.weights)] @ np.array(list(row.weights.values())) + row.bias
    found = mine > scores[:, list(others)].max(1)
    return float(2 * counts[found & painted].sum() / (counts[found].sum() + counts[painted].sum()))


def _regressed(
    scores: Tensor, wanted: Tensor, stands_for: Tensor, rivals: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    """Weights of the scores and a bias, such that their sum exceeds ``rivals`` where it is ``wanted``."""
    values = torch.cat([start, start.new_zeros(1)]).requires_grad_()
    optimiser = torch.optim.LBFGS([values], max_iter=MOST_ITERATIONS, line_search_fn="strong_wolfe")

    def distance() -> Tensor:
        optimiser.zero_grad()
        margin = scores @ values[:-1] + values[-1] - rivals
        loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, wanted, stands_for)
        loss = loss + HOLD * (values[:-1] - start).square().sum()
        loss.backward()
        return loss

    optimiser.step(distance)
    found = values.detach()
    return (found[:-1], found[-1]) if bool(torch.isfinite(found).all()) else (start, start.new_zeros(()))


def inherit(network: SegmentationNetwork, parent: SegmentationNetwork, rows: Sequence[Row]) -> None:
    """Copy the parent's tensors into a network that differs from it in its classes only.

    Args:
        network: is changed; its classes are as many as ``rows``.
        parent: of the same name and keyword arguments.
        rows: where the classes come from; what is to start anew stays as it was initialised.

    Raises:
        InputError: most tensors do not fit.
    """
    heads = head_axes(network)
    mine, theirs = network.state_dict(), parent.state_dict()
    taken = {}
    for name, value in mine.items():
        given = theirs.get(name)
        if given is None:
            continue
        if name in heads and _fits(value, given, heads[name]):
            given = _mixed(value, given.to(value.device), heads[name], rows)
        if given.shape == value.shape:
            taken[name] = given
    if len(taken) < len(mine) / 2:
        raise InputError(f"Only {len(taken)} of {len(mine)} tensors of the parent fit this network.")
    network.load_state_dict(mine | taken)


def head_axes(network: SegmentationNetwork) -> dict[str, int]:
    """Every tensor that has an entry for each class, those of deep supervision included, and along which axis."""
    spec = NetworkSpec(name=network.name, kwargs=network.kwargs)
    with torch.random.fork_rng(devices=[]):
        few, more = (
            {name: value.shape for name, value in build.state_dict().items()}
            for build in (networks.build(spec, network.in_channels, classes) for classes in (2, 3))
        )
    return {
        name: next(axis for axis, size in enumerate(shape) if size != more[name][axis])
        for name, shape in few.items()
        if shape != more[name]
    }


def _fits(value: Tensor, given: Tensor, axis: int) -> bool:
    """Whether two heads differ in their classes only."""
    return value.movedim(axis, 0).shape[1:] == given.movedim(axis, 0).shape[1:]


def _mixed(value: Tensor, given: Tensor, axis: int, rows: Sequence[Row]) -> Tensor:
    """The rows of a head: mixtures of the parent's, or as they are. Biases are the tensors of one dimension."""
    mine, theirs = value.movedim(axis, 0).clone(), given.movedim(axis, 0)
    for index, row in enumerate(rows):
        if row.weights:
            parts = [weight * theirs[place] for place, weight in row.weights.items()]
            mine[index] = torch.stack(parts).sum(0) + (row.bias if value.ndim == 1 else 0.0)
    return mine.movedim(0, axis)
