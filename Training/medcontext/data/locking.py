"""Writing into a folder that others write to as well: a lock, a place to prepare files, clear errors."""

from __future__ import annotations

import errno
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from medcontext.errors import InputError, ResourceError, is_disk_full

LOCK = ".dataset.lock"
LOCK_TIMEOUT_S = 60.0
"""A writer holds the lock for a few file renames; who waits longer meets a process that hangs."""

STALE_AFTER_S = 24 * 3600.0
"""Age at which files that a killed writer left behind are removed."""


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A hidden folder in the store to prepare files in; gone afterwards."""
    with writing(folder):
        for left in folder.glob(".new-*"):
            if time.time() - left.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)
        stage = folder / f".new-{uuid.uuid4().hex[:12]}"
        stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the store against other writers.

    Raises:
        InputError: another process holds it for more than a minute, or the folder is gone.
    """
    if not folder.is_dir():  # the lock would make the folder anew where a drive is missing
        raise InputError(f"{folder} is not there.", "Check that its drive is connected.")
    lock = FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"Another program has been writing to {folder} for more than {LOCK_TIMEOUT_S:.0f} seconds.",
            "Close it and try again.",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into a sentence.

    Raises:
        InputError: the folder may not be written to, or its drive is gone or broken.
        ResourceError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{folder} may not be written to.", "Copy the data set to a folder of yours."
            ) from error
        if is_disk_full(error):
            raise ResourceError(f"The disk that holds {folder} is full.", "Free some space.") from error
        reason = error.strerror or error
        raise InputError(
            f"{folder} cannot be written: {reason}.", "Check that its drive is connected."
        ) from error
