"""Taking cases out of a store without losing what a person made."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from medcontext.data.aside import move_aside, room_for
from medcontext.data.index_file import (
    HELD_OUT_VOXELS,
    files_in_store,
    read_data_set,
    take_out,
    write_data_set,
)
from medcontext.data.locking import locked, writing
from medcontext.io.atomic import replacing

REMOVED = "removed"
"""Folder of a store in which files of cases that were removed are kept."""

ENTRIES = "cases.json"
"""What was known of the cases removed: their entries of ``dataset.json``."""


def remove(folder: Path, case_ids: Sequence[str], held_out: Collection[str]) -> Path:
    """Take cases out of ``dataset.json`` and move their files aside.

    Args:
        folder: the store.
        case_ids: the cases.
        held_out: voxel hashes of those that no training may see; they are remembered.

    Returns:
        The folder that keeps what was removed.

    Raises:
        InputError: there is no such case, or the store may not be written to.
        ResourceError: the disk is full; the store is as it was.
    """
    with writing(folder), locked(folder):
        data, ids = read_data_set(folder)
        taken = [{"id": case_id} | take_out(data, ids, case_id)[0] for case_id in case_ids]
        remembered = sorted({*data.get(HELD_OUT_VOXELS, []), *held_out})
        data |= {HELD_OUT_VOXELS: remembered} if remembered else {}
        kept = room_for(folder / REMOVED, time.strftime("%Y%m%d-%H%M%S"))
        try:
            with replacing(kept / ENTRIES) as temporary:
                temporary.write_text(json.dumps(taken, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            write_data_set(folder, data)
        except BaseException:
            shutil.rmtree(kept, ignore_errors=True)
            raise
        move_aside(folder, [name for entry in taken for name in files_in_store(folder, entry)], kept)
    return kept
