"""The end of a run that is stopped: what workers are writing they finish, and their rows are taken."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterable
from typing import Any

from medcontext.batch.cluster_messages import Message
from medcontext.batch.cluster_staff import Staff
from medcontext.batch.cluster_start import Pool

FINISH_S = 20.0
"""Seconds that workers have to finish what they write after a request to stop."""

_POLL_S = 0.2


def wind_up(
    under_way: Iterable[Any],
    back: queue.Queue[Any],
    keep: Callable[[Message], None],
    staff: Staff,
    pool: Pool,
) -> None:
    """Wait until workers have ended what they do; what takes longer is taken back.

    Args:
        under_way: futures that were given out and have not come back.
        back: takes each future that has an answer.
        keep: takes answers with a row.
        staff, pool: the workers.
    """
    left = set(under_way)
    if left:
        staff.stop()
    ends = time.monotonic() + FINISH_S
    while left and time.monotonic() < ends:
        with contextlib.suppress(queue.Empty):
            future = back.get(timeout=_POLL_S)
            left.discard(future)
            answer = _answer(future)
            if "row" in answer:
                keep(answer)
    pool.client.cancel(list(left), force=True)


def _answer(future: Any) -> Message:
    """What came back; empty where it was lost: the next run begins such a case again."""
    if future.status != "finished":
        return {}
    try:
        answer: Message = future.result(timeout=FINISH_S / 10)
    except TimeoutError:
        return {}
    return answer
