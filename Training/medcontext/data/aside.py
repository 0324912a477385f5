"""Files of cases that were replaced or removed: a person may have painted them for an hour, so they are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from medcontext.data.index_file import Record, file_stem, files_in_store, image_names

REPLACED = "replaced"
"""Folder of a store in which files of cases that were replaced are kept."""


def room_aside(folder: Path, previous: Record, case_id: str) -> Path | None:
    """A new folder for the files of a replaced case, made before anything changes: the disk may be full."""
    if not previous or not files_in_store(folder, previous):
        return None
    return room_for(folder / REPLACED, f"{time.strftime('%Y%m%d-%H%M%S')}-{file_stem(case_id)}")


def room_for(folder: Path, name: str) -> Path:
    """A new folder of that name, or with a number."""
    place, number = folder / name, 2
    while place.exists():
        place, number = folder / f"{name}-{number}", number + 1
    place.mkdir(parents=True)
    return place


def retire(folder: Path, previous: Record, record: Record, aside: Path | None) -> None:
    """Move the files of a replaced entry aside, those left out that the new one still has."""
    if aside is None:
        return
    kept = image_names(record)
    move_aside(folder, [name for name in files_in_store(folder, previous) if name not in kept], aside)


def move_aside(folder: Path, names: Sequence[str], aside: Path) -> None:
    """Move files of the store into a folder, under the paths that they had in the store."""
    for name in names:
        target = aside / (folder / name).resolve().relative_to(folder.resolve())
        with suppress(OSError):  # open in another program: it stays where it is, listed by nobody
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(target)
