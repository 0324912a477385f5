"""The input files of each case of a batch: ``sources.json``, a JSON object with a line for each case.

With every slice of every series it may hold gigabytes, so that it is never read as a whole: where the lines lie is
remembered, and of those only one is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NAME = re.compile(rb'"(?:[^"\\]|\\.)*"')
_PIECE = 1 << 22
_END = b",\r\n "


class Sources:
    """The entries of one file, which may be written anew at any time.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        self._stamp: tuple[int, int] | None = None

    def entry(self, name: str) -> Mapping[str, Any] | None:
        """What is written of a case, "" for the run as a whole; None where nothing is.

        Raises:
            OSError: the file cannot be read.
            ValueError: the line is damaged.
        """
        try:
            with self._path.open("rb", buffering=_PIECE) as lines:
                status = self._path.stat()
                if self._stamp != (status.st_mtime_ns, status.st_size):
                    self._places = dict(_placesOf(lines))
                    self._stamp = status.st_mtime_ns, status.st_size
                place = self._places.get(name)
                if place is None:
                    return None
                lines.seek(place)
                line = lines.readline()
        except FileNotFoundError:
            return None
        found = _NAME.match(line)
        if found is None or line[found.end() : found.end() + 1] != b":":
            raise ValueError(f"the line of '{name}' is damaged")
        entry = json.loads(line[found.end() + 1 :].rstrip(_END))
        return entry if isinstance(entry, Mapping) else None


def _placesOf(lines: Any) -> Iterator[tuple[str, int]]:
    """The name of each line, and where it begins."""
    place = 0
    for line in lines:
        found = _NAME.match(line)
        if found is not None:
            yield str(json.loads(found[0])), place
        place += len(line)
