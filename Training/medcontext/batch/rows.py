"""The rows that become of a case."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medcontext.batch.case import BatchCase
from medcontext.batch.identifiers import scrub
from medcontext.batch.options import BatchOptions
from medcontext.batch_ledger import DONE, FAILED, RUNNING, SKIPPED, Layout, Row
from medcontext.batch_ledger.rows import UNFINISHED
from medcontext.data.hashing import files_of
from medcontext.errors import InputError, MedContextError

MANY_FILES = 8
"""Files of a case that are listed one by one; those of longer series are summed up."""


def running(case: BatchCase, options: BatchOptions, model_sha256: str) -> Row:
    """The row before anything of a case is written: what lies at its places from now on is of this batch."""
    return {
        "case": case.id,
        "state": RUNNING,
        "time": time.time(),
        "model_sha256": model_sha256,
        "options_hash": options.hash(case.roi),
        "worker": "",
        "shard": options.shard_name,
    }


def done(row: Row, facts: Mapping[str, Any]) -> Row:
    """The row of a finished case."""
    return {**row, "state": DONE, "time": time.time(), "error": None, **facts}


def failed(row: Row, case: BatchCase, error: BaseException, facts: Mapping[str, Any]) -> Row:
    """The row of a case that could not be finished."""
    return {**row, "state": FAILED, "time": time.time(), "error": error_facts(error, case), **facts}


def skipped(place: str, reason: str, shard: str) -> Row:
    """The row of something that was found but is no case."""
    error = {"kind": "skipped", "message": reason, "hint": ""}
    return {"case": place, "state": SKIPPED, "time": time.time(), "error": error, "shard": shard}


def unfinished(row: Row, facts: Mapping[str, Any]) -> Row:
    """The row of a case that was begun when its run was stopped."""
    return {**row, "state": UNFINISHED, "time": time.time(), **facts}


def attempts(row: Row | None) -> int:
    """How often the case of a row was tried."""
    return _count(row, "attempt")


def deaths(row: Row | None) -> int:
    """How many runs ended without a word in the middle of the case of a row, since it last came to an end."""
    return _count(row, "deaths") + (row is not None and row["state"] == RUNNING)


def sequence(row: Row | None) -> int:
    """Number of the run that wrote a row, among those that worked on its case."""
    return _count(row, "sequence")


def _count(row: Row | None, key: str) -> int:
    value = None if row is None else row.get(key)
    return value if isinstance(value, int) else 0


def error_facts(error: BaseException, case: BatchCase) -> dict[str, str]:
    """An error as rows hold it, free of identifiers."""
    if isinstance(error, MedContextError):
        message, hint = (without_folders(scrub(text, case), case) for text in (error.message, error.hint))
        return {"kind": error.kind, "message": message, "hint": hint}
    text = scrub(f"{type(error).__name__}: {error}", case)
    return {"kind": "error", "message": without_folders(text, case), "hint": ""}


def without_folders(text: str, case: BatchCase) -> str:
    """A sentence that names files of a case by their name alone: folders may be called like patients."""
    places = [*case.paths, *case.series, *(file for files in case.more_series for file in files)]
    places += [Path(place) for place in (case.reference, case.roi) if place is not None]
    for folder in sorted({str(place.parent) for place in places} - {".", ""}, key=len, reverse=True):
        text = text.replace(f"{folder.rstrip(os.sep)}{os.sep}", "")
    return text


def input_facts(case: BatchCase) -> list[dict[str, Any]]:
    """Size and time of the files of a case, as a row holds them; those of a DICOM series summed up.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    states = [(file, *_state(file)) for path in case.files for file in files_of(path)]
    if not (case.private or case.is_dicom or any(case.more_series)) and len(states) <= MANY_FILES:
        return [{"name": _name(file), "size": size, "mtime_ns": when} for file, size, when in states]
    digest = hashlib.sha256("".join(f"{size} {when}\n" for _, size, when in states).encode())
    return [
        {
            "name": f"{len(states)} files",
            "size": sum(size for _, size, _ in states),
            "mtime_ns": max((when for _, _, when in states), default=0),
            "state": digest.hexdigest()[:16],
        }
    ]


def output_facts(layout: Layout, files: Mapping[str, Sequence[Path]]) -> dict[str, list[dict[str, Any]]]:
    """Place, size and time of what was written, by format."""
    return {form: file_facts(layout, paths) for form, paths in files.items()}


def file_facts(layout: Layout, paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Place, size and time of files below the output folder."""
    found = []
    for path in paths:
        status = path.stat()
        found.append({"path": layout.relative(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns})
    return found


def _name(file: Path) -> str:
    """The name as text; names may hold bytes that are none."""
    return file.name.encode(errors="surrogateescape").decode(errors="replace")


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.",
            "Check that it is there and may be read.",
        ) from error
    return status.st_size, status.st_mtime_ns
