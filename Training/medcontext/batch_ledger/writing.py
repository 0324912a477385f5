"""Appending to a ledger so that neither a killed process nor a power cut loses what was finished."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from medcontext.batch_ledger.locking import WriterLock
from medcontext.batch_ledger.rows import RUNNING, Row, check_row
from medcontext.disk import sync_folder
from medcontext.errors import InputError, MedContextError, ResourceError, is_disk_full
from medcontext.events import plain

_NO_LOCKS = (
    "The file system of {folder} knows no locks: take care that no second run writes there at the same time."
)


class LineFile:
    """A file of JSON lines with one writer. Lines appear whole, also on a disk that became full.

    A last line that was cut off by a kill or a power cut is removed when the file is opened; one that lacks
    its end of line only is completed. May be used from several threads.

    Args:
        path: the file; it is made with its folder where it is not there.

    Raises:
        HeldError: another process writes to it (an InputError).
        InputError: the place cannot be written.
        ResourceError: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._file = -1
        self._lock: WriterLock | None = None
        self._unsynced = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(path)
            new = not path.exists()
            self._file = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666
            )
            self._size = _repair(self._file)
            if new:
                sync_folder(path.parent)
        except OSError as error:
            self.close()
            raise explained(error, path) from error
        except BaseException:
            self.close()
            raise

    @property
    def locked(self) -> bool:
        """False where the file system knows no locks, so that a second writer would not be noticed."""
        return self._lock is not None and self._lock.supported

    def write(self, data: dict[str, Any], sync: bool = True) -> None:
        """Append one object; with ``sync`` it is on the disk, and all before it, when this returns.

        Raises:
            InputError: the file cannot be written.
            ResourceError: the disk is full; the file is as it was before.
        """
        text = json.dumps(plain(data), ensure_ascii=False, separators=(",", ":"))
        line = text.encode(errors="replace") + b"\n"  # names of files may hold bytes that are no text
        with self._guard:
            try:
                _write_all(self._file, line)
                self._size += len(line)
                self._unsynced = True
                if sync:
                    self._sync()
            except OSError as error:
                with contextlib.suppress(OSError):  # a part of a line would spoil the next one
                    os.ftruncate(self._file, self._size)
                raise explained(error, self.path) from error

    def sync(self) -> None:
        """Push to the disk what was appended without; costs nothing where nothing is waiting.

        Raises:
            InputError: the disk refused.
            ResourceError: the disk is full.
        """
        with self._guard:
            try:
                self._sync()
            except OSError as error:
                raise explained(error, self.path) from error

    def _sync(self) -> None:
        if self._unsynced:
            os.fsync(self._file)
            self._unsynced = False

    def close(self) -> None:
        """Let others write; once more does nothing."""
        with self._guard:
            if self._file >= 0:
                with contextlib.suppress(OSError):  # each line that matters was pushed when it was written
                    self._sync()
                os.close(self._file)
                self._file = -1
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LedgerWriter:
    """The one process that writes a ledger.

    Each row but "running" is on the disk when :meth:`append` returns. "Running" rows wait, because a push to the disk
    takes milliseconds: call :meth:`sync` before the first output file of a case is moved to its place, so that a
    power cut cannot leave an output that no row speaks of. Mostly the row of another case has pushed it by then.

    Args:
        path: the ledger, see :meth:`Layout.ledger`.
        warn: told in a sentence where the file system cannot keep a second writer away.

    Raises:
        InputError: another process writes this ledger (the sentence says which), or the place cannot be written.
        ResourceError: the disk is full.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] | None = None) -> None:
        self._lines = LineFile(path)
        self.path = path
        if warn is not None and not self._lines.locked:
            warn(_NO_LOCKS.format(folder=path.parent))

    def append(self, row: Row) -> None:
        """Add a row. Numbers of numpy and paths become plain ones, what is not finite null.

        Raises:
            InputError: the row names no case or no known state, or the ledger cannot be written.
            ResourceError: the disk is full; the ledger is as it was before.
        """
        check_row(row)
        self._lines.write(row, sync=row["state"] != RUNNING)

    def sync(self) -> None:
        """Have all rows on the disk when this returns; costs nothing where they are."""
        self._lines.sync()

    def close(self) -> None:
        """Let another process write; once more does nothing."""
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def explained(error: OSError, path: Path) -> MedContextError:
    """What a disk refused, in a sentence."""
    if is_disk_full(error):
        return ResourceError(
            f"There is no room to write {path}.", "Free some space; what was written before is as it was."
        )
    return InputError(
        f"{path} cannot be written: {error.strerror or error}.", "Choose another output folder."
    )


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _repair(file: int) -> int:
    """Remove or complete a last line that has no end; the size afterwards."""
    size = os.lseek(file, 0, os.SEEK_END)
    tail = b""
    start = size
    while start > 0 and b"\n" not in tail:
        start = max(0, start - (1 << 16))
        os.lseek(file, start, os.SEEK_SET)
        tail = os.read(file, size - start)
    rest = tail[tail.rfind(b"\n") + 1 :]
    if not rest:
        return size
    try:
        json.loads(rest)
    except ValueError:
        os.ftruncate(file, size - len(rest))
        return size - len(rest)
    _write_all(file, b"\n")
    return size + 1
