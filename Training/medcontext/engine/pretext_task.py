"""The task of pre-training: volumes of a pool without labels, judged by what the method predicts of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from medcontext.data.pool import ScanPool
from medcontext.engine.keeping import Troubles
from medcontext.engine.method import Method
from medcontext.engine.pretext import PretextBatches, Waiting
from medcontext.engine.pretext_watch import Look, PretextWatch
from medcontext.engine.task import Shard, StepBatch
from medcontext.engine.watch import VALIDATION_SHARE
from medcontext.events import Reporter
from medcontext.plan import Plan

WATCHED = 16
"""Volumes that are looked at, at most."""


class PretextMethod(Method, Protocol):
    """A method that makes its own task out of volumes."""

    def make(
        self, volumes: Sequence[np.ndarray], samples: Sequence[int], generators: Sequence[np.random.Generator]
    ) -> StepBatch:
        """The batch of a step; called in threads, so it changes nothing in the method.

        Args:
            volumes: one ``(C, K, J, I)`` a sample, prepared and at the plan's spacing.
            samples: global indices.
            generators: random numbers of each sample.
        """
        ...

    def look_at(self, volumes: Sequence[np.ndarray], ids: Sequence[str]) -> Look:
        """Cuts out of volumes what is judged at every look, always the same."""
        ...


@dataclass(frozen=True, kw_only=True)
class PretextTask:
    """Learning from volumes without labels.

    Attributes:
        plan: channels, spacing, size of a crop (``patch_size``) and volumes a step (``batch_size``).
        pool: what is learnt from.
        watched: what is looked at.
        held_out: whether nothing is learnt from what is looked at.
        method: cuts the volumes.
        waiting: how long the network waited for them; to be told when the run is over.
    """

    plan: Plan
    pool: ScanPool
    watched: ScanPool
    held_out: bool
    method: PretextMethod
    waiting: Waiting = field(default_factory=Waiting)

    @property
    def unlabelled_cases(self) -> int:
        """Scans to learn from."""
        return len(self.pool)

    @property
    def chooses(self) -> bool:
        """Nothing chooses: the last weights are kept."""
        return False

    @property
    def judging_share(self) -> float:
        """What the looks take."""
        return VALIDATION_SHARE

    def batches(self, seed: int, shard: Shard) -> PretextBatches[StepBatch]:
        """What the method makes of the pool's volumes."""
        return PretextBatches(self.pool, self.method.make, seed, shard, self.waiting)

    def validate(self, network: nn.Module) -> dict[str, float]:  # noqa: ARG002
        """Nothing."""
        return {}

    def watcher(self, folder: Path, reporter: Reporter, troubles: Troubles) -> PretextWatch:
        """Looks at a few volumes now and then."""
        return PretextWatch(self._ready, self.held_out, folder, reporter, troubles)

    def after_a_quarter(self, network: nn.Module, reporter: Reporter) -> None:
        """Nothing is to be warned of that the looks do not tell."""

    def _ready(self) -> Look:
        found = [(self.watched.get(index), index) for index in range(min(len(self.watched), WATCHED))]
        usable = [(volume, self.watched.scans[index].id) for volume, index in found if volume is not None]
        return self.method.look_at([volume for volume, _ in usable], [name for _, name in usable])
