"""Hashes of the files of a scan, some of them remembered until a file changes."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from medcontext.dataset_form import DETACHED_HEADERS
from medcontext.errors import InputError


def files_hash(paths: Sequence[Path]) -> str:
    """SHA-256 over the files, in order; of a DICOM folder its files, of a detached header (MHD, NHDR) its data too.

    Raises:
        InputError: a file does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in files_of(path):
            with _reading(file), file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def remembered(paths: Sequence[Path], memory: Path, compute: Callable[[], str]) -> str:
    """A hash of these files, computed once and remembered until one of them changes its size or time.

    Args:
        paths: the files.
        memory: folder of what is remembered.
        compute: gives the hash.

    Raises:
        InputError: a file does not exist or cannot be read.
    """
    state = hashlib.sha256()
    for path in paths:
        for file in files_of(path):
            with _reading(file):
                found = file.stat()
            state.update(f"{file.absolute()}|{found.st_size}|{found.st_mtime_ns}|".encode())
    place = memory / f"{state.hexdigest()[:32]}.txt"
    with suppress(OSError, ValueError):
        known = place.read_text(encoding="ascii")
        if len(known) == 64:
            return known
    content = compute()
    with suppress(OSError):  # a full disk is told where the images themselves are written
        memory.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="ascii")
    return content


def files_of(path: Path) -> list[Path]:
    """The files that a path stands for: those in a DICOM folder, and the data beside a detached header."""
    with _reading(path):
        if path.is_dir():
            return sorted(p for p in path.iterdir() if p.is_file())
        if path.suffix.lower() in DETACHED_HEADERS:
            return [path, *sorted(p for p in path.parent.glob(f"{glob.escape(path.stem)}.*") if p != path)]
    return [path]


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist.", "Run 'medcontext data check'.") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}.", "Check its rights.") from error
