"""What the requests about case stores take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medcontext.config import StrictModel
from medcontext.worker.requests import VolumeSpec, WorkerRequest


class ChannelSpec(StrictModel):
    """One input channel of a data set."""

    name: str = Field(min_length=1)
    """Name for people, such as T1."""
    modality: str = ""
    """Such as MRI or CT; the name when empty."""


class AnnotatedSpec(StrictModel):
    """What of a scan a person looked at."""

    labels: list[int] | None = None
    """Values that were annotated; all of the store's when null."""
    region: Literal["whole", "slices", "mask"] = "whole"
    """Where: everywhere, in some slices, or inside the mask of the request."""
    axis: Literal["k", "j", "i"] = "k"
    """Axis of the label's array that slices count along."""
    slices: list[int] = Field(default_factory=list)
    """Indices from 0."""


class CreateStoreRequest(WorkerRequest):
    """Start an empty case store."""

    folder: Path
    """Where; made when it is not there."""
    name: str = ""
    """Title; the folder's name when empty."""
    labels: list[dict[str, Any]] = Field(default_factory=list)
    """{value, name, color, terminology} of each structure."""
    channels: list[ChannelSpec] = Field(min_length=1)
    """Input channels, in order."""


class AddCaseRequest(WorkerRequest):
    """Put an image, with or without a label, into a case store."""

    store: Path
    """Folder of the store."""
    images: list[VolumeSpec] = Field(min_length=1)
    """One volume for each channel of the store."""
    label: VolumeSpec | None = None
    """uint8 ``(K, J, I)`` of the store's values, on the grid of the first image; null for an unlabelled scan."""
    annotated: AnnotatedSpec = AnnotatedSpec()
    """What of it is finished."""
    mask: VolumeSpec | None = None
    """Voxels looked at (not zero), on the same grid; wins over ``annotated.region``."""
    new_labels: list[dict[str, Any]] = Field(default_factory=list)
    """Structures that the store does not have yet."""
    case_id: str | None = None
    """Id of the new case; made of ``name`` when null."""
    name: str = ""
    """What a new id is made of, such as the name of the scan's file."""
    held_out: bool = False
    """Never train on it."""
    group: str = ""
    """The patient."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Where it comes from; ``files`` lists the files of the scan, by which a linked scan is recognised."""
    replacing: str | None = None
    """Id of the case whose image and label these replace; null for a new one."""


class EditStoreRequest(WorkerRequest):
    """Take cases out of a store, or keep them for scoring, for good."""

    store: Path
    """Folder of the store."""
    action: Literal["remove", "hold_out"]
    """What to do."""
    cases: list[str] = Field(min_length=1)
    """Ids."""


class AddUnlabelledRequest(WorkerRequest):
    """List scans without labels where they are, without copying them."""

    store: Path
    """Folder of the store."""
    paths: list[Path] = Field(min_length=1)
    """Image files, DICOM folders, or folders of either."""
