"""Downloading what a catalogue lists: it goes on where it stopped, and nothing is used before its hash is right."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medcontext.disk import size_text
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.library.catalogue.form import CatalogueEntry
from medcontext.library.catalogue.part_file import PartFile, part_file, tidy
from medcontext.library.catalogue.places import local_path, shown
from medcontext.library.catalogue.transport import Head, NetworkError, NoSuchPartError, Transfer
from medcontext.library.folder import disk_errors

_SHOW_EVERY_S = 0.25
_BLOCK = 2**20
_CHECK_SHOWN_EVERY = 2**26
_CHANGED = "Its catalogue may be old: tell whoever keeps it."


class WrongFileError(InputError):
    """What the server has is not what the catalogue means."""


@dataclass(frozen=True)
class Patience:
    """How much is put up with.

    Attributes:
        stall_s: seconds without a byte after which a connection is given up.
        attempts: connections in a row that bring nothing before the download is given up.
        pause_s: seconds before another connection is made.
    """

    stall_s: float = 30.0
    attempts: int = 4
    pause_s: float = 2.0


PATIENCE = Patience()


@contextmanager
def downloaded(entry: CatalogueEntry, reporter: Reporter, patience: Patience = PATIENCE) -> Iterator[Path]:
    """The file of an entry, complete and with the right hash, for as long as the block lasts.

    What was received stays on the disk when the download is stopped or fails for a reason that may pass, and is
    gone after the block, unless the block ran out of disk space or was cancelled.

    Args:
        entry: with a whole address.
        reporter: gets the progress; asked whether to go on.
        patience: with the network.

    Raises:
        InputError: the file is not there, is not the one that the catalogue means, or another program is getting it.
        ResourceError: the network failed (what came is kept), or there is no room.
        CancelledError: someone asked to stop (what came is kept).
    """
    path = local_path(entry.url)
    if path is not None:
        _check_local(path, entry, reporter)
        yield path
        return
    tidy()
    with part_file(entry) as place:
        with disk_errors(place.folder):
            if not (place.complete.is_file() and _is_right(place.complete, entry, reporter)):
                try:
                    _download(place, entry, reporter, patience)
                except WrongFileError:
                    place.discard()
                    raise
        try:
            yield place.complete
        except InputError:  # the same bytes would be refused again
            place.discard()
            raise
        place.discard()


def _check_local(path: Path, entry: CatalogueEntry, reporter: Reporter) -> None:
    if not path.is_file():
        raise InputError(f"{path}, which the catalogue names, is not there.", _CHANGED)
    size = path.stat().st_size
    if size != entry.size:
        raise _wrong_size(entry, size)
    if not _is_right(path, entry, reporter):
        raise _wrong_hash(entry)


def _download(place: PartFile, entry: CatalogueEntry, reporter: Reporter, patience: Patience) -> None:
    """Fill the part, check it, and give it its name."""
    _ask_for_room(place, entry)
    in_pieces = _fill(place, entry, reporter, patience)
    right = _is_right(place.part, entry, reporter)
    if not right and in_pieces:
        # The file may have changed between two pieces on a server that does not say so, or a power cut may have
        # taken what was not yet on the disk.
        reporter.info("The pieces do not belong together; the file is downloaded again as a whole.")
        place.empty()
        _fill(place, entry, reporter, patience)
        right = _is_right(place.part, entry, reporter)
    if not right:
        raise _wrong_hash(entry)
    place.part.replace(place.complete)


def _ask_for_room(place: PartFile, entry: CatalogueEntry) -> None:
    """The rest of the file, and the model that is made of it, must fit on the disk."""
    needed = max(0, entry.size - place.size) + entry.size
    free = shutil.disk_usage(place.folder).free
    if needed > free:
        raise ResourceError(
            f"'{entry.title}' needs {size_text(needed)} for the download and the model; "
            f"{size_text(free)} are free in {place.folder.parent}.",
            "Free some space, for instance with 'medcontext model remove'.",
        )


def _fill(place: PartFile, entry: CatalogueEntry, reporter: Reporter, patience: Patience) -> bool:
    """Receive until nothing is missing; whether the file consists of several pieces."""
    if place.size > entry.size:
        place.empty()
    start = place.size
    failed = 0
    while (before := place.size) < entry.size:
        try:
            start = _receive(place, entry, reporter, patience.stall_s)
        except NetworkError as error:
            if isinstance(error, NoSuchPartError):
                place.empty()
            failed = 1 if place.size > before else failed + 1
            if failed >= patience.attempts:
                raise _given_up(error, place, entry) from error
            reporter.info(f"{error.message} Trying again.")
            _wait(patience.pause_s, reporter)
    return start > 0


def _receive(place: PartFile, entry: CatalogueEntry, reporter: Reporter, stall_s: float) -> int:
    """One connection, as far as it goes; the number of bytes that it took over from those before."""
    with Transfer(entry.url, place.request_headers(entry.url), stall_s, reporter) as transfer:
        head = transfer.head()
        have = start = _continues_at(head, place, entry, reporter)
        with place.open(start, entry.url, head) as stream:
            shown_at = 0.0
            for block in transfer.blocks():
                have += len(block)
                if have > entry.size:
                    raise _wrong_size(entry, have, "more than ")
                stream.write(block)
                stream.flush()  # a process that is killed keeps what it has shown
                if time.monotonic() - shown_at > _SHOW_EVERY_S:
                    shown_at = time.monotonic()
                    reporter.progress("download", have / entry.size, received=have, size=entry.size)
    if have < entry.size:
        raise NetworkError(
            f"{shown(entry.url)} ended after {size_text(have)} of {size_text(entry.size)}.",
            "Try again later.",
        )
    reporter.progress("download", 1, received=have, size=entry.size)
    return start


def _continues_at(head: Head, place: PartFile, entry: CatalogueEntry, reporter: Reporter) -> int:
    """The byte from which on the server sends: the end of the part, or 0 where it sends the whole.

    Raises:
        InputError: the file is of another size than the catalogue says.
        NetworkError: the server sends something that was not asked for; the part was emptied.
    """
    have = place.size
    if head.status == 200:
        size = head.number("content-length")
        if size not in (None, entry.size):
            raise _wrong_size(entry, size)
        if have:
            reporter.info("The server sends the file from its beginning: it has changed, or it cannot go on.")
        return 0
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", head.headers.get("content-range", "").strip())
    if head.status == 206 and have and found and int(found[1]) == have:
        if found[3] not in ("*", str(entry.size)):
            raise _wrong_size(entry, int(found[3]))
        return have
    place.empty()
    raise NetworkError(f"{shown(entry.url)} sent something that was not asked for.", "Try again.")


def _is_right(path: Path, entry: CatalogueEntry, reporter: Reporter) -> bool:
    """Whether a file has the hash of the catalogue."""
    digest, done = hashlib.sha256(), 0
    reporter.progress("check", 0)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            reporter.check_cancelled()
            digest.update(block)
            done += len(block)
            if done % _CHECK_SHOWN_EVERY == 0:
                reporter.progress("check", done / max(done, entry.size))
    reporter.progress("check", 1)
    return digest.hexdigest() == entry.sha256


def _wait(seconds: float, reporter: Reporter) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        reporter.check_cancelled()
        time.sleep(min(left, 0.1))


def _given_up(error: NetworkError, place: PartFile, entry: CatalogueEntry) -> NetworkError:
    if not place.size:
        return error
    kept = f"{size_text(place.size)} of {size_text(entry.size)} are kept"
    return NetworkError(error.message, f"{kept}: the same command goes on from there.")


def _wrong_size(entry: CatalogueEntry, size: int | None, more: str = "") -> WrongFileError:
    return WrongFileError(
        f"{shown(entry.url)} has {more}{size} bytes, the catalogue says {entry.size}; it was not used.",
        _CHANGED,
    )


def _wrong_hash(entry: CatalogueEntry) -> WrongFileError:
    return WrongFileError(
        f"{shown(entry.url)} is not the file that the catalogue means: its SHA-256 is another one; it was not used.",
        _CHANGED,
    )
