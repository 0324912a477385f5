"""What the header of a DICOM series says of patient and study: for names where asked, else for scrubbing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from medcontext.batch.dicom_series import FoundSeries
from medcontext.batch.identifiers import pseudonym
from medcontext.io.dicom_folder import open_header, tag_text
from medcontext.io.names import safe_name

_PERSONS = (
    "0010|0010",
    "0010|1001",
    "0010|1005",
    "0008|0090",
    "0008|1048",
    "0008|1050",
    "0008|1060",
    "0008|1070",
)
"""Patient: name, other names, name at birth; persons that refer, record, perform, read and operate."""
_FACTS = (
    *("0010|0020", "0010|0030", "0010|1000", "0010|1040", "0010|2154", "0008|0080", "0008|0081", "0032|1032"),
    *("0008|0050", "0020|0010", "0020|000d", "0020|000e", "0008|1030", "0008|103e", "0018|1030", "0032|1060"),
)
"""Patient: id, date of birth, other ids, address, telephone; institution and its address, requesting person;
accession number, study id, UIDs of study and series; descriptions of study, series, protocol, procedure."""
_ESCAPE = "\x1b"


def identifying(series: FoundSeries) -> tuple[list[str], list[str]]:
    """Names of persons in its header, and what else says whose series it is or is used to write such things into."""
    return said_by(series.first.image.path)


def said_by(file: Path) -> tuple[list[str], list[str]]:
    """As :func:`identifying`, of one DICOM file; nothing where its header cannot be read."""
    header = open_header(file)
    return ([], []) if header is None else (_texts(header, _PERSONS), _texts(header, _FACTS))


def spoken_name(series: FoundSeries) -> str:
    """Patient, study and series as a name of a case, for where identifiers are kept."""
    header = open_header(series.first.image.path)
    if header is None:
        return pseudonym(series.name())
    told = _texts(header, ("0010|0010", "0010|0020", "0008|0020", "0008|1030", "0020|0011", "0008|103e"))
    return "_".join(safe_name(text) for text in told) or pseudonym(series.name())


def _texts(header: sitk.ImageFileReader, tags: Sequence[str]) -> list[str]:
    """What is stated under the tags, several values apart, in the letters the header says they are in."""
    letters = tag_text(header, "0008|0005")
    values = [value for tag in tags for value in decoded(tag_text(header, tag), letters).split("\\")]
    return [value.strip() for value in values if value.strip()]


def decoded(text: str, letters: str) -> str:
    """Text of a header as GDCM hands it out, read in its Specific Character Set (``letters``).

    Without pydicom, or where that is wrong, letters that are not ASCII may come out as others.
    """
    raw = text.encode("utf-8", "surrogateescape")
    if _ESCAPE not in text and raw.decode("utf-8", "replace") == text:
        return text
    try:
        from pydicom.charset import convert_encodings, decode_bytes

        return decode_bytes(raw, convert_encodings(letters.split("\\")), {ord("^"), ord("=")})
    except (ImportError, LookupError, UnicodeError):
        return raw.decode("latin-1")
