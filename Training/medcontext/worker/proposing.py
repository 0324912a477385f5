"""The request ``propose``: regions of a slice or a box of a volume, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from medcontext.config import StrictModel
from medcontext.events import Reporter
from medcontext.worker.requests import Range, VolumeSpec, WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


class PlaneSpec(StrictModel):
    """One slice of a volume."""

    axis: Literal[0, 1, 2]
    """Array axis across which it lies: 0 is k, 1 is j, 2 is i."""
    index: int = Field(ge=0)
    """Its number along that axis, from 0."""


class ProposeRequest(WorkerRequest):
    """Propose regions."""

    channels: list[VolumeSpec] = Field(min_length=1)
    """The whole volume; one entry for each channel, the grid of the first counts."""
    plane: PlaneSpec | None = None
    """The slice to look at; needed unless a box is given or the volume is small."""
    box: tuple[Range, Range, Range] | None = None
    """Index ranges ``(K, J, I)``, ends excluded, that are looked at; with a plane: the part of the slice."""
    method: Literal["s3net", "superpixels"] = "s3net"
    """A network that learns from this image alone, or superpixels, which are quick."""
    preset: str = "default"
    """Of the network."""
    seed: int = Field(default=0, ge=0)
    """Of all random draws."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    output: Path
    """Folder in which the array of the result is written; who asks makes and removes it."""


def propose(data: Mapping[str, Any], services: Services, reporter: Reporter) -> Result:
    """Propose regions of a slice or a box.

    Returns:
        ``regions``: a ``SharedArray`` uint8 ``(K, J, I)`` of the slice or box alone; ``origin``: the index ``(k, j, i)``
        of its first voxel in the volume; ``facts``: of each region, with indices of the whole volume; ``iterations``,
        ``seconds``, ``device``, ``reduced`` (a sentence, or empty).

    Raises:
        InputError: the request does not fit the volume or itself, or the image cannot be grouped.
        CancelledError: someone asked to stop.
        ResourceError: memory or disk space ran out.
    """
    raise NotImplementedError
