"""One case at a time on a worker, however many threads somebody gave it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from medcontext.errors import CancelledError

_POLL_S = 0.5
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def turn(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Wait for the turn of a case.

    Args:
        unwanted: whether nobody wants it any more.

    Raises:
        CancelledError: nobody does.
    """
    while not _one_at_a_time.acquire(timeout=_POLL_S):
        _check(unwanted)
    try:
        _check(unwanted)
        yield
    finally:
        _one_at_a_time.release()


def _check(unwanted: Callable[[], bool]) -> None:
    if unwanted():
        raise CancelledError("Stopped on request.")
