"""Reading the files of a case and refusing what nobody could learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from medcontext.data.case import Annotation
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_image, read_labelmap, read_volume
from medcontext.io.itk import itk_affine
from medcontext.labels import IGNORE, LabelSet

_PIECE = 1 << 17
_PLANES = 8
"""Parts that stay in the processor's cache."""

UPRIGHT = "LPS"
"""Orientation in which two images that are stored with other axes are compared."""


def read_case_image(
    paths: Sequence[Path], channels: Sequence[tuple[str, str]], case_id: str, reporter: Reporter | None = None
) -> Volume:
    """The image ``(C, K, J, I)`` float32 of a case, on the grid of its first file.

    Raises:
        InputError: a file is missing or broken, is 2D, holds voxels that are not finite, or the number of
            channels is not that of the data set.
    """
    image = read_image(paths, reporter=reporter)
    check_channels(image, channels, case_id)
    return image


def check_channels(image: Volume, channels: Sequence[tuple[str, str]], case_id: str) -> None:
    """Refuse an image with another number of channels than the data set has.

    Raises:
        InputError: as above.
    """
    if image.channels != len(channels):
        names = shortened(name for name, _ in channels)
        hint = "Give one file per channel, or one 4D file with all of them."
        if len(channels) == 1:
            hint = f"Give one 3D image; of a 4D file the volume that is the {names}."
        raise InputError(
            f"{case_id} has {counted(image.channels)}; the data set has {counted(len(channels))}: {names}.",
            hint,
        )


def counted(channels: int) -> str:
    """``1 channel``, ``2 channels``."""
    return "1 channel" if channels == 1 else f"{channels} channels"


def read_grid(paths: Sequence[Path]) -> Geometry:
    """The grid of an image: from the header where that is enough, else from the image as a whole.

    Raises:
        InputError: the file is missing, broken or 2D.
    """
    path = paths[0]
    if path.is_file() and path.suffix.lower() != ".dcm":
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        with suppress(RuntimeError):  # sheared or broken: read_volume knows what to do or say
            reader.ReadImageInformation()
            size = reader.GetSize()[:3]
            if len(size) == 3 and min(size) > 1:
                return Geometry((size[2], size[1], size[0]), itk_affine(reader))
    return read_volume(path).geometry


def read_case_labels(
    path: Path, annotated: Annotation, labels: LabelSet, case_id: str, like: Geometry | None = None
) -> Volume:
    """The labelmap of a case, with 255 in every voxel that nobody annotated.

    Raises:
        InputError: the file is missing or broken, lies on another grid than ``like``, holds a value that is
            not declared, or the annotated region does not fit.
    """
    labelmap = read_labelmap(path, like=like)
    check_declared(labelmap, labels, case_id)
    outside = _outside(annotated, labelmap.geometry)
    if outside is None:
        return labelmap
    array = labelmap.array.copy()
    np.copyto(array[0], np.uint8(IGNORE), where=outside)
    return Volume(array, labelmap.geometry)


def check_declared(labelmap: Volume, labels: LabelSet, case_id: str) -> list[int]:
    """The label values that occur; background and 255 left out.

    Raises:
        InputError: the data set does not declare one of them.
    """
    values = values_in(labelmap.array)
    unknown = [value for value in values if value not in labels.values]
    if unknown and not labels:
        names = " ".join(f"--names {value}=NAME" for value in unknown[:3])
        raise InputError(
            f"{case_id} holds the label values {shortened(unknown)}, and the data set does not say yet what any "
            "value means.",
            f"Add {names}{' ...' if len(unknown) > 3 else ''} with the name of each structure.",
        )
    if unknown:
        allowed = shortened(f"{label.value} {label.name}" for label in labels)
        raise InputError(
            f"{case_id} holds the label values {shortened(unknown)}, which the data set does not declare "
            f"(declared: 0 background, {allowed}).",
            "Correct the label, or name the value: --names VALUE=NAME, or in dataset.json.",
        )
    return values


def values_in(labels: np.ndarray) -> list[int]:
    """The values that occur in labels (uint8), background and 255 left out."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    pairs = flat[: flat.size // 2 * 2].view(np.uint16)  # two voxels looked up at a time
    seen = np.zeros((256, 256), bool)
    table = seen.reshape(-1)
    for begin in range(0, pairs.size, _PIECE):
        table[pairs[begin : begin + _PIECE]] = True
    found = {*np.flatnonzero(seen.any(axis=0)), *np.flatnonzero(seen.any(axis=1)), *flat[pairs.size * 2 :]}
    return sorted(int(value) for value in found if value not in (0, IGNORE))


def _outside(annotated: Annotation, geometry: Geometry) -> np.ndarray | None:
    if annotated.region == "mask" and annotated.mask is not None:
        return read_labelmap(annotated.mask, like=geometry).array[0] == 0
    return annotated.outside(geometry.shape)


def voxel_hash(image: Volume) -> str:
    """SHA-256 of shape and float32 values: two copies of a scan agree whatever file or type they are in."""
    digest = hashlib.sha256(str(image.array.shape).encode())
    planes = image.array.reshape(-1, *image.array.shape[2:])
    signed = image.array.dtype.kind == "f"
    for begin in range(0, len(planes), _PLANES):  # a whole CT as float32 takes half a gigabyte
        part = np.ascontiguousarray(planes[begin : begin + _PLANES], dtype=np.float32)
        digest.update((part + np.float32(0) if signed else part).data)  # whole numbers on disk have no -0
    return digest.hexdigest()


def upright_hash(image: Volume, known: str = "") -> str:
    """:func:`voxel_hash` of the image turned to :data:`UPRIGHT`: other programs flip axes when they read or write.

    Args:
        image: the image.
        known: its voxel hash, where it is known.
    """
    if image.geometry.orientation == UPRIGHT:
        return known or voxel_hash(image)
    return voxel_hash(image.reorient(UPRIGHT))


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shortened(items: Iterable[Any], most: int = 8) -> str:
    """The items with commas between them, of a long list only the first."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
