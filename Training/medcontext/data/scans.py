"""The scans of a pool: all that folders and case stores hold, but what is kept for scoring."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path

from medcontext.data.apart import free_cases, scored_cases, voxels_of
from medcontext.data.case import Case
from medcontext.data.hashing import files_hash, files_of, remembered
from medcontext.data.reading import counted, shortened
from medcontext.data.scan_search import Found, search
from medcontext.data.store import CaseStore
from medcontext.dataset_form import INDEX, channels_from
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.home import home
from medcontext.io.headers import look_at
from medcontext.io.names import ImageSource, unique

ABOVE = 3
"""Folders above a given one in which a case store is looked for that it may belong to."""
UNKNOWN = "unknown"
"""Modality, and name, of a channel of which nobody says more."""
_LOOK = 1 << 16
"""Bytes in the middle of a file by which copies are suspected."""


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        id: unique in its pool.
        paths: one file (or DICOM folder) a channel, or one that holds all channels.
    """

    id: str
    paths: tuple[Path, ...]

    @property
    def case(self) -> Case:
        """The same as a case without a label."""
        return Case(self.id, list(self.paths), split="unlabelled")

    def content_hash(self) -> str:
        """Hash of its files, remembered until they change.

        Raises:
            InputError: one does not exist or cannot be read.
        """
        return remembered(self.paths, _memory(), lambda: files_hash(self.paths))

    def known_hash(self) -> str:
        """:meth:`content_hash` where that is remembered, else empty; no file is read."""
        with suppress(InputError):
            return remembered(self.paths, _memory(), _never)
        return ""


@dataclass(frozen=True)
class Scans:
    """What some places hold.

    Attributes:
        scans: what may be learnt from.
        channels: as (name, modality): of the first case store, else of unknown modality.
        apart: hashes of the voxels of images that are kept for scoring or excluded; copies of them may lie anywhere.
    """

    scans: tuple[Scan, ...]
    channels: tuple[tuple[str, str], ...]
    apart: frozenset[str] = frozenset()


