"""Making what the steps of a run need ahead of time, in threads beside the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

AHEAD = 3
"""Batches made in advance; one would do if all took equally long."""


def made_ahead(make: Callable[[int], T], steps: range, threads: int = 1, ahead: int = AHEAD) -> Iterator[T]:
    """What ``make`` gives for each step, in order.

    Args:
        make: called in threads; an error that it raises is raised when its step is asked for.
        steps: consecutive.
        threads: how many steps are made at the same time.
        ahead: how many are made or being made before they are asked for.
    """
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="batches")
    try:
        waiting = deque(pool.submit(make, step) for step in steps[:ahead])
        for step in steps:
            made = waiting.popleft().result()
            if step + ahead in steps:
                waiting.append(pool.submit(make, step + ahead))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
