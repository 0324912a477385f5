"""Changing a case store: every file first, ``dataset.json`` last, under a lock, so that nothing is lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medcontext.data.case import Annotation, SplitName
from medcontext.data.decathlon import DatasetFile, case_ids, labels_of, read_index
from medcontext.data.locking import locked, sync_folder, writing
from medcontext.data.reading import file_hash
from medcontext.dataset_form import INDEX, SCHEMA_VERSION
from medcontext.errors import InputError
from medcontext.io.atomic import replacing
from medcontext.labels import LabelSet

_ID = re.compile(r"\w[\w.-]{0,99}")


@dataclass
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
    """

    case_id: str
    split: SplitName
    images: Sequence[Path]
    label: Path | None = None
    mask: Path | None = None
    annotated: Annotation = field(default_factory=Annotation)
    facts: dict[str, Any] = field(default_factory=dict)


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
            data: dict[str, Any] = {"name": name or folder.name, "description": description}
            data |= {"tensorImageSize": "3D"}
            data |= {"modality": {str(n): channel for n, (channel, _) in enumerate(channels)}}
            data |= {"channels": [{"name": channel, "modality": modality} for channel, modality in channels]}
            data |= label_keys(labels)
            _write_index(folder, data | {"training": [], "test": [], "unlabelled": []})


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
        InputError: the id is taken or unknown, or a label is declared with another name.
    """
    with writing(folder), locked(folder):
        data, index = _read_raw(folder), read_index(folder)
        ids = case_ids(index)
        taken = {name.casefold() for names in ids.values() for name in names}
        if not existing and unique and entry.case_id.casefold() in taken:
            raise InputError(
                f"{folder} already holds a case '{entry.case_id}'.", "Use --replace or another --id."
            )
        case_id = entry.case_id if existing else _free_id(entry.case_id, taken)
        if labels is not None:
            data |= label_keys(merged(labels_of(index), labels))
        previous = _take_out(data, ids, entry.case_id) if existing else {}
        _refuse_copy(data, entry)
        moved = _move_files(folder, entry, case_id)
        record = _kept(previous) | _record(folder, entry, case_id, moved)
        data.setdefault(entry.split, []).append(record)
        _write_index(folder, data)
        _retire(folder, previous, case_id)
    return case_id


def hold_out(folder: Path, wanted: set[str]) -> None:
    """Mark cases as held out, for good: no training will use them."""
    with writing(folder), locked(folder):
        data = _read_raw(folder)
        for split, names in case_ids(read_index(folder)).items():
            for position, case_id in enumerate(names):
                if case_id in wanted:
                    entry = data[split][position]
                    entry = {"image": entry} if isinstance(entry, str) else entry
                    data[split][position] = entry | {"id": case_id, "held_out": True}
        _write_index(folder, data)


def merged(known: LabelSet, added: LabelSet) -> LabelSet:
    """The structures of both.

    Raises:
        InputError: one value has two names, or one name two values.
    """
    by_value = {label.value: label for label in known}
    for label in added:
        there = by_value.setdefault(label.value, label)
        if there.name.casefold() != label.name.casefold():
            raise InputError(
                f"Label {label.value} is '{there.name}' in the data set, not '{label.name}'.",
                "Use the data set's name or another value.",
            )
    return LabelSet(tuple(by_value[value] for value in sorted(by_value)))


def label_keys(labels: LabelSet) -> dict[str, Any]:
    """The labels in the Decathlon form, and in ours with colours and codes."""
    names = {"0": "background"} | {str(label.value): label.name for label in labels}
    return {"labels": names, "label_table": labels.to_json()}


def check_id(case_id: str) -> str:
    """The id, when it can be a file name on every system.

    Raises:
        InputError: it cannot.
    """
    if not _ID.fullmatch(case_id) or case_id.endswith("."):
        raise InputError(
            f"'{case_id}' cannot be the id of a case.", "Use letters, digits, '_', '-' and '.', at most 100."
        )
    return case_id


def id_from(name: str) -> str:
    """An id made of a file or folder name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:100] or "case"


def _read_raw(folder: Path) -> dict[str, Any]:
    read_index(folder)  # checked before anything is touched
    data: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return data


def _write_index(folder: Path, data: dict[str, Any]) -> None:
    data |= {"schema_version": SCHEMA_VERSION}
    data |= {"numTraining": len(data.get("training", [])), "numTest": len(data.get("test", []))}
    DatasetFile.parse(data, str(folder / INDEX))
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sync_folder(folder)


def _take_out(data: dict[str, Any], ids: dict[SplitName, list[str]], case_id: str) -> dict[str, Any]:
    """Remove and return the entry of a case."""
    for split, names in ids.items():
        if case_id in names:
            previous = data[split].pop(names.index(case_id))
            return {"image": previous} if isinstance(previous, str) else previous
    raise InputError(f"There is no case '{case_id}' to replace.", "Leave --replace out to add it.")


def _refuse_copy(data: dict[str, Any], entry: Entry) -> None:
    """A scan that is in the data set twice could be trained on and scored at once."""
    voxels = entry.facts.get("voxels")
    for split in ("training", "test", "unlabelled"):
        for other in data.get(split, []):
            if voxels and isinstance(other, dict) and other.get("voxels") == voxels:
                raise InputError(
                    f"This image is in the data set already, as case '{other.get('id')}'.",
                    "Use --replace to give that case another label.",
                )


def _free_id(wanted: str, taken: set[str]) -> str:
    number, case_id = 2, wanted
    while case_id.casefold() in taken:
        case_id, number = f"{wanted}-{number}", number + 1
    return case_id


def _move_files(folder: Path, entry: Entry, case_id: str) -> dict[str, list[str]]:
    """Move the prepared files to names that nothing has; their paths in the store by kind."""
    parts: dict[str, list[Path | None]] = {
        "images": list(entry.images),
        "labels": [entry.label],
        "masks": [entry.mask],
    }
    names = [f"{case_id}_{n:04d}" for n in range(len(entry.images))] if len(entry.images) > 1 else [case_id]
    moved: dict[str, list[str]] = {}
    for kind, files in parts.items():
        for name, file in zip(names if kind == "images" else [case_id], files, strict=True):
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


def _record(folder: Path, entry: Entry, case_id: str, moved: dict[str, list[str]]) -> dict[str, Any]:
    images = moved["images"]
    record: dict[str, Any] = {"id": case_id, "image": images[0] if len(images) == 1 else images}
    if "labels" in moved:
        annotated = entry.annotated
        if "masks" in moved:
            annotated = replace(annotated, region="mask", mask=folder / moved["masks"][0])
        record |= {"label": moved["labels"][0], "annotated": annotated.to_json(folder)}
    hashes = {path: file_hash(folder / path) for paths in moved.values() for path in paths}
    return record | {key: value for key, value in entry.facts.items() if value} | {"hashes": hashes}


def _kept(previous: dict[str, Any]) -> dict[str, Any]:
    """What a replaced entry hands on: who it belongs to and whatever else others wrote into it."""
    ours = ("image", "label", "annotated", "hashes", "voxels")
    return {key: value for key, value in previous.items() if key not in ours}


def _retire(folder: Path, previous: dict[str, Any], case_id: str) -> None:
    """Move the files of a replaced entry aside; a person may have painted them for an hour."""
    images = previous.get("image", [])
    files = images if isinstance(images, list) else [images]
    files = [*files, previous.get("label"), (previous.get("annotated") or {}).get("mask")]
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in files:
        if name and (folder / name).is_file() and (folder / name).resolve().is_relative_to(folder.resolve()):
            target = folder / "replaced" / f"{stamp}-{case_id}" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(target)
