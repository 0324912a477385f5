"""What a case store holds: a quick, tolerant look at ``dataset.json`` with the standard library alone.

A store is listed even when it is broken, with the reason. The strict reader, which training uses, is
``medcontext.data`` (floor 1).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcontext import dataset_form as form
from medcontext.dataset_form import INDEX, SPLITS
from medcontext.errors import InputError
from medcontext.labels import LabelSet

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CaseSummary:
    """What a list of cases shows about one of them.

    Attributes:
        id: unique name in the store.
        kind: "annotated" (learnt from), "unlabelled", "held_out" (only ever scored) or "test".
        images: one file (or DICOM folder) per channel, or one file that holds all channels.
        label: labelmap, or None.
        labels: values that were annotated; None for all of the store's.
        region: where voxels were annotated: "whole", "slices" or "mask".
        group: the patient; empty where it is not known.
        linked: whether an image lies outside the store: it is read there and was not copied.
        content_hash: hash of the image files as model cards list it; empty where it was not recorded.
        text: report in words.
        provenance: where the case came from, free form.
        voxels: hash of the image's voxel values as model cards list it; empty where it was not recorded.
        axis: with region "slices": the axis of the label file that they count along.
        slices: with region "slices": the indices annotated, from 0.
        mask: with region "mask": its file.
    """

    id: str
    kind: str
    images: tuple[Path, ...]
    label: Path | None = None
    labels: tuple[int, ...] | None = None
    region: str = "whole"
    group: str = ""
    linked: bool = False
    content_hash: str = ""
    text: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    voxels: str = ""
    axis: str = "k"
    slices: tuple[int, ...] = ()
    mask: Path | None = None

    @property
    def missing(self) -> bool:
        """Whether a file of the case is not there; asks the disk each time."""
        optional = [path for path in (self.label, self.mask) if path is not None]
        return not all(_there(path) for path in (*self.images, *optional))


@dataclass(frozen=True)
class StoreSummary:
    """What a case store holds.

    Attributes:
        folder: absolute path.
        name: title of the data set; the folder's name where it has none.
        channels: input channels as (name, modality).
        labels: what the label values mean.
        cases: the cases that could be read: training first, then test, then unlabelled.
        writable: whether cases may be added.
        problem: why the store cannot be used as it is, in one sentence, or None.
    """

    folder: Path
    name: str
    channels: tuple[tuple[str, str], ...] = ()
    labels: LabelSet = field(default_factory=LabelSet)
    cases: tuple[CaseSummary, ...] = ()
    writable: bool = False
    problem: str | None = None


def is_store(folder: Path) -> bool:
    """Whether a folder holds a ``dataset.json``, whatever is in it."""
    return _there(folder / INDEX)


def read_store(folder: Path) -> StoreSummary:
    """The summary of a case store; what is wrong with it is in ``problem``, nothing is raised."""
    folder = folder.expanduser().absolute()
    reading = _Reading(folder)
    reading.read()
    return StoreSummary(
        folder=folder,
        name=reading.name or folder.name,
        channels=tuple(reading.channels),
        labels=reading.labels,
        cases=tuple(reading.cases),
        writable=reading.data is not None and os.access(folder, os.W_OK),
        problem=reading.problem,
    )


class _Reading:
    """Reads one store part by part: what can be read is kept, the first thing that is wrong becomes the problem."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data: dict[str, Any] | None = None
        self.name = ""
        self.channels: list[tuple[str, str]] = []
        self.labels = LabelSet()
        self.cases: list[CaseSummary] = []
        self.problem: str | None = None

    def read(self) -> None:
        for step in (self._open, self._title, self._read_channels, self._read_labels, self._read_cases):
            self._try(step)
            if self.data is None:
                return

    def _try(self, step: Any, *arguments: Any) -> Any:
        try:
            return step(*arguments)
        except InputError as error:
            self.problem = self.problem or error.message
            return None

    def _open(self) -> None:
        if not _there(self.folder):
            raise InputError(f"{self.folder} is not there; it may lie on a drive that is not connected.")
        data = form.load_object(self.folder / INDEX)
        if data is None:
            raise InputError(f"{self.folder} is not a case store: it holds no {INDEX}.")
        self.data = data
        form.check_schema(form.whole_number(data.get("schema_version", 1), "schema_version"))

    def _title(self) -> None:
        self.name = form.text_in(self._data, "name")
        form.text_in(self._data, "description")
        form.check_type(form.is_list_of_texts(self._data.get("held_out_voxels", [])), "held_out_voxels")

    def _read_channels(self) -> None:
        modality, names = form.texts_in(self._data, "modality"), form.texts_in(self._data, "channel_names")
        listed = form.list_in(self._data, "channels")
        for entry in listed:
            form.check_type(form.is_texts(entry), "channels")
        self.channels = form.channels_from(listed, modality or names)

    def _read_labels(self) -> None:
        table, labels = form.list_in(self._data, "label_table"), self._data.get("labels", {})
        form.check_type(all(isinstance(entry, dict) for entry in table), "label_table")
        if isinstance(labels, dict):
            form.check_type(all(isinstance(value, str | int) for value in labels.values()), "labels")
        else:
            form.check_type(
                isinstance(labels, list) and all(isinstance(name, str) for name in labels), "labels"
            )
        self.labels = form.labels_from(table, labels)

    def _read_cases(self) -> None:
        found: list[tuple[str, dict[str, Any], list[str]]] = []
        for kind in ("training", "test", "unlabelled"):
            for entry in self._try(form.list_in, self._data, kind) or []:
                checked = self._try(_entry, entry)
                if checked is not None:
                    found.append((kind, *checked))
        keys = [(entry.get("id"), images, entry.get("label")) for _, entry, images in found]
        ids = form.name_cases(keys)
        self._try(form.check_ids, ids)
        tests = self._try(self._tests) or set()
        for case_id, (split, entry, images) in zip(ids, found, strict=True):
            kind = "test" if split == "training" and case_id in tests else split
            case = self._try(self._case, case_id, kind, entry, images)
            if case is not None:
                self.cases.append(case)

    def _tests(self) -> set[str]:
        splits = form.load_object(self.folder / SPLITS) or {}
        for key in ("train", "test"):
            names = form.list_in(splits, key, SPLITS)
            form.check_type(form.is_list_of_texts(names), key, SPLITS)
        shots = splits.get("fewshot", {})
        form.check_type(isinstance(shots, dict), "fewshot", SPLITS)
        form.check_type(all(form.is_list_of_texts(names) for names in shots.values()), "fewshot", SPLITS)
        return {form.strip_ending(name) for name in splits.get("test", [])}

    def _case(self, case_id: str, split: str, entry: dict[str, Any], images: list[str]) -> CaseSummary:
        label = entry.get("label") if split != "unlabelled" else None
        provenance = entry.get("provenance", {})
        form.check_type(isinstance(provenance, dict), "provenance")
        return CaseSummary(
            id=case_id,
            kind=_kind(split, form.flag_in(entry, "held_out"), bool(label)),
            images=tuple(self.folder / name for name in images),
            label=self.folder / label if label else None,
            group=form.text_in(entry, "group"),
            linked=any(self._outside(name) for name in images),
            content_hash=_content_hash(images, form.texts_in(entry, "hashes")),
            text=form.text_in(entry, "text"),
            provenance=provenance,
            voxels=form.text_in(entry, "voxels"),
            **self._annotated(entry.get("annotated", {})),
        )

    def _annotated(self, data: Any) -> dict[str, Any]:
        """What of a case was annotated, as fields of its summary."""
        form.check_type(isinstance(data, dict), "annotated")
        region, axis = data.get("region", "whole"), data.get("axis", "k")
        values, mask = data.get("labels"), data.get("mask")
        form.check_type(isinstance(region, str) and isinstance(axis, str), "annotated")
        form.check_type(mask is None or isinstance(mask, str), "mask")
        slices = sorted({form.whole_number(number, "slices") for number in form.list_in(data, "slices")})
        if values is not None:
            values = tuple(form.whole_number(value, "labels") for value in form.list_in(data, "labels"))
        form.check_region(region, slices, axis, mask is not None)
        place = self.folder / mask if mask is not None else None
        return {"labels": values, "region": region, "axis": axis, "slices": tuple(slices), "mask": place}

    def _outside(self, name: str) -> bool:
        return not os.path.normpath(self.folder / name).startswith(f"{self.folder}{os.sep}")

    @property
    def _data(self) -> dict[str, Any]:
        return self.data or {}


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a share that refuses
        return False


def _entry(entry: Any) -> tuple[dict[str, Any], list[str]]:
    """An entry of a list as an object, and its image files."""
    entry = {"image": entry} if isinstance(entry, str) else entry
    form.check_type(isinstance(entry, dict), "a case")
    images = entry.get("image")
    images = [images] if isinstance(images, str) else images
    if not images or not form.is_list_of_texts(images) or not all(images):
        raise InputError(f"{INDEX} has an entry without an image.", "Name the image file of each case.")
    for key in ("id", "label"):
        form.check_type(entry.get(key) is None or isinstance(entry[key], str), key)
    return entry, images


def _kind(split: str, held_out: bool, labelled: bool) -> str:
    if split == "test":
        return "test"
    if held_out:
        return "held_out"
    return "annotated" if labelled else "unlabelled"


def _content_hash(images: list[str], hashes: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name in images:
        recorded = hashes.get(name.removeprefix("./"), "")
        if not _SHA256.fullmatch(recorded) or name.lower().endswith(form.DETACHED_HEADERS):
            return ""
        digest.update(bytes.fromhex(recorded))
    return digest.hexdigest()
