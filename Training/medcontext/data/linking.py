"""Listing scans without labels where they are; nothing is copied, and voxels are read when they are needed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medcontext.data.index_file import (
    Record,
    free_id,
    id_from,
    places_of,
    read_data_set,
    records,
    taken_ids,
    write_data_set,
)
from medcontext.data.locking import locked, writing
from medcontext.data.modality import other_modality
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.headers import look_at
from medcontext.io.names import ImageSource, sources_of


@dataclass(frozen=True)
class Linked:
    """What became of some scans.

    Attributes:
        added: ids of the new cases.
        skipped: path and reason of each scan that was left out.
    """

    added: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...]


def link(
    folder: Path, paths: Sequence[Path], channels: Sequence[tuple[str, str]], reporter: Reporter
) -> Linked:
    """List scans as unlabelled cases; headers are looked at, voxels are not.

    Args:
        folder: the store.
        paths: image files, DICOM folders, or folders of either.
        channels: of the store, as (name, modality).
        reporter: told of the progress; asked whether to stop.

    Raises:
        InputError: the store is broken or may not be written to.
        CancelledError: someone asked to stop; nothing was added.
        ResourceError: the disk is full; the store is as it was.
    """
    sources, skipped = _look(paths, channels, reporter)
    with writing(folder), locked(folder):
        data, ids = read_data_set(folder)
        taken, added = taken_ids(ids), list[str]()
        known = {place: name for name, entry in records(data, ids) for place in places_of(folder, entry)}
        listed = data.setdefault("unlabelled", [])
        for source in sources:
            record = _record(folder, source, free_id(id_from(source.id), taken))
            there = [known[place] for place in places_of(folder, record) if place in known]
            if there:
                skipped.append((source.paths[0], f"It is in the data set already, as case '{there[0]}'."))
                continue
            case_id = str(record["id"])
            known |= dict.fromkeys(places_of(folder, record), case_id)
            taken.add(case_id.casefold())
            listed.append(record)
            added.append(case_id)
        if added:
            write_data_set(folder, data)
    return Linked(tuple(added), tuple(skipped))


def _look(
    paths: Sequence[Path], channels: Sequence[tuple[str, str]], reporter: Reporter
) -> tuple[list[ImageSource], list[tuple[Path, str]]]:
    """The scans that can be used, as far as their headers tell, and why the others cannot."""
    found: list[ImageSource] = []
    skipped: list[tuple[Path, str]] = []
    groups: list[list[Path]] = [[path for path in paths if not path.is_dir()]]
    groups += [[path] for path in paths if path.is_dir()]
    for group in filter(None, groups):
        sources, left_out = sources_of(group, len(channels), reporter)
        found += sources
        skipped += left_out
    fine = []
    for number, source in enumerate(found):
        reporter.check_cancelled()
        reporter.progress("look at scans", number / len(found))
        reason = _why_not(source, channels)
        if reason:
            skipped.append((source.paths[0], reason))
        else:
            fine.append(source)
    reporter.progress("look at scans", 1.0)
    return fine, skipped


def _why_not(source: ImageSource, channels: Sequence[tuple[str, str]]) -> str:
    """Why a scan cannot be used, as far as its header tells; empty where nothing speaks against it."""
    try:
        counts = [look_at(path) for path in source.paths]
    except InputError as error:
        return error.message
    count = sum(header.channels for header in counts)
    if count != len(channels):
        names = ", ".join(name for name, _ in channels)
        return f"It has {count} channel(s); the data set has {len(channels)}: {names}."
    return other_modality(counts[0].modality, channels)


def _record(folder: Path, source: ImageSource, case_id: str) -> Record:
    """The entry of a linked scan: paths are absolute unless they lie in the store."""
    names = []
    for path in source.paths:
        place = path.absolute()
        inside = place.is_relative_to(folder)
        names.append(place.relative_to(folder).as_posix() if inside else str(place))
    return {
        "id": case_id,
        "image": names[0] if len(names) == 1 else names,
        "provenance": {"added": time.strftime("%Y-%m-%d"), "linked": True},
    }
