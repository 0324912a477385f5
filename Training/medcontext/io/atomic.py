"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medcontext.errors import InputError, MedContextError, ResourceError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path; what is written there replaces ``path`` when the block ends well.

    The temporary file lies beside ``path`` and its name ends alike, for libraries that look at the ending.
    It is flushed to disk before it is renamed, and removed whatever happens; an older ``path`` stays as it is
    until the new one is complete. Folders are made as needed.

    Raises:
        ResourceError: the disk is full or a quota is used up.
        InputError: the place cannot be written for another reason, such as missing rights.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        with contextlib.suppress(OSError):  # the error that led here matters more than the leftover
            temporary.unlink(missing_ok=True)


def removed(path: Path) -> None:
    """Remove a file, which may be gone already.

    Raises:
        InputError: missing rights, or another program holds it open.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be removed: {error.strerror or error}.", "Remove it by hand."
        ) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder in which nothing can be written; what of it is not there yet is not made.

    Raises:
        ResourceError, InputError: as :func:`replacing`.
    """
    whole = folder.absolute()
    place = next(path for path in (whole, *whole.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise explained(error, folder) from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explained(error: OSError, path: Path) -> MedContextError:
    """What a disk refused, as an error for a person: no room, or ``path`` cannot be written."""
    if error.errno in _DISK_FULL:
        folder = next((p for p in path.parents if p.exists()), Path())
        free = shutil.disk_usage(folder).free / 1e6
        return ResourceError(
            f"There is no room to write {path} ({free:.0f} MB free).",
            "Free some space or choose another output folder; nothing that was there before has changed.",
        )
    reason = error.strerror or error
    return InputError(f"{path} cannot be written: {reason}.", "Choose another output folder.")
