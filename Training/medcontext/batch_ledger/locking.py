"""One writer for each file: a lock of the operating system, which ends with the process that holds it."""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import time
from pathlib import Path

from medcontext.errors import InputError

_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What file systems of some clusters answer that were mounted without locks."""


class HeldError(InputError):
    """Another process is writing."""


class WriterLock:
    """Holds ``.<name>.lock`` beside a file; the process that holds it is named in there.

    The lock file stays: to remove it would let two processes each lock a file of that name.

    Args:
        path: the file that is written.

    Attributes:
        supported: False where the file system knows no locks, so that nothing is held.

    Raises:
        HeldError: another process holds it; the sentence says which.
        OSError: the lock file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        place = path.with_name(f".{path.name}.lock")
        self._file = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        self.supported = True
        try:
            _lock(self._file)
        except OSError as error:
            self.supported = error.errno not in _NO_LOCKS
            if self.supported:
                self.release()
                raise HeldError(*_who_holds(path, place)) if error.errno in _HELD else error from error
        holder = {"pid": os.getpid(), "host": platform.node(), "time": time.time()}
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, json.dumps(holder).encode())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let others write; once more does nothing."""
        if self._file >= 0:
            os.close(self._file)  # which ends the lock
            self._file = -1


def _who_holds(path: Path, place: Path) -> tuple[str, str]:
    hint = "Wait until it ends, stop it, or choose another folder."
    try:
        holder = json.loads(place.read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder["time"]))
        return f"Process {holder['pid']} on {holder['host']} has been writing {path} since {since}.", hint
    except (OSError, ValueError, KeyError, TypeError):  # it may be signing at this moment
        return f"Another process is writing {path}.", hint


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # a locked byte cannot be read by others on Windows; who holds the lock must be readable

    def _lock(file: int) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
