"""Reading a case: onto a rectangular grid, whatever the planes of a scanner were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from medcontext.batch.case import BatchCase
from medcontext.batch.identifiers import scrub, silence_dicom_libraries
from medcontext.devices import is_out_of_memory
from medcontext.errors import InputError, MedContextError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_volume
from medcontext.io.dicom import arrange_series, load_arranged
from medcontext.io.dicom_folder import DicomSeries, read_header
from medcontext.io.images import check_finite
from medcontext.io.itk import RAN_OUT
from medcontext.io.slices import Arrangement
from medcontext.resample import join_channels, resample_to_grid

Odd = Literal["resample", "refuse"]

_NAME = "The series"
_ROUNDING = 1e-6
"""Pixels by which a plane may leave the grid: places in headers are rounded."""
_UNFORESEEN = (OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class ReadCase:
    """A case in memory.

    Attributes:
        image: float32 ``(C, K, J, I)`` on a rectangular grid.
        native: the sheared grid of the planes of a tilted series, for results that must lie on them; None where the
            image lies on its own planes.
    """

    image: Volume
    native: Geometry | None


def read_case(case: BatchCase, reporter: Reporter, *, odd: Odd) -> ReadCase:
    """Read all channels of a case; what is said and raised is free of identifiers where the case asks for it.

    Args:
        case: its remarks are not told here.
        reporter: is warned of slices that were resampled.
        odd: ``resample`` brings tilted and uneven slices onto a rectangular grid; ``refuse`` raises.

    Raises:
        InputError: the case is in trouble, a file is missing, damaged or has changed its kind, slices do not form a
            volume, the channels do not overlap, or slices are odd and that is refused.
        CancelledError: the reporter said so.
        MemoryError, RuntimeError: memory ran out (see :func:`ran_out_of_memory`); these are not free of identifiers.
    """
    if case.trouble:
        raise InputError(case.trouble)
    if not case.private:
        return _read(case, reporter, odd)
    silence_dicom_libraries()
    try:
        return _read(case, _discreet(case, reporter), odd)
    # Not chained: the message of the cause names files, and files patients.
    except MedContextError as error:
        raise type(error)(scrub(error.message, case), scrub(error.hint, case)) from None
    except _UNFORESEEN as error:
        if ran_out_of_memory(error):
            raise
        raise InputError(scrub(f"The case cannot be read: {type(error).__name__}: {error}.", case)) from None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether main memory, or that of a device, was not enough, as libraries report it."""
    return is_out_of_memory(error) or (isinstance(error, RuntimeError) and RAN_OUT in str(error))


def _discreet(case: BatchCase, reporter: Reporter) -> Reporter:
    """A reporter that leaves out what must not be told of a case."""

    def sink(event: Event) -> None:
        told = {key: scrub(value, case) if isinstance(value, str) else value for key, value in event.items()}
        if reporter.case is not None:
            told["case"] = reporter.case
        reporter.emit(**told | {"event": event["event"]})

    return Reporter(sink, lambda: reporter.cancelled, reporter.run_id)


def _read(case: BatchCase, reporter: Reporter, odd: Odd) -> ReadCase:
    native: list[Geometry | None] = []

    def channels() -> Iterator[tuple[str, Volume]]:
        series = (case.series, *case.more_series)
        for number, path in enumerate(case.paths):
            files = series[number] if number < len(series) else ()
            name = str(path) if not files else _NAME if len(case.paths) == 1 else f"Channel {number + 1}"
            volume, planes = (
                _series(files, name, reporter, odd) if files else (read_volume(path, reporter), None)
            )
            native.append(planes)
            yield name, volume

    return ReadCase(join_channels(channels(), reporter), native[0])


def _series(files: Sequence[Path], name: str, reporter: Reporter, odd: Odd) -> tuple[Volume, Geometry | None]:
    """A DICOM series on a rectangular grid, and the grid of its planes where that is another."""
    images = [read_header(file) for file in files]
    found = tuple(image for image in images if image is not None)
    if len(found) < len(images):
        raise InputError(
            f"{len(images) - len(found)} of the {len(images)} files of the series are missing or damaged.",
            "Copy or export the series again.",
        )
    series = DicomSeries(found)
    arranged = arrange_series(series, name)
    if arranged is not None:
        _speak(arranged, reporter, odd)
    volume = load_arranged(series, arranged, reporter)
    check_finite(volume.array, name)
    if arranged is None or not arranged.tilted:
        return volume, None
    return upright(volume), volume.geometry


def _speak(arranged: Arrangement, reporter: Reporter, odd: Odd) -> None:
    """Tell what is odd about slices, or refuse them for it."""
    if odd == "refuse" and (arranged.tilted or arranged.uneven):
        first = arranged.tilted + "." if arranged.tilted else arranged.uneven.partition(":")[0] + "."
        raise InputError(first, "Odd slices are refused in this run; --odd resample takes them.")
    if arranged.tilted:
        reporter.warning(f"{arranged.tilted}: its slices were resampled onto a rectangular grid.")
    if arranged.uneven:
        reporter.warning(arranged.uneven)


def upright(volume: Volume) -> Volume:
    """A sheared volume on a rectangular grid with the same planes, wide enough for all of them.

    Each plane is moved within itself only, by linear interpolation; the first is copied. What lies outside of the
    planes has their smallest value.
    """
    i, j, k = volume.geometry.affine[:3, :3].T
    normal = np.cross(i, j) / np.linalg.norm(np.cross(i, j))
    up = (k @ normal) * normal
    steps = np.linalg.lstsq(np.stack([i, j], axis=1), k - up, rcond=None)[0]  # pixels from plane to plane
    course = steps * (volume.shape[0] - 1)
    low, high = np.floor(np.minimum(course, 0) + _ROUNDING), np.ceil(np.maximum(course, 0) - _ROUNDING)
    wider = (high - low).astype(int)
    affine = volume.geometry.affine.copy()
    affine[:3, 2] = up
    affine[:3, 3] += low[0] * i + low[1] * j
    shape = (volume.shape[0], volume.shape[1] + int(wider[1]), volume.shape[2] + int(wider[0]))
    return resample_to_grid(volume, Geometry(shape, affine), order=1, fill=float(volume.array.min()))
