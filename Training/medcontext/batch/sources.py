"""``sources.json``: how the cases of an output folder are called and of which files they are read, settled once.

The file is a JSON object with a case a line, so that nobody needs to load what names every slice of every series.
Entries of earlier runs stay. Under the empty name stand the input of the newest run and what was left out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.image_cases import Named
from medcontext.batch.naming import Entry, Naming
from medcontext.batch_ledger import Layout
from medcontext.batch_ledger.locking import HeldError, WriterLock
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.atomic import explained, replacing

_PATIENCE_S = 600.0
"""How long others may write before this run gives up: a part of a shared run writes for seconds at most."""
_POLL_S = 0.1
_NUMBER = re.compile(r"( \d+| \(\d+\))+$")


def settle(
    layout: Layout,
    given: Sequence[Path | str],
    named: Sequence[Named],
    skipped: Sequence[Skipped],
    reporter: Reporter,
    overwrite: bool = False,
) -> tuple[list[BatchCase], list[Skipped]]:
    """Give every case its id, by what the output folder knows, and write that down.

    Runs that share the folder do so one after the other, so that they agree whatever each has found.

    Args:
        layout: of the output folder, which is made where it is missing.
        given: the input.
        named: the cases, and what they may be called.
        skipped: what is no case.
        reporter: told of names that are not the usual ones; asked whether to stop while others write.
        overwrite: whether an id that a manifest gives may be taken from another scan.

    Returns:
        The cases with their ids; and what is no case, at places that differ from all ids.

    Raises:
        InputError: a manifest gives an id that is that of another scan; the file is broken, or cannot be written.
        ResourceError: the disk is full.
        CancelledError: the reporter said so.
    """
    with _alone(layout.sources, reporter):
        naming, nameless = Naming(named), {}
        for name, entry in _entries(layout.sources):
            if name:
                naming.meet(name, entry)
            else:
                nameless = entry
        ids = naming.ids(layout, overwrite, reporter)
        cases = [replace(entry.case, id=name) for entry, name in zip(named, ids, strict=True)]
        before = nameless.get("skipped")
        before = before if isinstance(before, dict) else {}
        skipped = _placed(skipped, before, {*ids, *naming.known})
        places = {name: index for index, name in enumerate(ids)}
        left_out = before | {entry.place: [str(file) for file in entry.files] for entry in skipped}
        last = {"input": [str(Path(place).absolute()) for place in given], "skipped": left_out}
        # Entries are made one at a time: together they name every slice of every series.
        _write(layout.sources, ids, lambda name: naming.entry(places[name], name), last)
    return cases, skipped


@contextlib.contextmanager
def _alone(path: Path, reporter: Reporter) -> Iterator[None]:
    """Keep other runs from settling names at the same time, where the file system knows locks."""
    lock, until = None, time.monotonic() + _PATIENCE_S
    while lock is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = WriterLock(path)
        except HeldError:
            if time.monotonic() > until:
                raise
            reporter.check_cancelled()
            time.sleep(_POLL_S)
        except OSError as error:
            raise explained(error, path) from error
    try:
        yield
    finally:
        lock.release()


def _entries(path: Path) -> Iterator[tuple[str, Entry]]:
    """The entries that are there, one after the other."""
    for name, body in _bodies(path):
        try:
            entry = json.loads(body)
        except ValueError as error:
            raise _broken(path) from error
        if not isinstance(entry, dict):
            raise _broken(path)
        yield name, entry


def _bodies(path: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each entry.

    Raises:
        InputError: the file cannot be read, or is not a case a line.
    """
    decoder = json.JSONDecoder()
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                text = line.rstrip(",\n\r ")
                if text in ("{", "}", ""):
                    continue
                try:
                    name, end = decoder.raw_decode(text)
                except ValueError as error:
                    raise _broken(path) from error
                if not isinstance(name, str) or text[end : end + 2] != ": ":
                    raise _broken(path)
                yield name, text[end + 2 :]
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise _broken(path) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}.", "Check that it may be read."
        ) from error


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path} is broken or was changed.",
        "Bring back the file as it was, or move it away: cases are then named anew.",
    )


def _write(path: Path, names: Sequence[str], entry: Callable[[str], Entry], last: Entry) -> None:
    """Write the file unless it says the same already; entries of cases that were not found now stay."""
    if path.is_file():
        with path.open("rb") as lines:
            pairs = itertools.zip_longest(lines, _lines(path, names, entry, last))
            if all(there == wanted for there, wanted in pairs):
                return
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(_lines(path, names, entry, last))


def _lines(path: Path, names: Sequence[str], entry: Callable[[str], Entry], last: Entry) -> Iterator[bytes]:
    yield b"{\n"
    now, written = set(names), set()
    for name, body in _bodies(path):
        if name:
            written.add(name)
            yield _line(name, json.dumps(entry(name)) if name in now else body)
    for name in names:
        if name not in written:
            yield _line(name, json.dumps(entry(name)))
    yield _line("", json.dumps(last)).replace(b",\n", b"\n")
    yield b"}\n"


def _line(name: str, body: str) -> bytes:
    return f"{json.dumps(name)}: {body},\n".encode()


def _placed(skipped: Sequence[Skipped], before: Mapping[str, Any], ids: set[str]) -> list[Skipped]:
    """What was left out, at the places where earlier runs told of it, else at new ones: the ledger has one row for
    each name."""
    homes: dict[tuple[str, str], str] = {}
    for place, files in before.items():
        if isinstance(files, list) and files:
            homes.setdefault((_kind(place), str(files[0])), place)
    taken = {name.casefold() for name in ids}
    kept: dict[int, str] = {}
    for index, entry in enumerate(skipped):
        home = homes.get((_kind(entry.place), str(entry.files[0]))) if entry.files else None
        if home is not None and home.casefold() not in taken:
            kept[index] = home
            taken.add(home.casefold())
    taken |= {place.casefold() for place in before}
    placed = []
    for index, entry in enumerate(skipped):
        place, number = kept.get(index, entry.place), 2
        while index not in kept and place.casefold() in taken:
            place, number = f"{entry.place} ({number})", number + 1
        taken.add(place.casefold())
        placed.append(replace(entry, place=place))
    return placed


def _kind(place: str) -> str:
    """A place without the numbers that only tell it from others."""
    return _NUMBER.sub("", place)
