"""``dataset.json``: the Medical Segmentation Decathlon form, plain or with this program's additions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from medcontext.config import StrictModel, read_data
from medcontext.data.case import Annotation, Case, SliceAxis, SplitName
from medcontext.dataset_form import (
    INDEX,
    SPLITS,
    channels_from,
    check_ids,
    check_schema,
    labels_from,
    name_cases,
    strip_ending,
)
from medcontext.errors import InputError
from medcontext.io.itk import reading
from medcontext.labels import LabelSet


class ReadModel(StrictModel):
    """A file written by others: what is not known is left alone."""

    model_config = ConfigDict(extra="ignore")


class AnnotatedEntry(ReadModel):
    """What of a case was annotated."""

    labels: list[int] | None = None
    """Values looked at; None for all."""
    region: Literal["whole", "slices", "mask"] = "whole"
    """Where."""
    slices: list[int] = Field(default_factory=list)
    """Indices from 0."""
    axis: SliceAxis = "k"
    """Axis that slices count along."""
    mask: str | None = None
    """Mask file."""


class CaseEntry(ReadModel):
    """One entry of training, test or unlabelled."""

    image: str | list[str]
    """Image file, or one per channel, relative to the folder."""
    label: str | None = None
    """Labelmap file."""
    id: str | None = None
    """Name of the case; taken from the file names where absent."""
    group: str = ""
    """Patient."""
    held_out: bool = False
    """Never trained on."""
    annotated: AnnotatedEntry = AnnotatedEntry()
    """What was annotated."""
    text: str = ""
    """Report in words."""
    hashes: dict[str, str] = Field(default_factory=dict)
    """SHA-256 by file."""
    voxels: str = ""
    """SHA-256 of the image's voxel values."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Where the case came from."""


class DatasetFile(ReadModel):
    """``dataset.json``."""

    schema_version: int = 1
    """Version of this program's additions."""
    name: str = ""
    """Title of the data set."""
    description: str = ""
    """What it shows."""
    modality: dict[str, str] = Field(default_factory=dict)
    """Modality by channel number."""
    channel_names: dict[str, str] = Field(default_factory=dict)
    """The same under the name nnU-Net uses."""
    channels: list[dict[str, str]] = Field(default_factory=list)
    """Channels as {name, modality}; wins over modality."""
    labels: dict[str, str | int] | list[str] = Field(default_factory=dict)
    """Names by value (or values by name); 0 is background."""
    label_table: list[dict[str, Any]] = Field(default_factory=list)
    """Labels with colours and terminology; wins over labels."""
    training: list[CaseEntry | str] = Field(default_factory=list)
    test: list[CaseEntry | str] = Field(default_factory=list)
    unlabelled: list[CaseEntry | str] = Field(default_factory=list)
    held_out_voxels: list[str] = Field(default_factory=list)
    """SHA-256 of the voxel values of held-out cases that were removed."""


class SplitsFile(ReadModel):
    """``splits.json``: lists of case ids."""

    train: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)
    fewshot: dict[str, list[str]] = Field(default_factory=dict)
    """Cases by number of shots."""


def read_index(folder: Path) -> DatasetFile:
    """Read ``dataset.json``.

    Raises:
        InputError: it is missing, not JSON, does not fit, or was written by a newer version.
    """
    return read_whole(folder)[1]


def read_whole(folder: Path) -> tuple[dict[str, Any], DatasetFile]:
    """``dataset.json`` as it is, keys of others included, and what of it this program knows.

    Raises:
        InputError: as :func:`read_index`.
    """
    path = folder / INDEX
    if not path.is_file():
        raise InputError(
            f"{folder} is not a case store: it holds no {INDEX}.",
            "Give a folder in the form of the Medical Segmentation Decathlon, or start one with 'data add'.",
        )
    with reading(path):
        data = read_data(path)
    index = DatasetFile.parse(data, str(path))
    check_schema(index.schema_version)
    return data, index


def read_splits(folder: Path) -> SplitsFile:
    """Read ``splits.json``, or empty lists where there is none."""
    path = folder / SPLITS
    if not path.exists():
        return SplitsFile()
    with reading(path):
        return SplitsFile.parse(read_data(path), str(path))


def labels_of(index: DatasetFile) -> LabelSet:
    """The labels, with colours and terminology where the file has them.

    Raises:
        InputError: a value is not a whole number, is used twice or lies outside 1..254.
    """
    return labels_from(index.label_table, index.labels)


def channels_of(index: DatasetFile) -> list[tuple[str, str]]:
    """The input channels as (name, modality); one of unknown modality where the file does not say."""
    return channels_from(index.channels, index.modality or index.channel_names)


def case_ids(index: DatasetFile) -> dict[SplitName, list[str]]:
    """The id of every entry, list by list in the order of the file.

    Given ids are kept; others are file names, or paths where file names repeat.
    """
    entries = _entries(index)
    names = name_cases([(entry.id, _images(entry), entry.label) for _, entry in entries])
    ids: dict[SplitName, list[str]] = {"training": [], "test": [], "unlabelled": []}
    for (split, _), name in zip(entries, names, strict=True):
        ids[split].append(name)
    return ids


def cases_of(index: DatasetFile, splits: SplitsFile, folder: Path) -> list[Case]:
    """All cases; one that ``splits.json`` lists under test is a test case whatever ``dataset.json`` says.

    Raises:
        InputError: two entries have the same id.
    """
    ids = [case_id for names in case_ids(index).values() for case_id in names]
    check_ids(ids)
    test = {strip_ending(name) for name in splits.test}
    return [
        _case(case_id, "test" if split == "training" and case_id in test else split, entry, folder)
        for case_id, (split, entry) in zip(ids, _entries(index), strict=True)
    ]


def _entries(index: DatasetFile) -> list[tuple[SplitName, CaseEntry]]:
    lists: dict[SplitName, list[CaseEntry | str]] = {
        "training": index.training,
        "test": index.test,
        "unlabelled": index.unlabelled,
    }
    return [
        (split, CaseEntry(image=entry) if isinstance(entry, str) else entry)
        for split, entries in lists.items()
        for entry in entries
    ]


def _case(case_id: str, split: SplitName, entry: CaseEntry, folder: Path) -> Case:
    return Case(
        id=case_id,
        images=[folder / path for path in _images(entry)],
        label=None if not entry.label or split == "unlabelled" else folder / entry.label,
        group=entry.group,
        held_out=entry.held_out,
        split=split,
        annotated=_annotation(entry.annotated, folder),
        text=entry.text,
        hashes=entry.hashes,
        voxels=entry.voxels,
        provenance=entry.provenance,
    )


def _annotation(entry: AnnotatedEntry, folder: Path) -> Annotation:
    return Annotation(
        labels=None if entry.labels is None else tuple(entry.labels),
        region=entry.region,
        slices=tuple(sorted(set(entry.slices))),
        axis=entry.axis,
        mask=None if entry.mask is None else folder / entry.mask,
    )


def _images(entry: CaseEntry) -> list[str]:
    images = [entry.image] if isinstance(entry.image, str) else entry.image
    if not images or not all(images):
        raise InputError(f"{INDEX} has an entry without an image.", "Name the image file of each case.")
    return images
