"""Preparing a new case for the store: every file is read, checked and converted before the store changes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.data.case import Annotation, SplitName
from medcontext.data.locking import staging
from medcontext.data.reading import read_case_image, read_case_labels, values_in, voxel_hash
from medcontext.data.writing import Entry, check_id, id_from, insert, merged
from medcontext.dataset_form import strip_ending
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import atomic, read_labelmap, read_volume, write_labelmap, write_volume
from medcontext.labels import LabelSet


@dataclass(frozen=True)
class NewCase:
    """A scan that a user wants to add.

    Attributes:
        images: one file, DICOM folder or volume per channel, or one that holds all channels.
        label: labelmap on the grid of the first image, or None.
        mask: what of it was annotated (non-zero voxels), on the same grid; wins over ``annotated.region``.
        annotated: labels and slices that were annotated; all of it by default.
        case_id: wanted id; made of the file name when None.
        split: list it goes into; training with a label, unlabelled without when None.
        group: the patient.
        held_out: never train on it.
        text: report in words.
        provenance: where it comes from, free form.
    """

    images: Sequence[Path | Volume]
    label: Path | Volume | None = None
    mask: Path | Volume | None = None
    annotated: Annotation = field(default_factory=Annotation)
    case_id: str | None = None
    split: SplitName | None = None
    group: str = ""
    held_out: bool = False
    text: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)


def add(
    folder: Path,
    new: NewCase,
    *,
    channels: Sequence[tuple[str, str]],
    labels: LabelSet,
    more_labels: LabelSet | None = None,
    replacing: bool = False,
) -> str:
    """Add a case to the store, or replace one.

    Args:
        folder: the store.
        new: the case.
        channels: of the store.
        labels: of the store.
        more_labels: structures that the store does not declare yet.
        replacing: replace the case of that id; its files are kept in ``replaced/``.

    Returns:
        The id it got.

    Raises:
        InputError: a file is broken, does not fit to the others or is in the store already.
        ResourceError: the disk is full; the store is as it was.
    """
    if not new.images:
        raise InputError("A case needs at least one image.")
    name = check_id(new.case_id) if new.case_id is not None else _id_of(new.images[0])
    known = labels if more_labels is None else merged(labels, more_labels)
    with staging(folder) as stage:
        files = [_as_file(image, stage / f"given_{n}.nii.gz") for n, image in enumerate(new.images)]
        image = read_case_image(files, channels, name)
        entry = Entry(
            case_id=name,
            split=new.split or ("training" if new.label is not None else "unlabelled"),
            images=[part for n, file in enumerate(files) for part in _prepare_image(file, stage, n)],
            facts={
                "group": new.group,
                "held_out": new.held_out,
                "text": new.text,
                "voxels": voxel_hash(image),
                "provenance": {"added": time.strftime("%Y-%m-%d"), **new.provenance},
            },
        )
        if new.label is not None:
            entry = _with_label(entry, new, known, image.geometry, stage)
        return insert(
            folder,
            entry,
            labels=more_labels,
            unique=new.case_id is not None,
            existing=replacing,
        )


def _with_label(entry: Entry, new: NewCase, labels: LabelSet, grid: Geometry, stage: Path) -> Entry:
    """The entry with its label checked and written exactly on the grid of the image."""
    source = _as_file(new.label, stage / "given_label.nii.gz", labelmap=True)
    mask = None if new.mask is None else _as_file(new.mask, stage / "given_mask.nii.gz", labelmap=True)
    annotated = new.annotated if mask is None else replace(new.annotated, region="mask", mask=mask)
    undeclared = sorted(set(annotated.labels or ()) - set(labels.values))
    if undeclared:
        raise InputError(
            f"Annotated labels {undeclared} are not declared.", "Name them, such as --names 3=cyst."
        )
    seen = values_in(read_case_labels(source, annotated, labels, entry.case_id, like=grid))
    if not seen:
        raise InputError(
            f"The label of {entry.case_id} has no voxel of any structure inside what was annotated.",
            "Paint a structure first, or add the scan without a label.",
        )
    if annotated.labels is not None and (extra := sorted(set(seen) - set(annotated.labels))):
        raise InputError(
            f"The label of {entry.case_id} holds the values {extra}, which are not among those annotated: "
            f"{sorted(annotated.labels)}.",
            "List every structure that was painted.",
        )
    label, mask_file = stage / "label.nii.gz", stage / "mask.nii.gz"
    write_labelmap(label, read_labelmap(source, like=grid))
    if mask is not None:
        write_labelmap(mask_file, read_labelmap(mask, like=grid))
    return replace(entry, label=label, mask=None if mask is None else mask_file, annotated=annotated)


def _prepare_image(source: Path, stage: Path, number: int) -> list[Path]:
    """The image as NIfTI in the stage: a copy where it is one, else one file per channel."""
    target = stage / f"image_{number}.nii.gz"
    if source.is_file() and source.name.lower().endswith((".nii.gz", ".nii")):
        target = target if source.name.lower().endswith(".gz") else target.with_suffix("")
        with atomic.replacing(target) as temporary:
            shutil.copyfile(source, temporary)
        return [target]
    volume = read_volume(source)
    targets = [stage / f"image_{number}_{channel}.nii.gz" for channel in range(volume.channels)]
    for channel, path in enumerate(targets):
        write_volume(path, Volume(compact(volume.array[channel : channel + 1]), volume.geometry))
    return targets


def compact(array: np.ndarray) -> np.ndarray:
    """The same values in 8 or 16 bits where they are whole numbers that fit: half the space or less."""
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or not np.array_equal(array, np.rint(array)):
        return array
    for kind in (np.uint8, np.int16, np.uint16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array


def _as_file(source: Path | Volume | None, target: Path, labelmap: bool = False) -> Path:
    """A volume in memory as a file; a path as it is."""
    if isinstance(source, Volume):
        if labelmap:
            write_labelmap(target, source)
        else:
            write_volume(target, Volume(compact(source.array), source.geometry))
        return target
    return Path(source or "")


def _id_of(image: Path | Volume) -> str:
    return "case" if isinstance(image, Volume) else id_from(strip_ending(Path(image).name))
