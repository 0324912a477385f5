"""Reading the files of a case and refusing what nobody could learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.data.case import Annotation
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_image, read_labelmap
from medcontext.labels import IGNORE, LabelSet


def read_case_image(
    paths: Sequence[Path], channels: Sequence[tuple[str, str]], case_id: str, reporter: Reporter | None = None
) -> Volume:
    """The image ``(C, K, J, I)`` float32 of a case, on the grid of its first file.

    Raises:
        InputError: a file is missing or broken, is 2D, holds voxels that are not finite, or the number of
            channels is not that of the data set.
    """
    image = read_image(paths, reporter=reporter)
    if image.channels != len(channels):
        names = shortened(name for name, _ in channels)
        raise InputError(
            f"{case_id} has {image.channels} channels; the data set has {len(channels)}: {names}.",
            "Give one file per channel, or one 4D file.",
        )
    broken = image.array.size - int(np.count_nonzero(np.isfinite(image.array)))
    if broken:
        raise InputError(
            f"The image of {case_id} holds {broken} voxels that are not finite numbers.",
            "Re-export the image or leave the case out.",
        )
    return image


def read_case_labels(
    path: Path, annotated: Annotation, labels: LabelSet, case_id: str, like: Geometry | None = None
) -> Volume:
    """The labelmap of a case, with 255 in every voxel that nobody annotated.

    Raises:
        InputError: the file is missing or broken, lies on another grid than ``like``, holds a value that is
            not declared, or the annotated region does not fit.
    """
    labelmap = read_labelmap(path, like=like)
    unknown = [value for value in values_in(labelmap) if value not in labels.values]
    if unknown:
        allowed = shortened(f"{label.value} {label.name}" for label in labels)
        raise InputError(
            f"{case_id} holds the label values {shortened(unknown)}, which the data set does not declare "
            f"(declared: 0 background, {allowed}).",
            "Correct the label, or name the value in dataset.json.",
        )
    outside = _outside(annotated, labelmap.geometry)
    if outside is None:
        return labelmap
    array = labelmap.array.copy()
    array[0, outside] = IGNORE
    return Volume(array, labelmap.geometry)


def values_in(labelmap: Volume) -> list[int]:
    """The label values that occur, background and 255 left out."""
    found = np.flatnonzero(np.bincount(labelmap.array.ravel(), minlength=256))
    return [int(value) for value in found if value not in (0, IGNORE)]


def _outside(annotated: Annotation, geometry: Geometry) -> np.ndarray | None:
    if annotated.region == "mask" and annotated.mask is not None:
        return read_labelmap(annotated.mask, like=geometry).array[0] == 0
    return annotated.outside(geometry.shape)


def voxel_hash(image: Volume) -> str:
    """SHA-256 of shape and values: two copies of a scan agree whatever file they are in."""
    digest = hashlib.sha256(str(image.array.shape).encode())
    digest.update(np.ascontiguousarray(image.array, dtype=np.float32).data)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shortened(items: Iterable[Any], most: int = 8) -> str:
    """The items with commas between them, of a long list only the first."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
