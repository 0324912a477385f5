"""What each request takes. Unknown keys are errors: a misspelt option must not be ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medcontext.config import StrictModel

Range = tuple[int, int]
Row = tuple[float, float, float, float]


class WorkerRequest(StrictModel):
    """Base of all requests."""

    request: str
    """Kind of the request."""
    id: str
    """Text that all events of the request carry."""


class VolumeSpec(StrictModel):
    """One input channel in memory shared through a file."""

    array: dict[str, Any]
    """A ``SharedArray`` of numbers, ``(K, J, I)``."""
    axis_order: Literal["KJI"] = "KJI"
    """Order of the array's axes."""
    affine: tuple[Row, Row, Row, Row]
    """From ``(i, j, k, 1)`` to LPS millimetres."""


class ModelRequest(WorkerRequest):
    """What a model is asked to do with an image."""

    model: str
    """Library id or folder."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16."""
    channels: list[VolumeSpec] = Field(min_length=1)
    """Input channels in the model's order; the grid of the first counts."""
    certainty: Literal["none", "entropy", "masked"] = "none"
    """Whether a map of certainty is wanted, and of which kind."""
    low_memory: bool = False
    """Compute in the way that needs least memory."""
    output: Path
    """Folder in which result arrays are written; who asks makes and removes it."""
    labels: list[int] | None = None
    """Label values wanted; all when null."""


class SegmentRequest(ModelRequest):
    """Segment an image."""

    box: tuple[Range, Range, Range] | None = None
    """Index ranges ``(K, J, I)`` of the first channel, ends excluded, that the result is restricted to."""


class RedoRequest(ModelRequest):
    """Segment a part of an image again in another way."""

    form: Literal["finer", "context", "model"]
    """finer: windows centred on the region, more overlap; context: the image inside the region is hidden from
    the network; model: by another model."""
    region: dict[str, Any]
    """A ``SharedArray`` of the same shape as the first channel; what is not zero is done again."""


class AdaptRequest(ModelRequest):
    """Learn from a correction, and segment the image again."""

    box: tuple[Range, Range, Range] | None = None
    """As for segmenting: what the answer before was restricted to."""
    labelmap: dict[str, Any] | None = None
    """A ``SharedArray`` uint8 of the same shape as the first channel: the model's answer before the correction; the
    model is asked again when null."""
    corrected: dict[str, Any]
    """The same as it is now; 255 where that is not known."""
    region: dict[str, Any] | None = None
    """What is not zero was looked at in earlier corrections, beside what this one shows by itself."""
    seconds: float = Field(default=30.0, gt=0)
    """Time for learning; fewer when it is done before."""
    seed: int = Field(default=0, ge=0)
    """Of patches and their changes."""


class WarmRequest(WorkerRequest):
    """Get ready before the first click."""

    model: str | None = None
    """Library id or folder; torch alone is loaded when null."""
    device: str = "auto"
    """As for segmenting."""
    precision: str = "auto"
    """As for segmenting."""


class ReleaseRequest(WorkerRequest):
    """Let go of models and device memory."""


class DoctorRequest(WorkerRequest):
    """Look at the machine."""
