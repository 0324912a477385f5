"""What every writer asks of the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Push the names in a folder to the disk, where the system can (Windows cannot open folders)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse; names there are pushed at once
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder and below; 0 where there is none."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # another process may be deleting it
            total += file.stat().st_size if file.is_file() else 0
    return total


def size_text(size: int) -> str:
    """A number of bytes for people, such as ``1.8 GB``; a megabyte is a million bytes."""
    for unit, bytes_in_it in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * bytes_in_it:  # what would be shown as 1000 of the smaller unit is 1 of this one
            return f"{size / bytes_in_it:.3g} {unit}"
    return f"{size} bytes"
