"""Signs of life of a job that cannot be asked: how long ago its files changed, by whatever clock stamps them.

The clock on the wall may be wrong, may jump, and another machine's may differ from ours. So a file's age is told by
the clock of the disk that it lies on, and what changes before our eyes lives, whatever a clock says.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Sight:
    """What a file looked like, since when by a clock that never jumps, and what that was taken for."""

    stamp: tuple[int, int]
    since: float
    alive: bool


_seen: dict[Path, _Sight] = {}


def age(path: Path) -> float:
    """Seconds since a file changed; infinite where there is none. Negative after the disk's clock was put back."""
    try:
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
    return _now(path.parent) - changed


def changes(path: Path, silence: float) -> bool:
    """Whether a file has changed within the last ``silence`` seconds.

    Who asks again and again sees it change, or not; a clock is needed only the first time.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    stamp, now, before = (status.st_mtime_ns, status.st_size), time.monotonic(), _seen.get(path)
    if before is None or before.stamp != stamp:
        alive = before is not None or abs(age(path)) < silence
        _seen[path] = before = _Sight(stamp, now, alive)
    return before.alive and now - before.since < silence


def _now(folder: Path) -> float:
    """The time by the clock of the disk; by our own where nothing can be written."""
    try:
        handle, name = tempfile.mkstemp(prefix=".now-", dir=folder)
    except OSError:
        return time.time()
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        Path(name).unlink()