def pooled_scans(
    places: Sequence[Path],
    exclude: Collection[str] = (),
    reporter: Reporter | None = None,
    channels: int | None = None,
) -> Scans:
    """Find scans to learn from without labels.

    Args:
        places: folders, of which those below are searched too, and case stores, which may lie in them. Of a store
            every case but its test and held-out ones is taken, also where only its folder of images is given.
        exclude: ids or file names of scans that are left out in every way.
        reporter: told what was left out; asked whether to stop.
        channels: number of channels that is wanted; None for that of the first store, else 1. Of several, files
            ``NAME_0000``, ``NAME_0001`` ... make one scan.

    Raises:
        InputError: a place is missing or holds no image; a store is broken; ``exclude`` names nothing; or, where
            ``channels`` is None, scans differ in their number of channels.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    found = search(places, channels, reporter)
    scored = [case for store in [*found.stores, *_stores_around(places)] for case in scored_cases(store)]
    kept = _of_places(found, scored, reporter)
    scans, excluded = _split_off([Scan(s.id, s.paths) for s in unique(kept)], exclude)
    if not scans:
        raise InputError(
            f"Every scan of {_named(places)} is kept for scoring or excluded.", "Add other scans."
        )
    if channels is None:
        channels = _common_channels(scans, reporter)
    apart = voxels_of([*scored, *(scan.case for scan in excluded)])
    for store in found.stores:
        apart |= store.kept_apart
    names = [channel for store in found.stores[:1] for channel in store.channels]
    names = names or channels_from([], {str(number): UNKNOWN for number in range(channels)})
    return Scans(tuple(_without_copies(scans, reporter)), tuple(names), apart)


def _of_places(found: Found, scored: Iterable[Case], reporter: Reporter) -> list[ImageSource]:
    """The scans of stores and folders, each file once, that are not kept for scoring."""
    cases = [ImageSource(case.id, tuple(case.images)) for store in found.stores for case in free_cases(store)]
    taken = {_place(case.images) for case in scored}
    apart = sum(len(scored_cases(store)) for store in found.stores)
    kept: dict[tuple[Path, ...], ImageSource] = {}
    for source in [*cases, *found.sources]:
        place = _place(source.paths)
        if place in taken:
            apart += 1
        else:
            kept.setdefault(place, source)
    if apart:
        reporter.info(
            f"{apart} scans are test or held-out cases of a data set, or of their patients, and were left out."
        )
    if found.skipped:
        reporter.info(
            f"{len(found.skipped)} folders hold labels or test images by their names and were left out: "
            f"{shortened(found.skipped, 4)}."
        )
    return list(kept.values())


def _place(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in paths)


def _stores_around(places: Iterable[Path]) -> list[CaseStore]:
    """The case stores that the places lie in: their folder of images holds test images as well."""
    stores = {}
    for place in places:
        whole = place.expanduser().absolute()
        for above in whole.parents[:ABOVE]:
            if (above / INDEX).is_file():
                with suppress(InputError):  # a file of that name that is none of ours
                    stores[above] = CaseStore.open(above)
    return list(stores.values())


def _split_off(scans: Sequence[Scan], exclude: Collection[str]) -> tuple[list[Scan], list[Scan]]:
    """The scans that are not excluded, and those that are.

    Raises:
        InputError: one that should be is not there.
    """
    wanted = set(exclude)
    chosen = {scan.id: {scan.id, *(path.name for path in scan.paths)} & wanted for scan in scans}
    if missing := sorted(wanted.difference(*chosen.values())):
        raise InputError(f"There is no scan '{missing[0]}' to leave out.", "Give the name of its file.")
    return [s for s in scans if not chosen[s.id]], [s for s in scans if chosen[s.id]]


def _common_channels(scans: Sequence[Scan], reporter: Reporter) -> int:
    """Number of channels of all scans, as far as headers tell; a broken file is left out later.

    Raises:
        InputError: they differ.
    """
    first: tuple[int, Scan] | None = None
    for number, scan in enumerate(scans):
        reporter.check_cancelled()
        reporter.progress("look at scans", number / len(scans))
        try:
            count = sum(look_at(path).channels for path in scan.paths)
        except InputError:
            continue
        first = first or (count, scan)
        if count != first[0]:
            one, other = (f"{s.paths[0]} has {counted(n)}" for n, s in (first, (count, scan)))
            raise InputError(
                f"{one} and {other}; the scans of a pool have the same number.",
                "Leave one of them out with --exclude, or give folders of one kind.",
            )
    reporter.progress("look at scans", 1.0)
    return 1 if first is None else first[0]


def _without_copies(scans: Sequence[Scan], reporter: Reporter) -> list[Scan]:
    """The scans without those whose files are copies of others before them: whole files are read of suspects only."""
    groups = [list(scans)]
    for look in (_sizes, _glimpse, Scan.content_hash):
        groups = [alike for group in groups for alike in _alike(group, look, reporter)]
    copies = {scan.id for group in groups for scan in group[1:]}
    if copies:
        reporter.info(
            f"{len(copies)} scans are copies of others and were left out: {shortened(sorted(copies), 4)}."
        )
    return [scan for scan in scans if scan.id not in copies]


def _alike(scans: Iterable[Scan], look: Callable[[Scan], str], reporter: Reporter) -> list[list[Scan]]:
    """The scans that look the same as others, together with them."""
    groups: dict[str, list[Scan]] = {}
    for scan in scans:
        reporter.check_cancelled()
        with suppress(InputError, OSError):  # preparing it says so
            groups.setdefault(look(scan), []).append(scan)
    return [group for group in groups.values() if len(group) > 1]


def _sizes(scan: Scan) -> str:
    sizes = [file.stat().st_size for path in scan.paths for file in files_of(path)]
    return str(sorted(sizes)) if all(sizes) else scan.id  # empty files are broken, not copies


def _glimpse(scan: Scan) -> str:
    files = [file for path in scan.paths for file in files_of(path)]
    with files[len(files) // 2].open("rb") as stream:
        stream.seek(stream.seek(0, SEEK_END) // 2)
        return hashlib.sha256(stream.read(_LOOK)).hexdigest()


def _memory() -> Path:
    return home() / "cache" / "scan-hashes"


def _never() -> str:
    raise InputError("It was never read.")


def _named(places: Sequence[Path]) -> str:
    return shortened(places, 3)
