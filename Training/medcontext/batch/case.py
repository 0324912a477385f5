"""One case of a batch run, and what was found but is no case."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from medcontext.dataset_form import DETACHED_HEADERS


@dataclass(frozen=True)
class BatchCase:
    """One scan to work on; plain data that may be sent to another process.

    Attributes:
        id: name of the case; unique among the cases of a run whatever the letter case, fit for a file name on
            every system, at most 120 characters.
        paths: one file for each channel of the model; or one path that stands for a DICOM series (see ``series``).
        series: all files of the DICOM series of the (first) channel, by place where that is known; empty for
            other formats.
        more_series: the same for each further channel, where one of them is DICOM.
        roi: region of interest as :func:`medcontext.workflows.roi.box_of` takes it, or None.
        reference: a labelmap to score the result against, or None.
        text: what a model with text reads; goes into the ledger as it is.
        private: strings that must not appear in logs, ledger, report or file names: names of folders, and what
            the headers say of the patient. Empty where identifiers are to be kept.
        trouble: a sentence why the case cannot be read, known before reading (a file of a manifest is missing);
            reading it raises InputError with this sentence. Free of identifiers.
        remarks: warnings for the ledger, known before reading, which does not tell them. Free of identifiers.
    """

    id: str
    paths: tuple[Path, ...]
    series: tuple[Path, ...] = ()
    more_series: tuple[tuple[Path, ...], ...] = ()
    roi: str | None = None
    reference: Path | None = None
    text: str = ""
    private: tuple[str, ...] = ()
    trouble: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def is_dicom(self) -> bool:
        """Whether the (first) channel is a DICOM series."""
        return bool(self.series)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """The files that hold the voxels; some may be missing."""
        return tuple(file for files in self.channel_files for file in files)

    @property
    def channel_files(self) -> tuple[tuple[Path, ...], ...]:
        """The files of each channel: all of a DICOM series, else the image and what its header refers to."""
        series = (self.series, *self.more_series)
        return tuple(
            series[index] if index < len(series) and series[index] else _with_data(path)
            for index, path in enumerate(self.paths)
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on: those of the image, of the region and of the reference."""
        place = Path(self.roi or "")
        region = (place,) if self.roi is not None and is_there(place) and place.is_file() else ()
        reference = (self.reference,) if self.reference is not None else ()
        return self.image_files + region + reference


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; no, where none can have such a name or its folder may not be read."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _with_data(path: Path) -> tuple[Path, ...]:
    """An image file and, where it is a header only (MHD, NHDR), the files beside it that may hold its voxels."""
    if path.suffix.lower() not in DETACHED_HEADERS:
        return (path,)
    return (path, *sorted(p for p in path.parent.glob(f"{glob.escape(path.stem)}.*") if p != path))


@dataclass(frozen=True)
class Skipped:
    """Something that was found but is no case.

    Attributes:
        place: where; for DICOM a pseudonym, unless identifiers are to be kept.
        reason: one sentence without identifiers.
        files: the files meant; they belong into ``sources.json`` only.
        lost: whether scans may be there that could not be looked at; such a place is a case that fails.
    """

    place: str
    reason: str
    files: tuple[Path, ...] = ()
    lost: bool = False
