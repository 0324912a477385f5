"""The request ``propose``: regions of a slice or a box of a volume, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from medcontext.config import StrictModel
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.resample import join_channels
from medcontext.worker.arrays import open_volume
from medcontext.worker.requests import Range, VolumeSpec, WorkerRequest
from medcontext.worker.segmenting import check_output, write_result
from medcontext.workflows.proposal import ProposalOptions, propose_regions, settings
from medcontext.workflows.slice_choice import Plane, cut, extent

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
    preset: str | None = None
    """Of the network; what suits the image when null."""
    clusters: int | None = Field(default=None, ge=2, le=64)
    """Kinds of what is shown that are told apart; the usual number when null."""
    seed: int = Field(default=0, ge=0)
    """Of all random draws."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    output: Path
    """Folder in which the array of the result is written; who asks makes and removes it."""


def propose(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """Propose regions of a slice or a box.

    Returns:
        ``regions``: a ``SharedArray`` uint8 ``(K, J, I)`` of the slice or box alone; ``origin``: index ``(k, j, i)``
        of its first voxel in the volume; ``facts``: of each region, with indices of the whole volume; ``iterations``,
        ``seconds``, ``device``, ``reduced`` (a sentence, or empty).

    Raises:
        InputError: the request does not fit the volume or itself, or the image cannot be grouped.
        CancelledError: someone asked to stop.
        ResourceError: memory or disk space ran out.
    """
    request = ProposeRequest.parse(data, "The request 'propose'")
    check_output(request.output)
    options = ProposalOptions(
        method=request.method,
        preset=request.preset,
        seed=request.seed,
        clusters=request.clusters,
        device=request.device,
    )
    settings(options)
    volume = join_channels(_channels(request, reporter), reporter)
    plane = None if request.plane is None else Plane(request.plane.axis, request.plane.index)
    box = request.box and tuple(slice(start, stop) for start, stop in request.box)
    part = extent(volume.shape, plane, box, "Choose a slice or a region.")  # type: ignore[arg-type]
    proposal = propose_regions(cut(volume, part), options, reporter)
    origin = (part[0].start, part[1].start, part[2].start)
    return {
        "regions": write_result(request.output, "regions", proposal.regions, reporter).to_json(),
        "origin": list(origin),
        "facts": proposal.facts_from(origin),
        "iterations": proposal.iterations,
        "seconds": proposal.seconds,
        "device": proposal.device,
        "reduced": proposal.reduced,
    }


def _channels(request: ProposeRequest, reporter: Reporter) -> Iterator[tuple[str, Volume]]:
    for number, spec in enumerate(request.channels, 1):
        reporter.check_cancelled()
        yield f"Channel {number}", open_volume(spec)
