"""Finding the DICOM series among many files, in any folders, and saying why others are no scans."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from medcontext.batch.identifiers import digest
from medcontext.events import Reporter
from medcontext.io.dicom_folder import (
    DicomImage,
    image_of,
    open_header,
    shared_text,
    should_hold_picture,
    tag_text,
)

_AT_ONCE = 8
"""Headers read at the same time: most of the time is waiting for the disk or the network."""
_PORTION = 512
"""Files between two looks at whether to stop."""
_ALIKE = 1e-3
"""Directions and spacings of one volume differ by less than this: programs round them."""
_RESULTS = {"SEG", "RTDOSE", "RTSTRUCT"}
_FILMS = tuple(f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("3.", "6.1", "12.1", "12.2", "77.1."))
"""Classes whose frames follow each other in time: ultrasound, angiography, fluoroscopy, visible light."""
LOCALISER = "It is a localiser."
_LOCALISER = re.compile(
    r"(?<![a-z])(locali[sz]er|scout|topogram|surview|scanogram|survey)(?![a-z])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the header of one file says, as far as series are put together from it.

    Attributes:
        image: place, size and series.
        patient: name, id and date of birth, as far as stated.
        study: its UID.
        own_uid: UID of this picture.
        sop_class: UID of the kind of object.
        kind: the values of Image Type, such as ``ORIGINAL\\PRIMARY\\LOCALIZER``.
        coloured: whether a pixel has several values.
    """

    image: DicomImage
    patient: tuple[str, str, str]
    study: str
    own_uid: str
    sop_class: str
    kind: str
    coloured: bool


@dataclass(frozen=True)
class FoundSeries:
    """Pictures of one patient and series that lie on one grid.

    Attributes:
        first: header of one of them.
        files: their files, by place where that is known.
        slices: how many slices they have together.
        reason: why they are no scan to work on; empty where they are one.
        copies: files left out because they hold the same pictures again.
        fingerprint: differs from that of any other pictures of the same series; empty without UIDs of pictures.
    """

    first: Picture
    files: tuple[Path, ...]
    slices: int
    reason: str
    copies: tuple[Path, ...]
    fingerprint: str

    @property
    def is_named_scan(self) -> bool:
        """Whether it can be worked on if somebody asks for just it: a scan, or a localiser of several slices."""
        return not self.reason or (self.reason == LOCALISER and self.slices > 1)

    def name(self) -> str:
        """What the series is known by: its UID or, where it has none, a hash of its files' contents."""
        if self.first.image.uid:
            return self.first.image.uid
        contents = []
        for file in self.files:
            with file.open("rb") as stream:
                contents.append(hashlib.file_digest(stream, "sha256").hexdigest())
        return "".join(sorted(contents))


@dataclass(frozen=True)
class Search:
    """What some DICOM files are.

    Attributes:
        series: pictures that belong together, scans or not.
        damaged: files that should hold pictures but are empty, truncated or damaged.
        without_picture: reports, plans and other files without pixels.
    """

    series: tuple[FoundSeries, ...]
    damaged: tuple[Path, ...]
    without_picture: tuple[Path, ...]


def search_series(files: Sequence[Path], reporter: Reporter) -> Search:
    """Read the headers of DICOM files, in whatever folders, and put series together.

    One series is what shares patient, study, series, size, direction and pixel spacing. A series may lie in
    several folders; where pictures in different folders share their places, each folder has its own. Without a
    series UID only files of one folder belong together.

    Raises:
        CancelledError: the reporter said so.
    """
    pictures: list[Picture] = []
    damaged: list[Path] = []
    bare: list[Path] = []
    for path, picture in zip(files, _headers(files, reporter), strict=True):
        if picture is not None:
            pictures.append(picture)
        else:
            (damaged if _is_damaged(path) else bare).append(path)
    return Search(_together(pictures), tuple(damaged), tuple(bare))


def _headers(files: Sequence[Path], reporter: Reporter) -> list[Picture | None]:
    found: list[Picture | None] = []
    with ThreadPoolExecutor(_AT_ONCE) as readers:
        for start in range(0, len(files), _PORTION):
            reporter.check_cancelled()
            found += readers.map(read_picture, files[start : start + _PORTION])
            reporter.progress("reading DICOM headers", len(found) / len(files))
    return found


def read_picture(path: Path) -> Picture | None:
    """The header of a DICOM file, or None where it holds no picture that can be read."""
    reader = open_header(path)
    if reader is None:
        return None
    return Picture(
        image_of(path, reader),
        patient=_patient(*(shared_text(reader, tag) for tag in ("0010|0010", "0010|0020", "0010|0030"))),
        study=shared_text(reader, "0020|000d"),
        own_uid=tag_text(reader, "0008|0018"),
        sop_class=shared_text(reader, "0008|0016"),
        kind=shared_text(reader, "0008|0008"),
        coloured=reader.GetNumberOfComponents() > 1,
    )


@lru_cache(maxsize=1024)
def _patient(name: str, number: str, birth: str) -> tuple[str, str, str]:
    """The same object for all pictures of a patient."""
    return name, number, birth


