"""One case of a data set: its files, who it belongs to, and what of it was annotated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medcontext.dataset_form import check_region
from medcontext.errors import InputError
from medcontext.geometry import Triple

SplitName = Literal["training", "test", "unlabelled"]
SliceAxis = Literal["k", "j", "i"]


@dataclass(frozen=True)
class Annotation:
    """What of a case a person looked at; nobody paints 300 slices.

    Attributes:
        labels: label values that were annotated; any other is unknown here, not absent. None means all.
        region: where voxels were looked at: everywhere, in some slices, or inside a mask.
        slices: with ``slices``: the indices annotated.
        axis: with ``slices``: the axis of the label file they count along (``k`` is the first array axis).
        mask: with ``mask``: the file whose non-zero voxels were annotated, on the grid of the label.

    Raises:
        InputError: the region lacks what it needs.
    """

    labels: tuple[int, ...] | None = None
    region: Literal["whole", "slices", "mask"] = "whole"
    slices: tuple[int, ...] = ()
    axis: SliceAxis = "k"
    mask: Path | None = None

    def __post_init__(self) -> None:
        check_region(self.region, self.slices, self.axis, self.mask is not None)

    def to_json(self, folder: Path) -> dict[str, Any]:
        """The ``annotated`` entry of a case in ``dataset.json``."""
        data: dict[str, Any] = {
            "labels": None if self.labels is None else list(self.labels),
            "region": self.region,
        }
        if self.region == "slices":
            data |= {"axis": self.axis, "slices": list(self.slices)}
        if self.mask is not None:
            data["mask"] = self.mask.relative_to(folder).as_posix()
        return data

    def outside(self, shape: Triple) -> np.ndarray | None:
        """Boolean ``(K, J, I)``, True in slices nobody annotated; None for the other regions.

        Raises:
            InputError: a slice index lies beyond the label.
        """
        if self.region != "slices":
            return None
        outside = np.ones(shape, bool)
        outside[self._where(shape)] = False
        return outside

    def slices_of(self, array: np.ndarray) -> np.ndarray:
        """The annotated slices of ``(K, J, I)``; all of it for the other regions.

        Raises:
            InputError: a slice index lies beyond the label.
        """
        return array[self._where(array.shape)] if self.region == "slices" else array

    def _where(self, shape: tuple[int, ...]) -> tuple[slice | list[int], ...]:
        axis = "kji".index(self.axis)
        if max(self.slices) >= shape[axis]:
            raise InputError(
                f"Annotated slice {max(self.slices)} is too far: axis {self.axis} has {shape[axis]} slices, "
                "counted from 0."
            )
        return (slice(None),) * axis + (list(self.slices),)


@dataclass(frozen=True)
class Case:
    """One scan of a case store.

    Attributes:
        id: unique name in the store.
        images: one file (or DICOM folder) per channel, or one file that holds all channels.
        label: labelmap, or None.
        group: the patient; cases of one group never fall on both sides of a split.
        held_out: kept for scoring for good; never trained on.
        split: the list of ``dataset.json`` (and ``splits.json``) it belongs to.
        annotated: what of the label a person looked at.
        text: report or description in words, may be empty.
        hashes: SHA-256 of each file by its path in the store; empty for a folder this program did not write.
        voxels: SHA-256 of the image's voxel values, by which a second copy is found; may be empty.
        provenance: where the case came from, free form.
    """

    id: str
    images: list[Path]
    label: Path | None = None
    group: str = ""
    held_out: bool = False
    split: SplitName = "training"
    annotated: Annotation = field(default_factory=Annotation)
    text: str = ""
    hashes: dict[str, str] = field(default_factory=dict)
    voxels: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def patient(self) -> str:
        """The group, or the case itself where no patient is known."""
        return self.group or self.id

    @property
    def trainable(self) -> bool:
        """Whether its label may be learnt from."""
        return self.split == "training" and self.label is not None and not self.held_out

    @property
    def files(self) -> list[Path]:
        """Every file of the case."""
        optional = [path for path in (self.label, self.annotated.mask) if path is not None]
        return [*self.images, *optional]
