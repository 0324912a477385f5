"""What cases are called, and keeping what identifies a patient out of all that is written or told."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from medcontext.batch.case import BatchCase
from medcontext.io.names import safe_name

REMOVED = "[removed]"
LONGEST = 120
"""Characters of an id."""
_LONGEST_BYTES = 180
"""Bytes of an id: file systems allow 255 for a name, of which endings and temporary names take some."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names of devices, which Windows allows no file to have."""
_HARMLESS = {
    *("dicom", "dcm", "image", "images", "scan", "scans", "series", "study", "studies", "slice", "slices"),
    *(
        "ct",
        "mr",
        "mri",
        "pet",
        "data",
        "export",
        "exports",
        "input",
        "patient",
        "patients",
        "file",
        "files",
        "case",
        "cases",
    ),
}
"""Names of folders that many exports have; taking them out of sentences would only garble them."""
_LIBRARIES = ("pydicom", "highdicom")


@dataclass(frozen=True)
class Names:
    """What a case may be called.

    Attributes:
        wishes: names from the one wanted to ones that are longer but shared with fewer cases.
        key: differs between all cases and stays the same between runs; a hash of it settles what is left.
        content: tells the scan wherever it lies; empty where nothing does.
    """

    wishes: tuple[str, ...]
    key: str
    content: str = ""


def safe_id(name: str) -> str:
    """A name as an id: fit for a file name on every system and at most 120 characters (180 bytes) long.

    What is cut off is replaced by a hash of the whole.
    """
    name = safe_name(unicodedata.normalize("NFC", name))
    if _RESERVED.fullmatch(name):
        name = f"case_{name}"
    if len(name) <= LONGEST and len(name.encode()) <= _LONGEST_BYTES:
        return name
    return _ending(name, digest(name)[:8])


def _ending(name: str, end: str) -> str:
    """``name-end``, with as much of the name as there is room for."""
    room = _LONGEST_BYTES - len(end) - 1
    return f"{name[: LONGEST - len(end) - 1].encode()[:room].decode(errors='ignore').rstrip('_.')}-{end}"


def unique_ids(names: Sequence[Names], taken: Iterable[str] = ()) -> list[str]:
    """An id for each case: its first wish that no other case has, else one that ends with a hash of its key.

    Who is called what depends on the names only, not on their order. Ids ``taken`` are given to nobody.
    """
    fixed = {name.casefold() for name in taken}
    ids = [safe_id(name.wishes[0]) for name in names]
    for level in range(1, max((len(name.wishes) for name in names), default=0)):
        for index in _shared(ids, fixed):
            wishes = names[index].wishes
            ids[index] = safe_id(wishes[min(level, len(wishes) - 1)])
    attempt = ""
    while shared := _shared(ids, fixed):
        for index in shared:
            ids[index] = _ending(ids[index], digest(names[index].key + attempt)[:8])
        attempt += "+"  # a name that is as long as allowed has no room for a second hash
    return ids


def _shared(ids: Sequence[str], fixed: Iterable[str]) -> list[int]:
    """Indices of the ids that others have too, whatever the letter case."""
    count = dict.fromkeys(fixed, 1)
    for name in ids:
        count[name.casefold()] = count.get(name.casefold(), 0) + 1
    return [index for index, name in enumerate(ids) if count[name.casefold()] > 1]


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def pseudonym(series_uid: str) -> str:
    """What a DICOM series is called without saying whose it is."""
    return f"series-{digest(series_uid)[:12]}"


def private_strings(
    persons: Iterable[str], facts: Iterable[str], folders: Iterable[Path], root: Path | None
) -> tuple[str, ...]:
    """What must not be said of a case.

    Args:
        persons: names as headers hold them (``DOE^JOHN``); each word of them counts.
        facts: what else headers say: identifiers, dates, descriptions; they count as a whole.
        folders: folders of its files.
        root: the folder that was searched; names of folders count from there. None: only the last name.
    """
    found: list[str] = []
    for folder in folders:
        inner = root is not None and folder.is_relative_to(root)
        names = (root.name, *folder.relative_to(root).parts) if root is not None and inner else (folder.name,)
        found += [str(folder), *names]
    for person in persons:
        words = [word for word in re.split(r"[\^=,;\s]+", person) if word]
        found += [person, " ".join(words), *words]
    for fact in facts:
        found += [fact, f"{fact[:4]}-{fact[4:6]}-{fact[6:]}"] if re.fullmatch(r"\d{8}", fact) else [fact]
    return tuple(dict.fromkeys(text for text in map(str.strip, found) if _tells(text)))


def _tells(text: str) -> bool:
    """Whether a string could identify anybody: 'J', '12' and 'images' occur in any sentence."""
    if text.casefold() in _HARMLESS:
        return False
    return len(text) > 2 if text.isdigit() else len(text) > 1


def scrub(text: str, case: BatchCase) -> str:
    """A sentence about a case without what identifies the patient; as it is where identifiers are kept.

    Paths and names of the case's files and the strings of ``case.private`` become ``[removed]``.
    """
    if not case.private or not text:
        return text
    for file in case.files:
        if file.name in text:
            text = text.replace(str(file), REMOVED).replace(file.name, REMOVED)
    return _pattern(case.private).sub(REMOVED, text)


@lru_cache(maxsize=64)
def _pattern(private: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the strings as whole words, the longest first; underscores part words in names of files."""
    known = sorted(private, key=len, reverse=True)
    letter = r"[^\W_]"
    return re.compile(f"(?<!{letter})(?:{'|'.join(map(re.escape, known))})(?!{letter})", re.IGNORECASE)


def silence_dicom_libraries() -> None:
    """Keep libraries from logging what headers hold: they quote values that are not as the standard wants them."""
    with suppress(ImportError):
        import pydicom  # noqa: F401 - sets how much it logs, once
    for name in _LIBRARIES:
        warnings.filterwarnings("ignore", module=rf"{name}(\..*)?")
        logging.getLogger(name).setLevel(logging.CRITICAL)