def _is_damaged(path: Path) -> bool:
    try:
        return should_hold_picture(path)
    except OSError:
        return True


def _together(pictures: Iterable[Picture]) -> tuple[FoundSeries, ...]:
    stated: dict[tuple[object, ...], list[Picture]] = {}
    for picture in pictures:
        stated.setdefault(_stated(picture), []).append(picture)
    found = []
    for group in stated.values():
        for alike in _alike(group):
            kept, copies = _without_copies(alike)
            for part in _by_place(kept):
                folders = {picture.image.path.parent for picture in part}
                found.append(
                    _series(part, [file for file in copies if file.parent in folders or part is kept])
                )
    return tuple(_joined(found))


def _stated(picture: Picture) -> tuple[object, ...]:
    """What all pictures of a series state in the same words; a file with several slices stands alone."""
    image = picture.image
    place = () if image.uid else (image.path.parent, image.number, image.description)
    alone = image.path if image.size[2] > 1 else None
    return (picture.patient, picture.study, image.uid, *place, image.modality, image.size, alone)


def _alike(pictures: Iterable[Picture]) -> list[list[Picture]]:
    """Parts that have the same direction and pixel spacing, up to rounding."""
    parts: list[tuple[np.ndarray | None, list[Picture]]] = []
    for picture in pictures:
        axes = picture.image.axes
        grid = None if axes is None else np.array([*axes, *picture.image.spacing])
        for known, part in parts:
            if grid is known or (
                grid is not None and known is not None and np.abs(grid - known).max() < _ALIKE
            ):
                part.append(picture)
                break
        else:
            parts.append((grid, [picture]))
    return [part for _, part in parts]


def _without_copies(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Path]]:
    """The pictures, each once, and the files that hold one of them again."""
    kept: dict[tuple[object, ...], Picture] = {}
    copies = []
    for picture in pictures:
        key = (picture.own_uid or picture.image.path, picture.image.position)
        if kept.setdefault(key, picture) is not picture:
            copies.append(picture.image.path)
    return list(kept.values()), copies


def _by_place(pictures: list[Picture]) -> list[list[Picture]]:
    """The pictures as one part or, where those of several folders share places, one part for each folder."""
    folders: dict[Path, list[Picture]] = {}
    for picture in pictures:
        folders.setdefault(picture.image.path.parent, []).append(picture)
    places = {picture.image.position for picture in pictures}
    return [pictures] if len(folders) == 1 or len(places) == len(pictures) else list(folders.values())


def _series(pictures: Sequence[Picture], copies: Sequence[Path]) -> FoundSeries:
    ordered = sorted(pictures, key=_height)
    uids = [picture.own_uid for picture in ordered]
    return FoundSeries(
        first=ordered[0],
        files=tuple(picture.image.path for picture in ordered),
        slices=len(ordered) * ordered[0].image.size[2],
        reason=_reason(ordered),
        copies=tuple(copies),
        fingerprint=digest("".join(sorted(uids)))[:6] if all(uids) else "",
    )


def _height(picture: Picture) -> tuple[float, Path]:
    image = picture.image
    if image.position is None or image.axes is None:
        return 0.0, image.path
    return float(np.cross(image.axes[:3], image.axes[3:]) @ image.position), image.path


def _reason(pictures: Sequence[Picture]) -> str:
    """Why pictures are no scan to work on; empty where they are one."""
    first = pictures[0]
    slices = len(pictures) * first.image.size[2]
    if first.image.modality in _RESULTS:
        return "It is a result of another program, not a scan."
    if first.coloured:
        return "It holds colour pictures; grey values are needed."
    if _is_localiser(first):
        return LOCALISER
    if slices < 2:
        return "It is a single 2D picture; a volume is needed."
    if first.image.size[2] > 1 and first.sop_class.startswith(_FILMS):
        return "It is a film, not a volume."
    if first.image.size[2] == 1 and any(p.image.position is None or p.image.axes is None for p in pictures):
        return "It does not say where its slices lie."
    return ""


def _is_localiser(picture: Picture) -> bool:
    words = f"{picture.kind} {picture.image.description}".replace("_", " ")
    return _LOCALISER.search(words) is not None


def _joined(found: Iterable[FoundSeries]) -> list[FoundSeries]:
    """What is no scan told once for each series, such as the many single pictures of a radial series."""
    scans: list[FoundSeries] = []
    others: dict[tuple[object, ...], list[FoundSeries]] = {}
    for series in found:
        if not series.reason:
            scans.append(series)
            continue
        first = series.first
        key = (first.patient, first.study, first.image.uid or first.image.path.parent, series.reason)
        others.setdefault(key, []).append(series)
    return scans + [_one(same) for same in others.values()]


def _one(same: Sequence[FoundSeries]) -> FoundSeries:
    files = tuple(file for series in same for file in series.files)
    copies = tuple(file for series in same for file in series.copies)
    slices = sum(series.slices for series in same)
    return FoundSeries(same[0].first, files, slices, same[0].reason, copies, same[0].fingerprint)
