"""The request ``batch_case``: a finished case of a batch, its scan and its result as arrays in files."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from medcontext.batch.case import BatchCase
from medcontext.events import Reporter
from medcontext.exchange import SharedArray, write_array
from medcontext.worker.requests import WorkerRequest

if TYPE_CHECKING:
    from medcontext.worker.handlers import Result, Services

_SHORT = np.iinfo(np.int16)


class BatchCaseRequest(WorkerRequest):
    """Read a finished case of a batch."""

    case: str
    """Its id."""
    paths: list[Path] = Field(min_length=1)
    """One for each channel, as ``sources.json`` has them."""
    series: list[Path] = Field(default_factory=list)
    """The files of the DICOM series of the (first) channel."""
    more_series: list[list[Path]] = Field(default_factory=list)
    """Those of further channels."""
    labelmap: Path
    """The result: ``.nii.gz`` or ``.seg.nrrd``."""
    odd: Literal["resample", "refuse"] = "resample"
    """What the batch did with scans on tilted or uneven planes."""
    keep_identifiers: bool = False
    """Whether what goes wrong may be said with names of patients and folders."""
    output: Path
    """Folder in which arrays are written; who asks makes and removes it."""


def batch_case(data: Mapping[str, Any], _services: Services, reporter: Reporter) -> Result:
    """The channels and the label map of a case on one grid: that on which the batch segmented.

    Channels of whole numbers are sent as int16 where they fit, else as float32.

    Raises:
        InputError: a file is gone, was changed to another grid, or cannot be read.
        CancelledError: someone asked to stop.
        ResourceError: the disk is full.
    """
    request = BatchCaseRequest.parse(data, "The request 'batch_case'")
    case = BatchCase(
        id=request.case,
        paths=tuple(request.paths),
        series=tuple(request.series),
        more_series=tuple(map(tuple, request.more_series)),
        private=() if request.keep_identifiers or not request.series else _folders(request),
    )
    return _read(case, request, reporter)


def _read(case: BatchCase, request: BatchCaseRequest, reporter: Reporter) -> Result:
    from medcontext.batch.reading import read_case
    from medcontext.io import read_labelmap
    from medcontext.worker.findings import find_labels

    # What was odd about the scan stands in the ledger already.
    image = read_case(case, reporter.silent(), odd=request.odd).image
    labels = read_labelmap(request.labelmap, image.geometry).array[0]
    sent = [
        _send(request.output, f"channel-{number}", _compact(channel), reporter)
        for number, channel in enumerate(image.array)
    ]
    return {
        "channels": [array.to_json() for array in sent],
        "affine": image.geometry.affine.tolist(),
        "labelmap": _send(request.output, "labelmap", labels, reporter).to_json(),
        "found": {value: found._asdict() for value, found in find_labels(labels).items()},
    }


def _send(folder: Path, name: str, array: np.ndarray, reporter: Reporter) -> SharedArray:
    return write_array(folder / f"{name}-{secrets.token_hex(4)}.raw", array, reporter.check_cancelled)


def _compact(channel: np.ndarray) -> np.ndarray:
    """The same values in half the room, where they are whole numbers as scanners make them."""
    if not (channel.min() >= _SHORT.min and channel.max() <= _SHORT.max):
        return channel
    whole = channel.astype(np.int16)
    return whole if np.array_equal(whole, channel) else channel


def _folders(request: BatchCaseRequest) -> tuple[str, ...]:
    """The names of all folders and files of a case: reading it takes them out of what it says."""
    files = [*request.paths, *request.series, *(file for series in request.more_series for file in series)]
    names = {part for file in files for part in file.parts[1:]}
    return tuple(sorted(name for name in names if len(name) > 1))
