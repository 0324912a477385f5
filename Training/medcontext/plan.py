"""What preprocessing and the network must agree on: decided once from the data, stored beside the weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field

from medcontext.config import StrictModel
from medcontext.labels import LabelSet

Spacing = tuple[float, float, float]
Size = tuple[int, int, int]

STORED = "stored"
"""The orientation of a model whose images stay as they lie in their file."""


class Intensity(StrictModel):
    """How one channel's grey values become network input."""

    kind: Literal["zscore", "ct", "rescale", "none"] = "zscore"
    """zscore: per case, clipped to the percentiles; ct: clip and scale by data-set statistics;
    rescale: per case, percentiles to 0..1; none: as they are."""
    percentiles: tuple[float, float] = (0.5, 99.5)
    """Per-case clipping percentiles of zscore and rescale."""
    low: float | None = None
    """ct: lower clip in HU."""
    high: float | None = None
    """ct: upper clip in HU."""
    mean: float | None = None
    """ct: mean subtracted, in HU."""
    std: float | None = None
    """ct: divisor, in HU."""
    within_nonzero: bool = False
    """zscore: statistics of the voxels that are not zero in every channel, holes filled; the others become zero."""


class Channel(StrictModel):
    """One input channel."""

    name: str
    """Name shown to the user, such as FLAIR."""
    modality: str
    """Modality as the data set calls it, such as MRI or CT."""
    intensity: Intensity = Intensity()
    """Normalisation of this channel."""


class NetworkSpec(StrictModel):
    """A registered network and its plain keyword arguments."""

    name: str
    """Name in the registry."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the builder: numbers, strings, lists."""


class ResamplePlan(StrictModel):
    """How images reach the model's spacing and logits come back."""

    order: Literal[1, 3] = 1
    """Interpolation order of images: linear or cubic spline; logits come back linearly."""
    separate_z: int | None = None
    """Array axis (0..2) that is interpolated by nearest neighbour because it is coarse, or None."""
    coarse_axis: Literal["fixed", "of_image"] = "fixed"
    """fixed: ``separate_z`` says it; of_image: chosen for each image, as nnU-Net does: the coarsest axis of the image
    where it is more than 3 times as coarse as the finest, else that of the model's grid likewise."""
    kept_axis: int | None = None
    """Array axis that keeps the image's spacing, of models that look at single slices; or None."""


class Fingerprint(StrictModel):
    """The facts of the training data that the plan was made from."""

    cases: int
    """Number of labelled cases looked at."""
    median_shape: Size
    """Median shape in voxels at the planned spacing, (K, J, I)."""
    median_spacing: Spacing
    """Median spacing in mm of the reoriented images, (K, J, I)."""
    spacing_range: tuple[Spacing, Spacing]
    """Smallest and largest spacing in mm."""
    field_of_view_range: tuple[Spacing, Spacing]
    """Smallest and largest extent in mm."""
    anisotropy: float
    """Largest over smallest median spacing."""


class Plan(StrictModel):
    """Everything that training and prediction must do alike. Per-axis values are in array order (K, J, I)."""

    schema_version: Literal[1] = 1
    channels: list[Channel]
    """Input channels in order."""
    labels: list[dict[str, Any]]
    """Labels as in model.json; network channel n+1 is the n-th label."""
    spacing: Spacing
    """Spacing in mm that images are resampled to."""
    orientation: str = "LPS"
    """Orientation of (i, j, k) that images are brought to; ``stored`` leaves them as they are in their file."""
    transpose: Size = (0, 1, 2)
    """Array axes of the image in that orientation, in the network's order; all else is along the axes after that."""
    crop_to_nonzero: bool = False
    """Whether everything outside of the box of voxels that are not zero is cut off first."""
    patch_size: Size
    """Voxels the network sees at once."""
    batch_size: int = Field(ge=1)
    """Patches per step over all processes."""
    steps: int = Field(ge=1)
    """Recommended optimiser steps where no budget is given."""
    allowed_flips: list[int] = Field(default_factory=list)
    """Array axes along which mirrored anatomy is still anatomy."""
    flip_pairs: list[tuple[int, int]] = Field(default_factory=list)
    """Label values that swap when mirrored along the left-right axis."""
    resample: ResamplePlan = ResamplePlan()
    network: NetworkSpec
    """Network with strides and kernels that fit the patch."""
    fingerprint: Fingerprint

    @property
    def label_set(self) -> LabelSet:
        """The labels as objects."""
        return LabelSet.from_json(self.labels)

    @property
    def classes(self) -> int:
        """Network output channels: the labels and background."""
        return len(self.labels) + 1

    def preprocessing_hash(self) -> str:
        """Hash of what changes the preprocessed arrays: two plans with the same hash share a cache."""
        keys = ("channels", "labels", "spacing", "orientation", "transpose", "crop_to_nonzero", "resample")
        return _hash({key: self.model_dump(mode="json")[key] for key in keys})

    def hash(self) -> str:
        """Hash of the whole plan."""
        return _hash(self.model_dump(mode="json"))


_ADDED: dict[str, Any] = {
    "transpose": [0, 1, 2],
    "crop_to_nonzero": False,
    "coarse_axis": "fixed",
    "kept_axis": None,
    "within_nonzero": False,
}
"""Fields that the first plans did not have. At these values they do not count, so that their hashes still hold."""


def _hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(_said(data), sort_keys=True).encode()).hexdigest()[:16]


def _said(data: Any) -> Any:
    """The data without what :data:`_ADDED` takes for granted."""
    if isinstance(data, dict):
        return {key: _said(value) for key, value in data.items() if key not in _ADDED or value != _ADDED[key]}
    return [_said(value) for value in data] if isinstance(data, list) else data
