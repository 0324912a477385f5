"""``dataset.json`` as it is on disk: read whole, changed in memory, written whole; keys of others are kept."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medcontext.data.case import SplitName
from medcontext.data.decathlon import DatasetFile, case_ids, labels_of, read_whole
from medcontext.dataset_form import INDEX, SCHEMA_VERSION, values_come_first
from medcontext.disk import sync_folder
from medcontext.errors import InputError
from medcontext.io.atomic import replacing
from medcontext.labels import LabelSet

SPLITS: tuple[SplitName, ...] = ("training", "test", "unlabelled")
_ID = re.compile(r"\w[\w.-]{0,99}")

HELD_OUT_VOXELS = "held_out_voxels"
"""Key of dataset.json: voxel hashes of cases held out that were removed; they stay held out when they come back."""

Index = dict[str, Any]
Record = dict[str, Any]


class CaseTakenError(InputError):
    """The image is in the data set already.

    Args:
        case_id: id of the case that it is.
        entry: of that case.
        labelled: whether the image came with a label.

    Attributes:
        case_id: as this case.
    """

    def __init__(self, case_id: str, entry: Record, labelled: bool) -> None:
        told = f"This image is in the data set already, as case '{case_id}'"
        again = f"Add --id {case_id} --replace"
        if entry.get("label"):
            message, hint = f"{told}.", f"{again} to give that case another label."
        elif labelled:
            linked = bool((entry.get("provenance") or {}).get("linked"))
            copied = " and copies its image into the data set" if linked else ""
            message, hint = f"{told}, without annotation.", f"{again}: that annotates it{copied}."
        else:
            message, hint = f"{told}, without annotation.", "There is nothing to add."
        super().__init__(message, hint)
        self.case_id = case_id


def read_data_set(folder: Path) -> tuple[Index, dict[SplitName, list[str]]]:
    """The content of ``dataset.json``, and the id of every entry, list by list.

    Raises:
        InputError: it is missing, broken or of a later release.
    """
    data, index = read_whole(folder)  # once: another program may be writing
    return data, case_ids(index)


def write_data_set(folder: Path, data: Index) -> None:
    """Write ``dataset.json``: the old one stays until the new one is complete.

    Raises:
        InputError: it would not be readable, or the folder may not be written to.
        ResourceError: the disk is full.
    """
    data |= {"schema_version": SCHEMA_VERSION}
    data |= {"numTraining": len(data.get("training", [])), "numTest": len(data.get("test", []))}
    DatasetFile.parse(data, str(folder / INDEX))
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sync_folder(folder)


def records(data: Index, ids: dict[SplitName, list[str]]) -> Iterator[tuple[str, Record]]:
    """Every entry with its id."""
    for split in SPLITS:
        for case_id, entry in zip(ids[split], data.get(split, []), strict=True):
            yield case_id, as_record(entry)


def as_record(entry: Any) -> Record:
    """An entry as an object, also where it is a bare file name."""
    return {"image": entry} if isinstance(entry, str) else dict(entry)


def find_entry(folder: Path, case_id: str) -> Record:
    """The entry of a case, empty where there is none."""
    return next((entry for name, entry in records(*read_data_set(folder)) if name == case_id), {})


def take_out(data: Index, ids: dict[SplitName, list[str]], case_id: str) -> tuple[Record, SplitName, int]:
    """Remove an entry; gives it, its list and its place there.

    Raises:
        InputError: there is no such case.
    """
    for split, names in ids.items():
        if case_id in names:
            place = names.index(case_id)
            names.pop(place)
            return as_record(data[split].pop(place)), split, place
    raise InputError(
        f"The data set has no case '{case_id}'.", "Look at its list with 'medcontext data list'."
    )


def image_names(entry: Record) -> list[str]:
    """The image files of an entry, as they are written there."""
    images = entry.get("image", [])
    return [images] if isinstance(images, str) else list(images)


def files_in_store(folder: Path, entry: Record) -> list[str]:
    """Every file of an entry that lies in the store; linked ones are somebody else's."""
    mask = (entry.get("annotated") or {}).get("mask")
    names = [*image_names(entry), *(name for name in (entry.get("label"), mask) if name)]
    inside = [n for n in names if (folder / n).resolve().is_relative_to(folder.resolve())]
    return [name for name in inside if (folder / name).is_file()]


def place_of(folder: Path, name: str) -> str:
    """A file's place, by which two spellings of its path are recognised as one."""
    return os.path.normcase(os.path.normpath(folder / name))


def places_of(folder: Path, entry: Record) -> set[str]:
    """Where the scan of an entry lies or was taken from."""
    origin = (entry.get("provenance") or {}).get("files") or []
    known = [name for name in origin if isinstance(name, str)] if isinstance(origin, list) else []
    return {place_of(folder, name) for name in [*image_names(entry), *known]}


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


def label_keys(labels: LabelSet, form: Any = None) -> Index:
    """The labels in the Decathlon form, and in ours with colours and codes.

    Args:
        labels: all of them.
        form: ``labels`` of the file; values by name, as nnU-Net writes them, stay so.
    """
    by_value = {str(label.value): label.name for label in labels}
    names: Index = {"0": "background"} | by_value
    if isinstance(form, dict) and not values_come_first(form):
        background = {name: value for name, value in form.items() if int(value) == 0}
        names = background | {label.name: label.value for label in labels}
    return {"labels": names, "label_table": labels.to_json()}


def declare(data: Index, ids: dict[SplitName, list[str]], added: LabelSet) -> None:
    """Add structures to the data set; in the cases that it has they are unknown, not absent.

    Raises:
        InputError: as :func:`merged`.
    """
    known = labels_of(DatasetFile.parse(data, INDEX))
    labels = merged(known, added)
    if labels.values == known.values:
        return
    for split, names in ids.items():
        for position in range(len(names)):
            entry = as_record(data[split][position])
            annotated = entry.get("annotated") or {}
            if entry.get("label") and annotated.get("labels") is None:
                looked_at = annotated | {"labels": list(known.values)}
                data[split][position] = entry | {"annotated": looked_at}
    data |= label_keys(labels, data.get("labels"))


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


def file_stem(case_id: str) -> str:
    """What the files of a case are called: its id, unless another program chose one that not every disk takes."""
    return case_id if _ID.fullmatch(case_id) and not case_id.endswith(".") else id_from(case_id)


def id_from(name: str) -> str:
    """An id made of a file or folder name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:100] or "case"


def free_id(wanted: str, taken: set[str]) -> str:
    """``wanted``, or with a number the next that is free; ``taken`` is in lower case."""
    number, case_id = 2, wanted
    while case_id.casefold() in taken:
        case_id, number = f"{wanted}-{number}", number + 1
    return case_id


def taken_ids(ids: dict[SplitName, list[str]]) -> set[str]:
    """Every id in lower case: some file systems do not tell cases apart."""
    return {name.casefold() for names in ids.values() for name in names}
