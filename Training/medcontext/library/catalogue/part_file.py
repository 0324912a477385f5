"""What a download leaves on the disk while it is not finished, so that it can go on after any kind of end."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medcontext.errors import InputError
from medcontext.home import downloads
from medcontext.library.catalogue.form import CatalogueEntry
from medcontext.library.catalogue.places import file_name
from medcontext.library.catalogue.transport import Head
from medcontext.library.checkpoint_file import SUFFIXES
from medcontext.library.folder import disk_errors

STALE_AFTER_S = 14 * 86_400
"""What was not gone on with for two weeks is deleted by the next download."""

_LOCK = "lock"
_NOTE = "from.json"


@dataclass(frozen=True)
class PartFile:
    """The file of an entry as far as it is there.

    Attributes:
        folder: of it alone.
        name: of the finished file.
    """

    folder: Path
    name: str

    @property
    def complete(self) -> Path:
        """The file once its hash was right."""
        return self.folder / self.name

    @property
    def part(self) -> Path:
        """The file before that."""
        return self.folder / f"{self.name}.part"

    @property
    def size(self) -> int:
        """Bytes that were received."""
        return self.part.stat().st_size if self.part.exists() else 0

    def request_headers(self, url: str) -> dict[str, str]:
        """What to ask for: the rest where there is a beginning, if the file is still the same (RFC 9110, 13.1.5)."""
        if not self.size:
            return {}
        validator = self._validator(url)
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": validator} if validator else {})

    def open(self, start: int, url: str, head: Head) -> IO[bytes]:
        """The part, to write from byte ``start`` on: its end, or 0, which empties it first."""
        if start:
            return self.part.open("ab")
        self.empty()  # before the note: with the note of another file the old bytes would count as its beginning
        tag = head.headers.get("etag", "")
        # A weak tag promises files that mean the same, not the same bytes.
        validator = tag if tag and not tag.startswith("W/") else head.headers.get("last-modified", "")
        (self.folder / _NOTE).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
        return self.part.open("wb")

    def _validator(self, url: str) -> str:
        """What names the version of the file that the part is of; "" where the server of ``url`` did not say."""
        try:
            note = json.loads((self.folder / _NOTE).read_text(encoding="utf-8"))
            validator = note["validator"] if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):  # cut off; the hash decides in the end
            return ""
        return validator if isinstance(validator, str) else ""

    def empty(self) -> None:
        """Forget what was received."""
        self.part.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete everything."""
        for file in (self.part, self.complete, self.folder / _NOTE):
            with suppress(OSError):  # what cannot be deleted now is so in two weeks
                file.unlink(missing_ok=True)


@contextmanager
def part_file(entry: CatalogueEntry) -> Iterator[PartFile]:
    """The place of an entry's download, held against other programs; its folder is gone afterwards if it is empty.

    Raises:
        InputError: another program is downloading the same, or nothing can be written there.
        ResourceError: the disk is full.
    """
    from filelock import FileLock, Timeout

    name = file_name(entry.url)
    if not name.lower().endswith((".zip", *SUFFIXES)):
        name = f"{name or 'model'}{'.pth' if entry.form == 'weights' else '.zip'}"
    place = PartFile(downloads() / f"{entry.id}-{entry.sha256[:16]}", name)
    with disk_errors(place.folder):
        place.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(
                f"'{entry.title}' is being downloaded by another program.", "Wait until it is there."
            ) from error
    try:
        yield place
    finally:
        lock.release()
        if not any(file.name != _LOCK for file in place.folder.iterdir()):
            shutil.rmtree(place.folder, ignore_errors=True)


def tidy() -> None:
    """Delete what nobody went on with."""
    folder = downloads()
    for left in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # another process may be deleting it as well
            newest = max((file.stat().st_mtime for file in left.iterdir()), default=0.0)
            if time.time() - newest > STALE_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)
