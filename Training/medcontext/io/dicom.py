"""Reading the slices of a DICOM series into a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io.dicom_folder import DicomImage, DicomSeries
from medcontext.io.dicom_planes import arrange_frames
from medcontext.io.itk import itk_affine, raise_if_too_large
from medcontext.io.slices import Arrangement, arrange


def load_series(series: DicomSeries, reporter: Reporter) -> Volume:
    """Read the slices into a float32 volume, in the order in which they lie in the patient.

    The grid is the one the slices were taken on, sheared where the gantry was tilted; uneven slices are
    interpolated onto even ones. Both are told to the reporter.

    Raises:
        InputError: a file is damaged, places are missing or shared, or slices do not form a volume.
        MemoryError: the series takes more memory than there is.
    """
    arranged = arrange_series(series, f"{series.files[0].path.parent}: {series.title}")
    for remark in () if arranged is None else arranged.remarks:
        reporter.warning(remark)
    return load_arranged(series, arranged, reporter)


def arrange_series(series: DicomSeries, name: str) -> Arrangement | None:
    """How the slices of a series become a volume; None for one file that holds all of them and does not place each.

    Args:
        series: at least two slices.
        name: what to call it in messages.

    Raises:
        InputError: places are missing or shared, slices do not form a volume, or a file that holds all of them needs
            pydicom, which is not installed.
    """
    first = series.files[0]
    if first.size[2] > 1:
        return arrange_frames(first.path, name)
    if first.axes is None or any(image.position is None for image in series.files):
        raise InputError(f"{name} does not say where its slices lie.", "Export it again.")
    positions = np.array([image.position for image in series.files])
    return arrange(positions, np.array(first.axes).reshape(2, 3), first.spacing, name)


def load_arranged(series: DicomSeries, arranged: Arrangement | None, reporter: Reporter) -> Volume:
    """Read the slices onto the grid that was found for them.

    Args:
        series: of slices, or of one file that holds all of them.
        arranged: as :func:`arrange_series` gives it.
        reporter: told of progress.

    Raises:
        InputError: a file is damaged or holds colours.
        MemoryError: the series takes more memory than there is.
    """
    if series.files[0].size[2] > 1:
        volume = _load_frames(series.files[0])
        if arranged is None:
            return volume
        array = arranged.evened(volume.array[:, arranged.order])  # ITK hands frames out as they are stored
        return Volume(array, Geometry((array.shape[1], *volume.shape[1:]), arranged.affine))
    if arranged is None:
        raise ValueError("Slices in a file each were not arranged.")
    return _load_slices(series, arranged, reporter)


def _load_slices(series: DicomSeries, arranged: Arrangement, reporter: Reporter) -> Volume:
    ordered = [series.files[index].path for index in arranged.order]
    columns, rows, _ = series.files[0].size
    array = np.empty((1, len(ordered), rows, columns), np.float32)
    for number, path in enumerate(ordered):
        reporter.check_cancelled()
        _read_plane(path, array[0, number])
        if number % 50 == 49:
            reporter.progress("reading DICOM", (number + 1) / len(ordered))
    array = arranged.evened(array)
    return Volume(array, Geometry((array.shape[1], rows, columns), arranged.affine))


def _load_frames(image: DicomImage) -> Volume:
    """One file that holds all slices (enhanced CT or MR), placed by ITK."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image.path))
    reader.SetImageIO("GDCMImageIO")
    try:
        volume = reader.Execute()
    except RuntimeError as error:
        raise_if_too_large(error, image.path)
        raise InputError(f"{image.path} is truncated or damaged.", "Export it again.") from error
    _refuse_colour(volume.GetNumberOfComponentsPerPixel(), image.path)
    array = sitk.GetArrayViewFromImage(volume).astype(np.float32)[None]
    columns, rows, frames = image.size
    return Volume(array, Geometry((frames, rows, columns), itk_affine(volume)))


def _read_plane(path: Path, target: np.ndarray) -> None:
    """Fill ``(J, I)`` with the rescaled values of one slice: by GDCM, else by pydicom."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise_if_too_large(error, path)
        target[...] = _read_plane_with_pydicom(path)
        return
    _refuse_colour(image.GetNumberOfComponentsPerPixel(), path)
    target[...] = sitk.GetArrayViewFromImage(image)[0]


def _read_plane_with_pydicom(path: Path) -> np.ndarray:
    try:
        import pydicom
    except ImportError as error:
        raise InputError(
            f"{path} is damaged or compressed in a way that GDCM cannot read.",
            "Install pydicom and pylibjpeg, or export the series uncompressed.",
        ) from error
    try:
        data = pydicom.dcmread(path)
        pixels = data.pixel_array
    except (AttributeError, EOFError, NotImplementedError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} is damaged or in an unknown compression.", "Export it again.") from error
    _refuse_colour(int(data.get("SamplesPerPixel", 1)), path)
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    return pixels.astype(np.float32) * slope + intercept


def _refuse_colour(components: int, path: Path) -> None:
    if components > 1:
        raise InputError(f"{path} is a colour picture; grey values are needed.", "Choose a CT or MR series.")
