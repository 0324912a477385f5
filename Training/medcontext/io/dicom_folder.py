"""Finding DICOM series in folders, from the headers of their files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import SimpleITK as sitk

from medcontext.errors import InputError
from medcontext.events import Reporter

_NOT_SCANS = {"SEG", "RTDOSE"}
"""Modalities that hold pictures, but not of the patient."""
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NO_PICTURE = tuple(_STORAGE + kind for kind in ("4.2", "9.", "11.", "66", "67", "68", "88.", "104.", "481."))
"""Classes without pixels: spectra, waveforms, presentation states, raw data, reports, documents, plans."""
_NAMED = 12  # series named in a message before it ends with "and N more"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True)
class FolderScan:
    """What a folder holds: its series, and the DICOM files that should hold a picture but cannot be read."""

    folder: Path
    series: tuple[DicomSeries, ...]
    damaged: tuple[Path, ...]

    def check(self) -> None:
        """Raise InputError where files are damaged: a slice may be missing from any series."""
        misnamed = [path for path in self.damaged if not has_text_name(path)]
        if misnamed:
            raise InputError(
                f"{printable(self.folder)} holds DICOM files whose names are not UTF-8 text: {len(misnamed)}, "
                f"the first being {printable(misnamed[0].name)}.",
                "Rename files and folders.",
            )
        if self.damaged:
            raise InputError(
                f"{self.folder} holds empty, truncated or damaged DICOM files: {len(self.damaged)}, "
                f"the first being {self.damaged[0].name}.",
                "Copy or export the series again.",
            )


def has_text_name(path: Path) -> bool:
    """Whether a path is text: ITK ends the whole process when it is given a name with bytes that are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(path: Path | str) -> str:
    """A path as text that can be written anywhere; bytes that are no text become question marks."""
    return str(path).encode(errors="replace").decode()


def looks_like_dicom(path: Path) -> bool:
    """Whether a file has the DICOM mark or ending, or at least content that GDCM accepts and no ending."""
    if path.suffix.lower() in {".dcm", ".ima"}:
        return True
    with path.open("rb") as stream:
        if stream.read(132)[128:] == b"DICM":
            return True
    if path.suffix or not has_text_name(path):
        return False
    return bool(sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO")


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files directly in a folder, by name."""
    names = (p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "DICOMDIR")
    return sorted(p for p in names if p.is_file() and looks_like_dicom(p))


def scan_folder(folder: Path, reporter: Reporter | None = None) -> FolderScan:
    """The series directly in a folder, at about 3 ms a file.

    Files without pixels (reports, plans) and those with another program's result (SEG, dose) do not count.
    """
    reporter = reporter or Reporter()
    groups: dict[tuple[object, ...], list[DicomImage]] = {}
    damaged: list[Path] = []
    files = dicom_files(folder)
    for done, path in enumerate(files, start=1):
        reporter.check_cancelled()
        image = read_header(path)
        if image is not None and image.modality not in _NOT_SCANS:
            groups.setdefault(_group(image), []).append(image)
        elif image is None and should_hold_picture(path):
            damaged.append(path)
        if done % 50 == 0:
            reporter.progress("reading DICOM headers", done / len(files))
    series = (DicomSeries(tuple(group)) for group in groups.values())
    return FolderScan(folder, tuple(series), tuple(damaged))


def _group(image: DicomImage) -> tuple[object, ...]:
    """What the slices of one volume share; a file with several slices stands alone."""
    axes = tuple(round(a, 3) for a in image.axes or ())
    spacing = tuple(round(s, 4) for s in image.spacing)
    return image.uid, axes, spacing, image.size, image.path if image.size[2] > 1 else None


def should_hold_picture(path: Path) -> bool:
    """Whether a file that GDCM takes for no picture names a class of pictures, or none at all."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    where = start.find(
        b"\x02\x00\x02\x00UI"
    )  # Media Storage SOP Class UID; this part is always little-endian
    length = int.from_bytes(start[where + 6 : where + 8], "little") if where >= 0 else 0
    uid = start[where + 8 : where + 8 + length].decode("ascii", "replace").strip("\0 ")
    return not uid or (uid.startswith(_STORAGE) and not uid.startswith(_NO_PICTURE))


def read_header(path: Path) -> DicomImage | None:
    """The header of a DICOM file, or None where it holds no picture that GDCM can read."""
    reader = open_header(path)
    return None if reader is None else image_of(path, reader)


def open_header(path: Path) -> sitk.ImageFileReader | None:
    """A reader that knows the header of a DICOM file, or None where it holds no picture that GDCM can read."""
    if not has_text_name(path):
        return None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader


def tag_text(reader: sitk.ImageFileReader, tag: str) -> str:
    """What a header says under a tag such as ``"0010|0020"``; empty where it says nothing."""
    return reader.GetMetaData(tag).strip() if reader.HasMetaDataKey(tag) else ""


def shared_text(reader: sitk.ImageFileReader, tag: str) -> str:
    """As :func:`tag_text`, of what many files say in the same words: it is in memory once."""
    return sys.intern(tag_text(reader, tag))


@lru_cache(maxsize=1024)  # slices share most of them, and so the memory they take
def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return values if len(values) == count else None


def image_of(path: Path, reader: sitk.ImageFileReader) -> DicomImage:
    """What is needed of an open header to put pictures together."""

    rows, columns = _numbers(tag_text(reader, "0028|0030"), 2) or reader.GetSpacing()[1::-1]
    size = (*reader.GetSize(), 1)
    return DicomImage(
        path=path,
        uid=shared_text(reader, "0020|000e"),
        number=shared_text(reader, "0020|0011"),
        description=shared_text(reader, "0008|103e"),
        modality=shared_text(reader, "0008|0060"),
        position=_numbers(tag_text(reader, "0020|0032"), 3),
        axes=_numbers(tag_text(reader, "0020|0037"), 6),
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
