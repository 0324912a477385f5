"""The request ``dicom_seg``: a labelmap and the scan it belongs to become a DICOM file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.exchange import SharedArray
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet
from medcontext.worker.requests import Row, WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services


class DicomSegRequest(WorkerRequest):
    """Write a DICOM SEG."""

    labelmap: dict[str, Any]
    """A ``SharedArray`` of whole numbers, ``(K, J, I)`` or, for segments that overlap, ``(layers, K, J, I)``."""
    affine: tuple[Row, Row, Row, Row]
    """From ``(i, j, k, 1)`` to LPS millimetres."""
    labels: list[dict[str, Any]] = Field(min_length=1)
    """{value, name, color, terminology} of each label; further keys are not looked at."""
    by_hand: list[int] = Field(default_factory=list)
    """Values of labels that a person made."""
    sources: list[Path] = Field(min_length=1)
    """The DICOM files of the scan."""
    output: Path
    """The file to write, ending in ``.dcm``."""
    series_description: str = ""
    """Of the new series; the model's name when empty."""
    model: str = "MedContext"
    """Name of the model that made the segments."""
    version: str = "unknown"
    """Version of the model."""
    facts: dict[str, str] = Field(default_factory=dict)
    """Further facts about how the segments were made."""


def dicom_seg(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """Write a DICOM SEG; the result says which segments it holds and which were empty.

    Raises:
        InputError: the labelmap does not lie on the scan, or a package is missing.
        CancelledError: someone asked to stop.
        ResourceError: the disk is full.
    """
    from medcontext.io.dicom_codes import Algorithm
    from medcontext.io.dicom_seg import write_dicom_seg

    request = DicomSegRequest.parse(data, "The request 'dicom_seg'")
    array = SharedArray.from_json(request.labelmap).open()
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4:
        raise InputError(f"A labelmap has the axes (K, J, I), or layers before them, not {array.shape}.")
    shape = (array.shape[1], array.shape[2], array.shape[3])
    written = write_dicom_seg(
        request.output,
        Volume(array, Geometry(shape, np.array(request.affine))),
        _labels(request.labels),
        request.sources,
        Algorithm(request.model, request.version, request.facts),
        by_hand=frozenset(request.by_hand),
        series_description=request.series_description,
        reporter=reporter,
    )
    return {"file": str(written.file), "written": list(written.written), "empty": list(written.empty)}


def _labels(entries: list[dict[str, Any]]) -> LabelSet:
    try:
        return LabelSet.from_json(entries)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"The labels of the request are malformed: {error!r}.") from error
