"""Finding DICOM series in folders and reading their slices into a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io.itk import itk_affine
from medcontext.io.slices import arrange

_NOT_SCANS = {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "DOC"}
_NAMED = 12  # series named in a message before it ends with "and N more"


@dataclass(frozen=True)
class DicomImage:
    """The header of one DICOM file that holds pixels.

    ``position`` (mm, LPS) and ``axes`` (row and column direction, six numbers) are None where the file lacks
    them; ``spacing`` is the distance in mm between columns and between rows; ``size`` is ``(I, J, K)``.
    """

    path: Path
    uid: str
    number: str
    description: str
    modality: str
    position: tuple[float, ...] | None
    axes: tuple[float, ...] | None
    spacing: tuple[float, float]
    size: tuple[int, int, int]


@dataclass(frozen=True)
class DicomSeries:
    """Files that belong to one image: same series, size, direction and pixel spacing."""

    files: tuple[DicomImage, ...]

    @property
    def slices(self) -> int:
        """Number of slices."""
        return len(self.files) * self.files[0].size[2]

    @property
    def title(self) -> str:
        """How a person would name it: number, description, modality, slices."""
        first = self.files[0]
        name = ": ".join(part for part in (first.number, first.description) if part) or first.uid or "unnamed"
        return f"'{name}' ({first.modality or 'unknown modality'}, {self.slices} slices)"

    def answers_to(self, wanted: str) -> bool:
        """Whether ``wanted`` is this series' UID, number or description."""
        first = self.files[0]
        return wanted.strip().casefold() in {first.uid, first.number, first.description.casefold()} - {""}


def looks_like_dicom(path: Path) -> bool:
    """Whether the file has the DICOM mark, or the ending of a DICOM file and content that GDCM accepts."""
    with path.open("rb") as stream:
        if stream.read(132)[128:] == b"DICM":
            return True
    if path.suffix.lower() not in {".dcm", ".ima", ""}:
        return False
    return sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO"


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files directly in a folder, by name."""
    names = (p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "DICOMDIR")
    return sorted(p for p in names if p.is_file() and looks_like_dicom(p))


def list_series(folder: Path, reporter: Reporter | None = None) -> list[DicomSeries]:
    """The series directly in a folder. About 3 ms a file.

    Files that hold no picture (reports, structure sets) or another program's result (SEG, dose) do not count;
    files that cannot be read are left out with a warning.
    """
    reporter = reporter or Reporter()
    images: list[DicomImage] = []
    unread: list[Path] = []
    files = dicom_files(folder)
    for done, path in enumerate(files, start=1):
        reporter.check_cancelled()
        image = read_header(path)
        if image is None:
            unread.append(path)
        elif image.modality not in _NOT_SCANS:
            images.append(image)
        if done % 50 == 0:
            reporter.progress("reading DICOM headers", done / len(files))
    if unread:
        reporter.warning(
            f"{len(unread)} of {len(files)} DICOM files in {folder} hold no readable picture "
            f"and were left out, the first being {unread[0].name}."
        )
    groups: dict[tuple[object, ...], list[DicomImage]] = {}
    for image in images:
        axes = tuple(round(a, 3) for a in image.axes or ())
        alone = image.path if image.size[2] > 1 else None
        key = (image.uid, axes, image.size, tuple(round(s, 4) for s in image.spacing), alone)
        groups.setdefault(key, []).append(image)
    return [DicomSeries(tuple(group)) for group in groups.values()]


def read_header(path: Path) -> DicomImage | None:
    """The header of a DICOM file, or None where it holds no picture that GDCM can read."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None

    def text(tag: str) -> str:
        return reader.GetMetaData(tag).strip() if reader.HasMetaDataKey(tag) else ""

    def numbers(tag: str, count: int) -> tuple[float, ...] | None:
        try:
            values = tuple(float(part) for part in text(tag).split("\\"))
        except ValueError:
            return None
        return values if len(values) == count else None

    rows, columns = numbers("0028|0030", 2) or reader.GetSpacing()[1::-1]
    size = (*reader.GetSize(), 1)
    return DicomImage(
        path=path,
        uid=text("0020|000e"),
        number=text("0020|0011"),
        description=text("0008|103e"),
        modality=text("0008|0060"),
        position=numbers("0020|0032", 3),
        axes=numbers("0020|0037", 6),
        spacing=(columns, rows),
        size=(size[0], size[1], size[2]),
    )


def choose_series(
    found: Sequence[DicomSeries], place: Path, wanted: str | None, reporter: Reporter
) -> DicomSeries:
    """The one series to read: the one ``wanted``, else the only one that is a volume.

    Raises:
        InputError: none, or several, could be meant; the message names them.
    """
    if not found:
        raise InputError(
            f"{place} holds no DICOM image that can be read.", "Choose the folder of a CT or MR."
        )
    if wanted is not None:
        named = [series for series in found if series.answers_to(wanted)]
        if len(named) != 1:
            raise InputError(
                f"'{wanted}' names {len(named)} of the series in {place}, which holds {_titles(found)}.",
                "Give the number, description or UID of one of them.",
            )
        return named[0]
    volumes = [series for series in found if series.slices > 1]
    if len(volumes) > 1:
        raise InputError(
            f"{place} holds {len(volumes)} series: {_titles(volumes)}; one is needed.",
            "Say which by number, description or UID, or choose one of its files.",
        )
    if not volumes:
        raise InputError(f"{place} holds single 2D images only: {_titles(found)}; a volume is needed.")
    if len(found) > 1:
        others = [series for series in found if series is not volumes[0]]
        reporter.warning(f"{place}: read {volumes[0].title} and left out {_titles(others)}.")
    return volumes[0]


def _titles(found: Sequence[DicomSeries]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(series.title for series in found[:_NAMED]) + more


def load_series(series: DicomSeries, reporter: Reporter) -> Volume:
    """Read the slices into a float32 volume, in the order in which they lie in the patient.

    The grid is the one the slices were taken on, sheared where the gantry was tilted; uneven slices are
    interpolated onto even ones. Both are told to the reporter.

    Raises:
        InputError: a file is damaged, places are missing or shared, or slices do not form a volume.
    """
    first = series.files[0]
    if first.size[2] > 1:
        return _load_multiframe(first)
    folder = first.path.parent
    if first.axes is None or any(image.position is None for image in series.files):
        raise InputError(f"{folder}: {series.title} does not say where its slices lie.", "Export it again.")
    positions = np.array([image.position for image in series.files])
    arranged = arrange(
        positions, np.array(first.axes).reshape(2, 3), first.spacing, f"{folder}: {series.title}"
    )
    for remark in arranged.remarks:
        reporter.warning(remark)
    ordered = [series.files[index].path for index in arranged.order]
    columns, rows, _ = first.size
    array = np.empty((1, len(ordered), rows, columns), np.float32)
    for number, path in enumerate(ordered):
        reporter.check_cancelled()
        _read_plane(path, array[0, number])
        if number % 50 == 49:
            reporter.progress("reading DICOM", (number + 1) / len(ordered))
    array = arranged.evened(array)
    return Volume(array, Geometry((array.shape[1], rows, columns), arranged.affine))


def _load_multiframe(image: DicomImage) -> Volume:
    """One file that holds all slices (enhanced CT or MR), placed by ITK."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image.path))
    reader.SetImageIO("GDCMImageIO")
    try:
        volume = reader.Execute()
    except RuntimeError as error:
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
    except RuntimeError:
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
