"""The case store: a folder of scans, labels and one ``dataset.json`` that anybody can open."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.data.case import Annotation, Case
from medcontext.data.decathlon import cases_of, channels_of, labels_of, read_index, read_splits
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_image, read_labelmap
from medcontext.labels import IGNORE, LabelSet


class CaseStore:
    """Reads a case store; use :meth:`open`. Writing is in :mod:`medcontext.data.writing`.

    Attributes:
        folder: absolute path of the store.
        name: title of the data set.
        description: what it shows.
        cases: every case, training first, then test, then unlabelled.
        labels: what the label values mean.
        channels: the input channels as (name, modality).
        fewshot: case ids by number of shots, from ``splits.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.reload()

    @classmethod
    def open(cls, folder: Path) -> CaseStore:
        """Open a store or a plain Medical Segmentation Decathlon folder.

        Raises:
            InputError: the folder holds no valid ``dataset.json`` or lists a case twice.
        """
        return cls(folder)

    def reload(self) -> None:
        """Read ``dataset.json`` and ``splits.json`` again."""
        index, splits = read_index(self.folder), read_splits(self.folder)
        self.name, self.description = index.name, index.description
        self.labels: LabelSet = labels_of(index)
        self.channels: list[tuple[str, str]] = channels_of(index)
        self.cases: list[Case] = cases_of(index, splits, self.folder)
        self.fewshot: dict[str, list[str]] = splits.fewshot

    def case(self, case_id: str) -> Case:
        """The case of that id.

        Raises:
            InputError: there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise InputError(f"{self.folder} holds no case '{case_id}'.", "Run 'medcontext data check' on it.")

    def read_image(self, case: Case, reporter: Reporter | None = None) -> Volume:
        """The image ``(C, K, J, I)`` float32 in scanner units, as stored (not reoriented).

        Raises:
            InputError: a file is missing or broken, is 2D, holds voxels that are not finite, or the number of
                channels is not that of the store.
        """
        image = read_image(case.images, reporter=reporter)
        if image.channels != len(self.channels):
            names = shortened(name for name, _ in self.channels)
            raise InputError(
                f"{case.id} has {image.channels} channels; the data set has {len(self.channels)}: {names}.",
                "Give one file per channel, or one 4D file.",
            )
        broken = image.array.size - int(np.count_nonzero(np.isfinite(image.array)))
        if broken:
            raise InputError(
                f"The image of case {case.id} holds {broken} voxels that are not finite numbers.",
                "Re-export the image or leave the case out.",
            )
        return image

    def read_labels(self, case: Case, like: Geometry | None = None) -> Volume:
        """The labelmap (1 channel, uint8) as stored, with 255 in every voxel that nobody annotated.

        Labels that ``case.annotated.labels`` does not list are unknown in the case: their voxels carry 0, and
        training merges the class into background.

        Args:
            case: a case with a label.
            like: grid of the image, when it should be compared.

        Raises:
            InputError: there is no label, it is broken, lies on another grid than ``like``, holds a value
                that the store does not declare, or its annotated region does not fit.
        """
        if case.label is None:
            raise InputError(f"Case {case.id} has no label.")
        labelmap = read_labelmap(case.label, like=like)
        present = np.flatnonzero(np.bincount(labelmap.array.ravel(), minlength=256))
        unknown = [int(value) for value in present if value not in (0, IGNORE, *self.labels.values)]
        if unknown:
            allowed = shortened(f"{label.value} {label.name}" for label in self.labels)
            raise InputError(
                f"The label of case {case.id} holds the values {shortened(unknown)} that the data set does not declare "
                f"(declared: 0 background, {allowed}).",
                "Correct the label, or name the value in dataset.json.",
            )
        outside = self._outside(case, labelmap.geometry)
        if outside is None:
            return labelmap
        array = labelmap.array.copy()
        array[0, outside] = IGNORE
        return Volume(array, labelmap.geometry)

    def _outside(self, case: Case, geometry: Geometry) -> np.ndarray | None:
        annotation: Annotation = case.annotated
        if annotation.mask is not None and annotation.region == "mask":
            return read_labelmap(annotation.mask, like=geometry).array[0] == 0
        return annotation.outside(geometry.shape)


def shortened(items: Iterable[Any], most: int = 8) -> str:
    """The items with commas between them, of a long list only the first."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
