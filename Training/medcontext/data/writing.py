"""Putting cases into a store: every file first, ``dataset.json`` last, under a lock, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medcontext.data.aside import retire, room_aside
from medcontext.data.case import Annotation, SplitName
from medcontext.data.index_file import (
    HELD_OUT_VOXELS,
    CaseTakenError,
    Index,
    Record,
    as_record,
    declare,
    file_stem,
    free_id,
    image_names,
    label_keys,
    places_of,
    read_data_set,
    records,
    take_out,
    taken_ids,
    write_data_set,
)
from medcontext.data.locking import locked, writing
from medcontext.data.reading import file_hash
from medcontext.dataset_form import INDEX
from medcontext.disk import sync_folder
from medcontext.errors import InputError
from medcontext.labels import LabelSet

_OF_FILES = ("image", "label", "annotated", "hashes", "voxels")


@dataclass(frozen=True)
class Entry:
    """A case as it goes into ``dataset.json``, with the files that come with it.

    Attributes:
        case_id: wanted id.
        split: list it goes into.
        images: prepared files, one per channel (or one for all).
        label: prepared labelmap.
        mask: prepared mask of what was annotated.
        annotated: what was annotated, without the mask's path.
        facts: other keys of the entry (group, held_out, text, provenance, voxels).
        keep_images: the case that is replaced has this very image; its files stay.
        upright: hash of the image's voxel values along the patient's axes.
        copies: ids of cases whose files were read and found to be this image.
    """

    case_id: str
    split: SplitName
    images: Sequence[Path] = ()
    label: Path | None = None
    mask: Path | None = None
    annotated: Annotation = field(default_factory=Annotation)
    facts: dict[str, Any] = field(default_factory=dict)
    keep_images: bool = False
    upright: str = ""
    copies: frozenset[str] = frozenset()


def create(
    folder: Path,
    labels: LabelSet,
    channels: Sequence[tuple[str, str]],
    *,
    name: str = "",
    description: str = "",
) -> None:
    """Start an empty store.

    Raises:
        InputError: the folder already is one, or there is no channel.
    """
    if not channels:
        raise InputError("A case store needs at least one channel.", "Name it, such as --channel T1.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if (folder / INDEX).exists():
                raise InputError(
                    f"{folder} already holds a data set.", "Add cases to it or choose another folder."
                )
            data: Index = {"name": name or folder.name, "description": description}
            data |= {"tensorImageSize": "3D"}
            data |= {"modality": {str(n): channel for n, (channel, _) in enumerate(channels)}}
            data |= {"channels": [{"name": channel, "modality": modality} for channel, modality in channels]}
            data |= label_keys(labels)
            write_data_set(folder, data | {"training": [], "test": [], "unlabelled": []})


def insert(
    folder: Path,
    entry: Entry,
    *,
    labels: LabelSet | None,
    unique: bool,
    existing: bool,
) -> str:
    """Move prepared files into the store and list them in ``dataset.json``.

    Args:
        folder: the store.
        entry: the case.
        labels: structures to declare beside those that the store has.
        unique: refuse an id that is taken; otherwise the next free one is used.
        existing: the case of that id is replaced; its old files go to ``replaced/``.

    Returns:
        The id that the case got.

    Raises:
        CaseTakenError: the image is in the store already.
        InputError: the id is taken or unknown, or a label is declared with another name.
    """
    prepared = [file for file in (*entry.images, entry.label, entry.mask) if file is not None]
    hashes = {file.name: file_hash(file) for file in prepared}
    with writing(folder), locked(folder):
        data, ids = read_data_set(folder)
        refuse_copy(folder, data, ids, entry, entry.case_id if existing else None)
        case_id = _id_for(folder, entry, taken_ids(ids), unique, existing)
        if labels is not None:
            declare(data, ids, labels)
        previous, old_split, place = take_out(data, ids, case_id) if existing else ({}, entry.split, None)
        if entry.keep_images and previous.get("voxels") != entry.facts["voxels"]:
            raise InputError(f"Another program has changed case '{case_id}' meanwhile.", "Try again.")
        split = old_split if old_split == "test" else entry.split
        aside = room_aside(folder, previous, case_id)
        moved = _move_files(folder, entry, case_id)
        try:
            record = _record(folder, entry, case_id, moved, hashes, previous)
            if not {record.get("voxels"), entry.upright}.isdisjoint(data.get(HELD_OUT_VOXELS, [])):
                record["held_out"] = True
            listed = data.setdefault(split, [])
            listed.insert(place if place is not None and split == old_split else len(listed), record)
            write_data_set(folder, data)
        except BaseException:
            for files in moved.values():
                for file in files:
                    (folder / file).unlink(missing_ok=True)
            if aside is not None:
                aside.rmdir()
            raise
        retire(folder, previous, record, aside)
    return case_id


def hold_out(folder: Path, wanted: set[str]) -> None:
    """Mark cases as held out, for good: no training will use them."""
    with writing(folder), locked(folder):
        data, ids = read_data_set(folder)
        for split, names in ids.items():
            for position, case_id in enumerate(names):
                if case_id in wanted:
                    entry = as_record(data[split][position])
                    data[split][position] = entry | {"id": case_id, "held_out": True}
        write_data_set(folder, data)


def refuse_copy(
    folder: Path, data: Index, ids: dict[SplitName, list[str]], entry: Entry, replaced: str | None
) -> None:
    """A scan that is in the data set twice could be trained on and scored at once.

    Two scans are the same when their voxels are, or, where those of the other were never read, their files.

    Args:
        folder: the store.
        data: its content.
        ids: its case ids.
        entry: the case to add.
        replaced: id of the case that it replaces, or None.

    Raises:
        CaseTakenError: it is there as another case.
    """
    voxels = entry.facts.get("voxels")
    places = places_of(folder, {"image": [], "provenance": entry.facts.get("provenance")})
    for case_id, other in records(data, ids):
        known = other.get("voxels")
        same = known == voxels if known else not places.isdisjoint(places_of(folder, other))
        if (same or case_id in entry.copies) and case_id != replaced:
            raise CaseTakenError(case_id, other, labelled=entry.split != "unlabelled")


def _id_for(folder: Path, entry: Entry, taken: set[str], unique: bool, existing: bool) -> str:
    if existing:
        return entry.case_id
    if unique and entry.case_id.casefold() in taken:
        raise InputError(
            f"{folder} already holds a case '{entry.case_id}'.", "Use --replace or another --id."
        )
    return free_id(entry.case_id, taken)


def _move_files(folder: Path, entry: Entry, case_id: str) -> dict[str, list[str]]:
    """Move the prepared files to names that nothing has; their paths in the store by kind."""
    parts: dict[str, list[Path | None]] = {
        "images": list(entry.images),
        "labels": [entry.label],
        "masks": [entry.mask],
    }
    stem = file_stem(case_id)
    names = [f"{stem}_{n:04d}" for n in range(len(entry.images))] if len(entry.images) > 1 else [stem]
    moved: dict[str, list[str]] = {}
    for kind, files in parts.items():
        for name, file in zip(names if kind == "images" else [stem], files, strict=False):
            if file is None:
                continue
            (folder / kind).mkdir(exist_ok=True)
            ending = ".nii.gz" if file.name.endswith(".nii.gz") else file.suffix
            target, number = folder / kind / f"{name}{ending}", 2
            while target.exists():
                target, number = folder / kind / f"{name}~{number}{ending}", number + 1
            file.replace(target)
            moved.setdefault(kind, []).append(target.relative_to(folder).as_posix())
    for kind in moved:
        sync_folder(folder / kind)
    return moved


def _record(
    folder: Path,
    entry: Entry,
    case_id: str,
    moved: dict[str, list[str]],
    hashes: dict[str, str],
    previous: Record,
) -> Record:
    """The entry of the case; what a replaced one says beside its files is handed on."""
    prepared = {"images": entry.images, "labels": [entry.label], "masks": [entry.mask]}
    known = {
        path: hashes[file.name]
        for kind, paths in moved.items()
        for path, file in zip(paths, prepared[kind], strict=True)
        if file is not None
    }
    images = moved.get("images")
    if images is None:  # the very image of the case that is replaced stays
        images = image_names(previous)
        known = {name: value for name, value in previous.get("hashes", {}).items() if name in images} | known
    record: Record = {key: value for key, value in previous.items() if key not in _OF_FILES}
    record |= {"id": case_id, "image": images[0] if len(images) == 1 else images}
    if "labels" in moved:
        annotated = entry.annotated
        if "masks" in moved:
            annotated = replace(annotated, region="mask", mask=folder / moved["masks"][0])
        record |= {"label": moved["labels"][0], "annotated": annotated.to_json(folder)}
    record |= {key: value for key, value in entry.facts.items() if value} | {"hashes": known}
    if files := _origins(folder, previous, record):
        record["provenance"] = dict(record["provenance"]) | {"files": files}
    return record


def _origins(folder: Path, *entries: Record) -> list[str]:
    """The scan's own files as all entries name them: by each of them it is known again."""
    listed = [(entry.get("provenance") or {}).get("files") or [] for entry in entries]
    named = [file for files in listed if isinstance(files, list) for file in files if isinstance(file, str)]
    return [file for file in dict.fromkeys(named) if not Path(file).is_relative_to(folder)]
