"""Which id each case has in an output folder that may know some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medcontext.batch.case import BatchCase
from medcontext.batch.identifiers import safe_id, unique_ids
from medcontext.batch.image_cases import Named
from medcontext.batch.walk import identity
from medcontext.batch_ledger import Layout
from medcontext.errors import InputError
from medcontext.events import Reporter

Entry = dict[str, Any]
"""What ``sources.json`` says of a case: ``paths``, ``series``, ``more_series``, ``roi``, ``reference``; ``scan``,
which tells the same scan at another place; and whether its id was ``given`` by a person."""

_TOLD = 3


class Naming:
    """Compares the cases that were found with those that the output folder knows; then names them.

    A case that is known keeps its id: it has the same files and region; or it may be called so and shares a file with
    the known one, is the same file under another name, the same DICOM pictures, or a file of the same size and time
    whose old place is gone. All others get an id that nobody has, by their own names. So no case takes the place of
    another one, and none gets a second name.

    Args:
        named: the cases that were found, and what they may be called.

    Attributes:
        known: ids of the cases that the output folder knows.
    """

    def __init__(self, named: Sequence[Named]) -> None:
        self.known: set[str] = set()
        self._named = named
        self._scans = [_scan(entry) for entry in named]
        self._strong: list[tuple[int, str]] = []
        self._weak: list[tuple[int, str]] = []
        self._refused: list[tuple[int, str]] = []
        self._by_person: set[str] = set()
        self._given: dict[str, int] = {}
        self._exact: dict[tuple[Any, ...], list[int]] = {}
        self._alike: dict[object, list[int]] = {}
        for index, entry in enumerate(named):
            if entry.given:
                self._given[entry.given.casefold()] = index
                continue
            self._exact.setdefault((*map(str, entry.case.paths), None, entry.case.roi), []).append(index)
            for feature in self._features(index):
                self._alike.setdefault(feature, []).append(index)

    def entry(self, index: int, name: str) -> Entry:
        """What is written of a case that is called so, without what is empty."""
        case = self._named[index].case
        entry: Entry = {
            "paths": [str(path) for path in case.paths],
            "series": [str(path) for path in case.series],
            "more_series": [[str(path) for path in series] for series in case.more_series],
            "roi": case.roi,
            "reference": None if case.reference is None else str(case.reference),
            "scan": self._scans[index],
            "given": bool(self._named[index].given) or name in self._by_person,
        }
        return {name: value for name, value in entry.items() if value}

    def meet(self, name: str, entry: Entry) -> None:
        """Take in a case that the output folder knows."""
        self.known.add(name)
        if entry.get("given"):
            self._by_person.add(name)
        index = self._given.get(name.casefold())
        if index is not None:
            if not self._may_replace(self._named[index].case, entry):
                self._refused.append((index, name))
            return
        same = self._exact.get((*_strings(entry.get("paths")), None, entry.get("roi")), [])
        # With other identifiers kept a DICOM case is called otherwise, unless a person called it so.
        known = bool(entry.get("given"))
        same = [i for i in same if known or not self._named[i].case.is_dicom or self._may_be(i, name)]
        if same:
            self._strong += [(index, name) for index in same]
            return
        self._weak += [(index, name) for index in self._same_scan(name, entry)]

    def ids(self, layout: Layout, overwrite: bool, reporter: Reporter) -> list[str]:
        """The id of each case.

        Raises:
            InputError: a manifest gives an id that is that of another scan.
        """
        if self._refused and not overwrite:
            raise self._refusal(layout)
        ids = {index: self._named[index].given for index in self._given.values()}
        taken = {name.casefold() for name in ids.values()}
        for index, name in (*self._strong, *self._weak):
            if index not in ids and name.casefold() not in taken:
                ids[index] = name
                taken.add(name.casefold())
        new = [index for index in range(len(self._named)) if index not in ids]
        made = unique_ids([self._named[index].names for index in new], {*self.known, *ids.values()})
        ids |= dict(zip(new, made, strict=True))
        taken |= {name.casefold() for name in self.known}
        self._tell([ids[index] for index in new if self._wishes(index)[0] in taken], reporter)
        return [ids[index] for index in range(len(self._named))]

    def _tell(self, renamed: list[str], reporter: Reporter) -> None:
        if renamed:
            more = ", ..." if len(renamed) > _TOLD else ""
            reporter.info(
                "Scans with the name of another scan in this output folder got names of their own: "
                f"{len(renamed)} ({', '.join(renamed[:_TOLD])}{more})."
            )

    def _refusal(self, layout: Layout) -> InputError:
        index, name = self._refused[0]
        more = f" (and {len(self._refused) - 1} more)" if len(self._refused) > 1 else ""
        return InputError(
            f"{self._named[index].place} of the manifest gives the id '{name}'{more} to another scan than the one "
            f"that {layout.root} knows by it.",
            "Give it an id of its own, choose another output folder, or add --overwrite.",
        )

    def _wishes(self, index: int) -> list[str]:
        return [safe_id(name).casefold() for name in self._named[index].names.wishes]

    def _may_be(self, index: int, name: str) -> bool:
        """Whether a case would be called so, with or without a hash that tells it from others."""
        return not set(self._wishes(index)).isdisjoint(_short(name))

    def _features(self, index: int) -> Iterator[object]:
        """What another entry of the same scan may share."""
        case = self._named[index].case
        yield from {str(path) for path in case.paths}
        if (there := identity(case.paths[0])) is not None:
            yield there
        if self._scans[index]:
            yield self._scans[index]
        if case.is_dicom:
            yield from set(self._wishes(index))

    def _same_scan(self, name: str, entry: Entry) -> Iterator[int]:
        """The cases that may be called so and are the same scan."""
        files = set(_files(entry))
        paths = _strings(entry.get("paths"))
        there = identity(Path(paths[0])) if paths else None
        features: list[object] = [*files, *_short(name), entry.get("scan")]
        features += [] if there is None else [there]
        candidates = {index for feature in features for index in self._alike.get(feature, ())}
        for index in sorted(candidates):
            case = self._named[index].case
            if not self._may_be(index, name):
                continue
            moved = entry.get("scan") == self._scans[index] != "" and (there is None or case.is_dicom)
            same = there is not None and there == identity(case.paths[0])
            if moved or same or files.intersection(map(str, case.image_files)):
                yield index

    def _may_replace(self, case: BatchCase, entry: Entry) -> bool:
        """Whether a case whose id a manifest gives is not another scan, still there, than the known one."""
        paths = _strings(entry.get("paths"))
        there = identity(Path(paths[0])) if paths else None
        if there is None or there == identity(case.paths[0]):
            return True
        return not set(_files(entry)).isdisjoint(map(str, case.image_files))


def _scan(named: Named) -> str:
    """What tells a scan at another place: its DICOM pictures, else sizes and times of its files."""
    if named.names.content or named.case.is_dicom:
        return named.names.content
    try:
        states = [path.stat() for path in named.case.paths]
    except (OSError, ValueError):
        return ""
    return " ".join(f"{state.st_size}:{state.st_mtime_ns}" for state in states)


def _short(name: str) -> tuple[str, str]:
    """A name, and that without the hash at its end."""
    return name.casefold(), name.casefold().rpartition("-")[0]


def _files(entry: Entry) -> Iterator[str]:
    yield from _strings(entry.get("paths"))
    yield from _strings(entry.get("series"))
    more = entry.get("more_series")
    for series in more if isinstance(more, list) else ():
        yield from _strings(series)


def _strings(value: Any) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []
