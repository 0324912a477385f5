"""Preparing a new case for the store: everything is checked, then written aside, before the store changes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.data.case import Annotation, SplitName
from medcontext.data.copies import copies_of
from medcontext.data.index_file import (
    check_id,
    find_entry,
    id_from,
    image_names,
    merged,
    read_data_set,
)
from medcontext.data.labelling import labelmap_of, refuse_unfit
from medcontext.data.locking import staging
from medcontext.data.modality import odd_values, other_modality
from medcontext.data.reading import check_channels, read_grid, upright_hash, voxel_hash
from medcontext.data.writing import Entry, insert, refuse_copy
from medcontext.dataset_form import strip_ending
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import atomic, read_volume, write_labelmap, write_volume
from medcontext.labels import LabelSet
from medcontext.resample import join_channels

_CHECK = "check case"


@dataclass(frozen=True)
class NewCase:
    """A scan that a user wants to add.

    Attributes:
        images: one file, DICOM folder or volume per channel, or one that holds all channels.
        label: labelmap on the grid of the first image, or None.
        mask: what of it was annotated (non-zero voxels), on the same grid; wins over ``annotated.region``.
        annotated: labels and slices that were annotated; all of it by default.
        case_id: wanted id; made of ``name`` when None.
        name: what an id is made of; the name of the first image's file when empty.
        split: list it goes into; training with a label, unlabelled without when None.
        group: the patient.
        held_out: never train on it.
        text: report in words.
        provenance: where it comes from, free form; ``files`` are the scan's own files, by which it is known again.
    """

    images: Sequence[Path | Volume]
    label: Path | Volume | None = None
    mask: Path | Volume | None = None
    annotated: Annotation = field(default_factory=Annotation)
    case_id: str | None = None
    name: str = ""
    split: SplitName | None = None
    group: str = ""
    held_out: bool = False
    text: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Added:
    """The id that a case got, and the seconds that each stage of adding it took."""

    case_id: str
    seconds: dict[str, float]


def add(
    folder: Path,
    new: NewCase,
    *,
    channels: Sequence[tuple[str, str]],
    labels: LabelSet,
    more_labels: LabelSet | None = None,
    replacing: bool = False,
    reporter: Reporter | None = None,
) -> Added:
    """Add a case to the store, or replace one.

    Args:
        folder: the store.
        new: the case.
        channels: of the store.
        labels: of the store.
        more_labels: structures that the store does not declare yet.
        replacing: replace the case of that id; its files are kept in ``replaced/``.
        reporter: told of stages, of resampling and of what is odd; asked whether to stop.

    Raises:
        CaseTakenError: the image is in the store already.
        InputError: a file is broken or does not fit to the others.
        CancelledError: someone asked to stop; the store is as it was.
        ResourceError: the disk is full; the store is as it was.
    """
    reporter = reporter or Reporter()
    seconds: dict[str, float] = {}
    with _stage(_CHECK, reporter, seconds):
        name = _name_of(new, replacing)
        volumes = _open(new.images, reporter)
        image = _joined(volumes, new, channels, name, reporter)
        entry = _entry(folder, new, name, voxel_hash(image))
        entry = _compared(folder, entry, image, name if replacing else None, reporter)
        if replacing:
            entry = replace(entry, keep_images=_is_there(folder, entry, image.geometry))
        known = labels if more_labels is None else merged(labels, more_labels)
        labelmap, mask = _checked_label(new, known, name, image.geometry)
    with staging(folder) as stage:
        with _stage("write case", reporter, seconds):
            images = [] if entry.keep_images else _write_images(new.images, volumes, stage, reporter)
            entry = replace(
                entry,
                images=images,
                label=_write_labelmap(stage / "label.nii.gz", labelmap, reporter),
                mask=_write_labelmap(stage / "mask.nii.gz", mask, reporter),
            )
        reporter.check_cancelled()
        with _stage("list case", reporter, seconds):
            unique = new.case_id is not None
            case_id = insert(folder, entry, labels=more_labels, unique=unique, existing=replacing)
    return Added(case_id, seconds)


@contextmanager
def _stage(name: str, reporter: Reporter, seconds: dict[str, float]) -> Iterator[None]:
    reporter.check_cancelled()
    reporter.progress(name, 0)
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began
    reporter.progress(name, 1)


def _open(images: Sequence[Path | Volume], reporter: Reporter) -> list[Volume]:
    if not images:
        raise InputError("A case needs at least one image.")
    volumes = []
    for image in images:
        reporter.check_cancelled()
        volume = image if isinstance(image, Volume) else read_volume(Path(image), reporter)
        if min(volume.shape) < 2:
            size = " x ".join(str(n) for n in volume.shape[::-1])
            raise InputError(f"The image is 2D ({size} voxels); a volume is needed.")
        if volume.array.dtype.kind == "f" and not np.isfinite([volume.array.min(), volume.array.max()]).all():
            raise InputError(
                "The image holds voxels that are not finite numbers (NaN or infinity).",
                "Replace them, for example by the background value, and try again.",
            )
        volumes.append(volume)
    return volumes


def _joined(
    volumes: Sequence[Volume],
    new: NewCase,
    channels: Sequence[tuple[str, str]],
    name: str,
    reporter: Reporter,
) -> Volume:
    """The image that the channels make up; what is odd about it is told."""
    names = [f"Channel {n + 1}" if isinstance(i, Volume) else str(i) for n, i in enumerate(new.images)]
    image = join_channels(zip(names, volumes, strict=True), reporter)
    check_channels(image, channels, name)
    given = new.provenance.get("modality")
    odd = other_modality(given, channels) if isinstance(given, str) else ""
    if odd := odd or odd_values(image, channels):
        reporter.warning(f"{name}: {odd}")
    return image


def _entry(folder: Path, new: NewCase, name: str, voxels: str) -> Entry:
    files = [str(Path(i).absolute()) for i in new.images if not isinstance(i, Volume)]
    files = [file for file in files if not Path(file).is_relative_to(folder)]
    return Entry(
        case_id=name,
        split=new.split or ("training" if new.label is not None else "unlabelled"),
        annotated=new.annotated,
        facts={
            "group": new.group,
            "held_out": new.held_out,
            "text": new.text,
            "voxels": voxels,
            "provenance": {
                "added": time.strftime("%Y-%m-%d"),
                **({"files": files} if files else {}),
                **new.provenance,
            },
        },
    )


def _compared(folder: Path, entry: Entry, image: Volume, replaced: str | None, reporter: Reporter) -> Entry:
    """The entry with what is known of copies; refused where it is one, first by what is recorded: that is quick."""
    refuse_copy(folder, *read_data_set(folder), entry, replaced)
    upright = upright_hash(image, entry.facts["voxels"])
    copies = copies_of(folder, image, upright, replaced, reporter, _CHECK)
    entry = replace(entry, upright=upright, copies=copies)
    refuse_copy(folder, *read_data_set(folder), entry, replaced)
    return entry


def _is_there(folder: Path, entry: Entry, grid: Geometry) -> bool:
    """Whether the case to replace holds the very image, so that only its label changes."""
    previous = find_entry(folder, entry.case_id)
    files = [folder / name for name in image_names(previous)]
    inside = all(file.is_file() and file.resolve().is_relative_to(folder.resolve()) for file in files)
    same = bool(files) and inside and previous.get("voxels") == entry.facts["voxels"]
    return same and read_grid(files).same_grid(grid)


def _checked_label(
    new: NewCase, labels: LabelSet, name: str, grid: Geometry
) -> tuple[Volume | None, Volume | None]:
    """Label and mask exactly on the grid of the image."""
    if new.label is None:
        return None, None
    labelmap = labelmap_of(new.label, grid)
    mask = None if new.mask is None else labelmap_of(new.mask, grid)
    refuse_unfit(labelmap, mask, new.annotated, labels, name)
    return labelmap, mask


def _write_images(
    images: Sequence[Path | Volume], volumes: Sequence[Volume], stage: Path, reporter: Reporter
) -> list[Path]:
    """The images as NIfTI in the stage: a copy where it is one, else one file per channel."""
    written = []
    for number, (source, volume) in enumerate(zip(images, volumes, strict=True)):
        target = stage / f"image_{number}.nii.gz"
        if not isinstance(source, Volume) and Path(source).name.lower().endswith((".nii.gz", ".nii")):
            target = target if Path(source).name.lower().endswith(".gz") else target.with_suffix("")
            with atomic.replacing(target) as temporary:
                shutil.copyfile(source, temporary)
            written.append(target)
            continue
        for channel in range(volume.channels):
            path = stage / f"image_{number}_{channel}.nii.gz"
            part = Volume(compact(volume.array[channel : channel + 1]), volume.geometry)
            write_volume(path, part, reporter.check_cancelled)
            written.append(path)
    return written


def _write_labelmap(path: Path, labelmap: Volume | None, reporter: Reporter) -> Path | None:
    if labelmap is None:
        return None
    write_labelmap(path, labelmap, reporter.check_cancelled)
    return path


def compact(array: np.ndarray) -> np.ndarray:
    """The same values in 8 or 16 bits where they are whole numbers that fit: half the space or less."""
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return array
    kinds = ((kind, np.iinfo(kind)) for kind in (np.uint8, np.int16, np.uint16))
    kind = next((kind for kind, limits in kinds if limits.min <= low and high <= limits.max), None)
    if kind is None or (array.dtype.kind == "f" and not _is_whole(array)):
        return array
    return array.astype(kind, copy=False)


def _is_whole(array: np.ndarray) -> bool:
    """Whether all values are whole numbers; fractions are mostly met in the first part."""
    return all(np.array_equal(part, np.rint(part)) for part in array.reshape(-1, *array.shape[-2:]))


def _name_of(new: NewCase, replacing: bool) -> str:
    if new.case_id is None:
        return _id_of(new)
    return new.case_id if replacing else check_id(new.case_id)  # what is there has the name that it has


def _id_of(new: NewCase) -> str:
    first = new.images[0] if new.images else ""
    if new.name:
        return id_from(new.name)
    return "case" if isinstance(first, Volume) else id_from(strip_ending(Path(first).name))
