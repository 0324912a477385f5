"""From DICOM series to cases: names, what must not be told, and doubts about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path

from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.dicom_facts import identifying, spoken_name
from medcontext.batch.dicom_series import FoundSeries, Search
from medcontext.batch.identifiers import Names, digest, private_strings, pseudonym, silence_dicom_libraries
from medcontext.data.modality import unlearnt_modality
from medcontext.io.dicom_folder import printable


class _Fault(Enum):
    """What is wrong with DICOM files that hold no picture: one, several, and what helps."""

    DAMAGED = (
        "1 damaged DICOM file",
        "{} damaged DICOM files",
        "Copy or export the series again, with names that are UTF-8 text.",
    )
    CLOSED = (
        "1 file without permission to read it",
        "{} files without permission to read them",
        "Give yourself the permission to read the whole series.",
    )
    GONE = (
        "1 link that leads nowhere",
        "{} links that lead nowhere",
        "Bring back the files that the links lead to.",
    )
    SHUT = (
        "1 file that cannot be opened",
        "{} files that cannot be opened",
        "Look whether the disk is sound.",
    )

    @classmethod
    def of(cls, path: Path) -> _Fault:
        try:
            with path.open("rb"):
                return cls.DAMAGED
        except PermissionError:
            return cls.CLOSED
        except FileNotFoundError:
            return cls.GONE
        except OSError:
            return cls.SHUT


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
    series: FoundSeries,
    root: Path | None,
    keep_identifiers: bool,
    damaged: Iterable[Path] = (),
    learnt: Sequence[str] = (),
) -> BatchCase:
    """The case of a series, still without a name.

    Args:
        root: the folder that was searched, if any; names of folders below it are private.
        damaged: files that cannot be read and may be slices of it.
        learnt: modalities of the model's channels that the series may be for.
    """
    if not keep_identifiers:
        silence_dicom_libraries()
    beside, hint = _faults(damaged)
    remarks = (
        unlearnt_modality(series.first.image.modality, learnt),
        _copies(len(series.copies)) if series.copies else "",
    )
    folders = sorted({file.parent for file in series.files})
    return BatchCase(
        id="",
        paths=series.files[:1],
        series=series.files,
        private=() if keep_identifiers else private_strings(*identifying(series), folders, root),
        trouble=f"It may lack slices: {beside} beside it. {hint}" if beside else "",
        remarks=tuple(remark for remark in remarks if remark),
    )


def _faults(files: Iterable[Path]) -> tuple[str, str]:
    """What is wrong with files, such as ``2 damaged DICOM files``, and what helps."""
    counts = Counter(map(_Fault.of, files))
    told = [fault.value[count > 1].format(count) for fault, count in counts.items()]
    return " and ".join(told), " ".join(fault.value[2] for fault in counts)


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
    folders: dict[tuple[Path, bool], list[Path]] = {}
    for path in damaged:
        folders.setdefault((path.parent, _Fault.of(path) is not _Fault.DAMAGED), []).append(path)
    for number, ((folder, lost), files) in enumerate(sorted(folders.items()), start=1):
        inner = printable(folder.relative_to(roots[folder]).as_posix() if folder in roots else folder.name)
        what, hint = _faults(files)
        name = "unread DICOM files" if lost else "damaged DICOM files"
        place = f"{name} in {inner}" if keep_identifiers else f"{name} {number}"
        why = hint if lost else "empty, truncated, broken, or with a name that is not UTF-8 text."
        skipped.append(Skipped(place, f"{what}{'.' if lost else ':'} {why}", tuple(files), lost))
    if search.without_picture:
        count = len(search.without_picture)
        reason = f"DICOM files without a picture, such as reports and plans: {count}."
        skipped.append(Skipped("DICOM files without pictures", reason, search.without_picture))
    return skipped
