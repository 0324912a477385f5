"""Makes the batch of each step of a pre-training ahead of time: scans are read and cut beside the network.

Volumes and random numbers are drawn from (seed, step, global sample index), so batches do not depend on the number of
processes, on threads, or on where a run was resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from medcontext.data.pool import ScanPool
from medcontext.data.sampling import draw_case, generator_for
from medcontext.engine.ahead import made_ahead
from medcontext.engine.method import Stage
from medcontext.engine.schedule import clock_at
from medcontext.engine.task import Shard

B = TypeVar("B")

Make = Callable[[list[np.ndarray], list[int], list[np.random.Generator]], B]
"""Volumes ``(C, K, J, I)``, global sample indices and random numbers of each sample -> a batch; called in threads."""

STREAM = 2
"""Tells these draws from those of labelled (0) and unlabelled (1) patches."""
REPLACING = 104_729
"""Tells the draw of a volume in the place of one that cannot be used from all others."""
THREADS = 2
"""Threads that cut batches, and as many that read scans: one of them may meet a scan that takes seconds."""
SCANS_AHEAD = 32
"""Volumes prepared ahead of the batches: preparing a large scan takes longer than many steps."""


@dataclass
class Waiting:
    """How long the network waited for batches.

    Attributes:
        waited_s: seconds it waited.
        worked_s: seconds it did not.
    """

    waited_s: float = 0.0
    worked_s: float = 0.0

    @property
    def share(self) -> float:
        """Share of the time, 0..1."""
        return self.waited_s / max(1e-9, self.waited_s + self.worked_s)

    @property
    def sentence(self) -> str:
        """For people."""
        return f"The network waited for data {100 * self.share:.1f} % of the time ({self.waited_s:.1f} s)."


class PretextBatches(Generic[B]):
    """Batches of a run.

    Args:
        pool: the scans; each is drawn once an epoch, and another one instead of those that cannot be used.
        make: cuts volumes; changes nothing but what it returns.
        seed: seed of the run.
        shard: this process's part.
        waiting: counts the time that is spent on waiting.
    """

    def __init__(
        self, pool: ScanPool, make: Make[B], seed: int, shard: Shard, waiting: Waiting | None = None
    ) -> None:
        self._pool = pool
        self._make = make
        self._seed = seed
        self._shard = shard
        self.waiting = waiting or Waiting()

    def make(self, step: int, stage: Stage) -> B:
        """The batch of one step, ``stage.unlabelled`` volumes over all processes.

        Raises:
            InputError: no scan of the pool can be used; the first is named.
            ResourceError: the disk is full.
        """
        samples = list(self._shard.samples(stage.unlabelled))
        generators = [generator_for(self._seed, step, sample, STREAM) for sample in samples]
        return self._make(self._volumes(step, stage.unlabelled), samples, generators)

    def iterate(self, first: int, total: int, stages: list[Stage]) -> Iterator[B]:
        """Batches from step ``first`` to the end, made ahead in threads."""

        def make(step: int) -> B:
            return self.make(step, clock_at(step, total, stages, self._seed).stage)

        readers = ThreadPoolExecutor(THREADS, thread_name_prefix="scans")
        try:
            asked, read = time.monotonic(), first
            for step, batch in enumerate(made_ahead(make, range(first, total), THREADS), first):
                given = time.monotonic()
                self.waiting.waited_s += given - asked
                self._pool.tell_first()
                count = clock_at(step, total, stages, self._seed).stage.unlabelled
                until = min(total, step + 1 + -(-SCANS_AHEAD // len(self._shard.samples(count))))
                for later in range(max(read, step + 1), until if self._pool.unread else 0):
                    readers.submit(self._volumes, later, count)
                read = until
                yield batch
                asked = time.monotonic()
                self.waiting.worked_s += asked - given
        finally:
            readers.shutdown(cancel_futures=True)

    def _volumes(self, step: int, count: int) -> list[np.ndarray]:
        return [self._volume(step, sample, count) for sample in self._shard.samples(count)]

    def _volume(self, step: int, sample: int, count: int) -> np.ndarray:
        """The volume of one sample: of the scan whose turn it is, or of another one drawn in its place."""
        scans = len(self._pool)
        volume = self._pool.get(draw_case(scans, self._seed, step, sample, count, STREAM)) if scans else None
        if volume is not None:
            return volume
        generator = np.random.default_rng([self._seed, step, sample, STREAM, REPLACING])
        for index in generator.permutation(scans):
            volume = self._pool.get(int(index))
            if volume is not None:
                return volume
        raise self._pool.emptiness()
