"""What a run works on, beside a method: its data, and how what is learnt is judged while it learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from torch import nn

from medcontext.events import Reporter
from medcontext.plan import Plan

if TYPE_CHECKING:
    from medcontext.engine.keeping import Troubles
    from medcontext.engine.log import TrainingLog
    from medcontext.engine.method import Stage


@dataclass(frozen=True)
class Shard:
    """Which part of each global batch a process works on."""

    rank: int = 0
    processes: int = 1

    def samples(self, count: int) -> range:
        """Global indices of this process; contiguous."""
        share = count // self.processes
        return range(self.rank * share, (self.rank + 1) * share)


class StepBatch(Protocol):
    """What one step sees on one process."""

    def to(self, device: torch.device) -> Self:
        """The same on a device, without waiting for it."""
        ...


class Batches(Protocol):
    """The batches of a run; each depends on seed and step only, not on where a run was resumed."""

    def iterate(self, first: int, total: int, stages: list[Stage]) -> Iterator[Any]:
        """Batches from step ``first`` to the end, made ahead beside the network."""
        ...


class Watcher(Protocol):
    """Looks at a run now and then; it decides nothing."""

    @property
    def seconds(self) -> float:
        """Spent on looking."""
        ...

    def due(self, seconds: float, share_done: float | None) -> bool:
        """Whether to look again, ``seconds`` into a run of which ``share_done`` (None: nobody knows) is over."""
        ...

    def look(
        self, network: nn.Module, step: int, log: TrainingLog, seconds: float, share_done: float | None
    ) -> None:
        """Judge the network and note it. A request to stop ends it early."""
        ...


class Unwatched:
    """Nobody looks."""

    seconds = 0.0

    def due(self, seconds: float, share_done: float | None) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def look(
        self, network: nn.Module, step: int, log: TrainingLog, seconds: float, share_done: float | None
    ) -> None:
        """Nothing is judged."""


class Task(Protocol):
    """Data, and judgement while it is learnt from."""

    @property
    def plan(self) -> Plan:
        """Preprocessing, patch and batch."""
        ...

    @property
    def unlabelled_cases(self) -> int:
        """Scans without labels to learn from."""
        ...

    @property
    def chooses(self) -> bool:
        """Whether :meth:`validate` chooses the weights that are kept; else the last ones are."""
        ...

    @property
    def judging_share(self) -> float:
        """Share of a time budget that :meth:`validate` and the watcher take."""
        ...

    def batches(self, seed: int, shard: Shard) -> Batches:
        """The batches of a run with this seed, or this process's part of them."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores, higher is better, that choose the weights to keep."""
        ...

    def watcher(self, folder: Path, reporter: Reporter, troubles: Troubles) -> Watcher:
        """Who looks at the run.

        Args:
            folder: of the run; for pictures.
            reporter: hears of them; asked whether to stop.
            troubles: hears of a full disk.
        """
        ...

    def after_a_quarter(self, network: nn.Module, reporter: Reporter) -> None:
        """Warn of what is to be seen a quarter into a run."""
        ...
