"""Writing model folders so that a reader sees the whole model or the one before, never half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from medcontext.cards import MODEL_FILE
from medcontext.disk import sync_folder
from medcontext.errors import InputError, ResourceError

README_FILE = "README.md"
PLAN_FILE = "plan.json"
MASK_TOKEN = "mask_token"
"""Name of the tensor in the mask token's file."""
ALLOWED_SUFFIXES = (".json", ".safetensors", ".md", ".png", ".jsonl", ".txt", ".csv")
"""Kinds of file a model may bring along: data that no reader executes."""

_STALE_AFTER_S = 86_400
"""What a killed process left half-written is deleted by the next one that writes there a day later."""

_CHUNK = 2**20
_DEPTH = 4
_PLAIN = re.compile(r"[^\x00-\x1f/\\:*?\"<>|]{1,150}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def checked_name(name: str) -> PurePosixPath:
    """A file's place inside a model folder, as archives and cards name it.

    Raises:
        InputError: the name leaves the folder, means something special to a system, or is of another kind.
    """
    path = plain_path(name)
    if path.suffix.lower() not in ALLOWED_SUFFIXES:
        kinds = " ".join(ALLOWED_SUFFIXES)
        raise InputError(
            f"'{name}' is not of a kind that a model may hold ({kinds}).", "Do not use this model."
        )
    return path


def plain_path(name: str, depth: int = _DEPTH) -> PurePosixPath:
    """A file's place inside a folder, as an archive names it.

    Args:
        name: parts with ``/`` between them.
        depth: most parts.

    Raises:
        InputError: the name leaves the folder or means something special to a system.
    """
    parts = name.split("/")
    if len(parts) > depth or any(not _PLAIN.fullmatch(p) or p.endswith((".", " ")) for p in parts):
        raise InputError(
            f"'{name[:120]}' is not a file name allowed in a model folder.", "Do not use this model."
        )
    return PurePosixPath(name)


def identifier(name: str) -> str:
    """A library id made from the name of a file or folder."""
    text = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._")
    return text[:64] or "model"


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn what the operating system says about writing ``target`` into a sentence.

    Raises:
        ResourceError: the disk is full.
        InputError: the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"The disk is full: {target} was not written.",
                "Free some space and try again; nothing was lost.",
            ) from error
        reason = error.strerror or str(error)
        raise InputError(f"{target} cannot be written: {reason}.", "Choose another folder.") from error


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A new hidden folder beside ``target`` to prepare it in; gone afterwards unless moved into place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _delete_stale(target)
    folder = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write and push to the disk, so that a later rename never exposes an empty file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(content)
        sync(stream.fileno())


def sync(descriptor: int) -> None:
    """Wait until the operating system has written a file."""
    os.fsync(descriptor)


def commit(staged: Path, target: Path) -> None:
    """Move a prepared folder into place.

    A new model appears by one rename. Where the folder exists (a training run's own, or a model that is
    replaced) files move one by one and ``model.json`` last: until then a reader sees what was there before,
    because new weights carry a name that the old card does not use. Other files of the folder stay.
    """
    sync_folder(staged)
    if not target.exists():
        staged.rename(target)
    else:
        files = sorted((f for f in staged.rglob("*") if f.is_file()), key=lambda f: f == staged / MODEL_FILE)
        for file in files:
            place = target / file.relative_to(staged)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        sync_folder(target)
    sync_folder(target.parent)


def _delete_stale(target: Path) -> None:
    for left in target.parent.iterdir():
        if left.name.startswith(f".{target.name}.") and left.suffix == ".part":
            with suppress(OSError):  # another process may be deleting it as well
                if time.time() - left.stat().st_mtime > _STALE_AFTER_S:
                    shutil.rmtree(left, ignore_errors=True)
