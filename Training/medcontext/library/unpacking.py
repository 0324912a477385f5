"""Zip files of strangers: nothing of one is written before all of it has been checked."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from medcontext.errors import InputError
from medcontext.library.folder import sync

MAXIMUM_FILES = 1000
MAXIMUM_BYTES = 16 * 2**30
"""An ensemble of five networks of 90 million parameters takes 1.8 GB."""

SAFE_BYTES = 64 * 2**20
MAXIMUM_RATIO = 100
"""Weights hardly compress, logs about 20 times: an archive that grows more, beyond SAFE_BYTES, is a bomb."""

Named = tuple[PurePosixPath, zipfile.ZipInfo]

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@contextmanager
def opened_zip(source: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file to read.

    Raises:
        InputError: it does not exist, is none, or is damaged where it is read.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except FileNotFoundError as error:
        raise InputError(f"{source} does not exist.") from error
    except _DAMAGED as error:
        raise InputError(f"{source} is not a zip archive or is damaged: {error}.", "Get it again.") from error


def checked_entries(
    archive: zipfile.ZipFile,
    source: Path,
    checked: Callable[[str], PurePosixPath],
    wanted: Callable[[PurePosixPath], bool] = lambda _: True,
) -> list[Named]:
    """The wanted files of an archive with their places; one that is not allowed condemns all.

    Args:
        archive: see :func:`opened_zip`.
        source: its path, for the sentences.
        checked: gives the place for a name, or refuses it.
        wanted: which of the places are needed; the others are checked, but do not count.

    Raises:
        InputError: a name is refused or there twice; there is a link, a device or a password; or what is wanted is
            too many files, too large, or grows too much.
    """
    entries = [
        entry for entry in archive.infolist() if not entry.is_dir() and not _is_system_file(entry.filename)
    ]
    named = [(checked(entry.filename), entry) for entry in entries]
    for entry in entries:
        mode = entry.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise InputError(
                f"{source} holds a link or a device: '{entry.filename}'.", "Do not use this archive."
            )
        if entry.flag_bits & 1:
            raise InputError(f"{source} is encrypted.", "Export it without a password.")
    if len({str(name).casefold() for name, _ in named}) != len(named):
        raise InputError(f"{source} holds two files of one name.", "Do not use this archive.")
    kept = [(name, entry) for name, entry in named if wanted(name)]
    _check_amount([entry for _, entry in kept], source)
    return kept


def write_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Unpack one checked file."""
    with archive.open(entry) as stream:
        write_stream(path, stream)


def write_stream(path: Path, stream: IO[bytes]) -> None:
    """Copy a stream into a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        shutil.copyfileobj(stream, target, 2**20)
        sync(target.fileno())


def _check_amount(entries: list[zipfile.ZipInfo], source: Path) -> None:
    """Sizes are those the archive declares: zipfile reads no more than them."""
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if len(entries) > MAXIMUM_FILES or total > MAXIMUM_BYTES:
        raise InputError(
            f"{source} holds {len(entries)} files of {total / 2**20:.0f} MB; "
            f"at most {MAXIMUM_FILES} files and {MAXIMUM_BYTES / 2**20:.0f} MB are allowed."
        )
    if total > max(SAFE_BYTES, MAXIMUM_RATIO * packed):
        raise InputError(
            f"{source} would grow {total / max(packed, 1):.0f} times to {total / 2**20:.0f} MB; "
            f"no model grows more than {MAXIMUM_RATIO} times.",
            "Do not use this archive.",
        )


def _is_system_file(name: str) -> bool:
    """What macOS adds to archives by itself."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"
