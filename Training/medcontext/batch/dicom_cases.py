"""From DICOM series to cases: names, what must not be told, and doubts about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.dicom_facts import identifying, spoken_name
from medcontext.batch.dicom_series import FoundSeries, Search
from medcontext.batch.identifiers import Names, digest, private_strings, pseudonym, silence_dicom_libraries
from medcontext.io.dicom_folder import printable

_HINT = "Copy or export the series again, with names that are UTF-8 text."


def series_names(series: FoundSeries, keep_identifiers: bool) -> Names:
    """What the case of a series may be called."""
    name = spoken_name(series) if keep_identifiers else pseudonym(series.name())
    longer = f"{name}-{series.fingerprint}" if series.fingerprint else name
    first = series.first
    told = (*first.patient, first.study, first.image.uid, series.fingerprint)
    if not first.image.uid:
        content = "" if keep_identifiers else name  # which is a hash of the files
    else:
        content = digest("\n".join(told))[:16] if series.fingerprint else ""
    return Names((name, longer), str(series.files[0]), content)


def series_case(
    series: FoundSeries, root: Path | None, keep_identifiers: bool, damaged: Iterable[Path] = ()
) -> BatchCase:
    """The case of a series, still without a name.

    Args:
        root: the folder that was searched, if any; names of folders below it are private.
        damaged: DICOM files that cannot be read and may be slices of it.
    """
    if not keep_identifiers:
        silence_dicom_libraries()
    beside = len(list(damaged))
    folders = sorted({file.parent for file in series.files})
    return BatchCase(
        id="",
        paths=series.files[:1],
        series=series.files,
        private=() if keep_identifiers else private_strings(*identifying(series), folders, root),
        trouble=f"It may lack slices: {_damaged(beside)} beside it. {_HINT}" if beside else "",
        remarks=(_copies(len(series.copies)),) if series.copies else (),
    )


def _damaged(count: int) -> str:
    return "1 damaged DICOM file" if count == 1 else f"{count} damaged DICOM files"


def _copies(count: int) -> str:
    return f"Files that hold a picture of this series once more, and were not read: {count}."


def blamed(search: Search) -> tuple[dict[FoundSeries, list[Path]], list[Path]]:
    """Whose slices the damaged files of a search may be.

    Returns:
        The damaged files in the folders of a scan, where those folders hold no other scan; and all the others.
    """
    scans = [series for series in search.series if not series.reason]
    homes = {series: {file.parent for file in series.files} for series in scans}
    holds = Counter(folder for folders in homes.values() for folder in folders)
    owner = {folder: series for series, folders in homes.items() for folder in folders if holds[folder] == 1}
    found: dict[FoundSeries, list[Path]] = {}
    others = []
    for path in search.damaged:
        if path.parent in owner:
            found.setdefault(owner[path.parent], []).append(path)
        else:
            others.append(path)
    return found, others


def left_out(
    search: Search, damaged: Iterable[Path], roots: Mapping[Path, Path], keep_identifiers: bool
) -> list[Skipped]:
    """What DICOM files are no case, and why; places are pseudonyms unless identifiers are kept."""
    skipped = []
    for series in search.series:
        if series.reason:
            place = spoken_name(series) if keep_identifiers else pseudonym(series.name())
            skipped.append(Skipped(place, series.reason, series.files))
    folders: dict[Path, list[Path]] = {}
    for path in damaged:
        folders.setdefault(path.parent, []).append(path)
    for number, (folder, files) in enumerate(sorted(folders.items()), start=1):
        inner = printable(folder.relative_to(roots[folder]).as_posix() if folder in roots else folder.name)
        place = f"damaged DICOM files in {inner}" if keep_identifiers else f"damaged DICOM files {number}"
        reason = f"{_damaged(len(files))}: empty, truncated, broken, or with a name that is not UTF-8 text."
        skipped.append(Skipped(place, reason, tuple(files)))
    if search.without_picture:
        count = len(search.without_picture)
        reason = f"DICOM files without a picture, such as reports and plans: {count}."
        skipped.append(Skipped("DICOM files without pictures", reason, search.without_picture))
    return skipped
