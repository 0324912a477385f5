"""Reading a ledger while somebody else writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from medcontext.batch_ledger.layout import Layout
from medcontext.batch_ledger.rows import Row, parse
from medcontext.errors import InputError


def read_rows(out: Path) -> dict[str, Row]:
    """The newest row of each case, from all ledgers of an output folder; empty where there are none.

    Lines that are no rows are passed over: a case that lost its row is simply done again. Within a ledger the last
    row of a case counts. Between ledgers it is that of the later run, which the rows number; clocks are set back, and
    those of two machines differ.

    Raises:
        InputError: a ledger cannot be read.
    """
    newest: dict[str, Row] = {}
    for path in Layout(out).ledgers():
        rows = {row["case"]: row for row in _rows(_read(path))}
        for case, row in rows.items():
            other = newest.get(case)
            if other is None or _order(row) >= _order(other):
                newest[case] = row
    return newest


class Tail:
    """Follows the ledgers of an output folder while they grow.

    Args:
        out: the output folder; it need not be there yet.
    """

    def __init__(self, out: Path) -> None:
        self._layout = Layout(out)
        self._offsets: dict[Path, int] = {}

    def poll(self, limit: int | None = None) -> list[Row]:
        """The rows that came since the last call, all of them in the first; a line being written waits.

        Args:
            limit: about how many bytes are read of each ledger, by a reader that must not be held up; an empty
                answer means that there is no more.

        Raises:
            InputError: a ledger cannot be read.
        """
        found: list[Row] = []
        more = True
        while more and not found:  # what was read may hold no row, which does not mean that there is no more
            more = False
            for path in self._layout.ledgers():
                text = self._new(path, limit)
                more = more or bool(text)
                found += _rows(text)
        return found

    def _new(self, path: Path, limit: int | None) -> bytes:
        offset = self._offsets.get(path, 0)
        try:
            with path.open("rb") as stream:
                if offset > stream.seek(0, os.SEEK_END):
                    offset = 0  # the file was made anew
                stream.seek(offset)
                text = stream.read() if limit is None else stream.read(limit) + stream.readline()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unreadable(path, error) from error
        end = text.rfind(b"\n") + 1
        self._offsets[path] = offset + end
        return text[:end]


def volumes_of(rows: Mapping[str, Row], key: str = "volumes_ml") -> dict[str, dict[str, float]]:
    """Label -> case -> number, of ``volumes_ml``, ``voxels`` or ``dice``; labels in the order they first occur."""
    table: dict[str, dict[str, float]] = {}
    for case, row in rows.items():
        values = row.get(key)
        for label, value in (values if isinstance(values, dict) else {}).items():
            if isinstance(value, int | float):
                table.setdefault(label, {})[case] = float(value)
    return table


def read_lines(path: Path, key: str = "case") -> list[Row]:
    """The objects of a file of JSON lines; none where there is no file, lines that are none are passed over.

    Raises:
        InputError: the file cannot be read.
    """
    return list(_rows(_read(path), key))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _unreadable(path, error) from error


def _rows(text: bytes, key: str = "case") -> Iterable[Row]:
    for line in text.split(b"\n"):
        if line:
            row = parse(line, key)
            if row is not None:
                yield row


def _order(row: Row) -> tuple[float, float]:
    """Grows from run to run of a case; the time tells only between runs that knew nothing of each other."""
    sequence, time = (
        float(value) if isinstance(value := row.get(key), int | float) else 0.0
        for key in ("sequence", "time")
    )
    return sequence, time


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be read: {error.strerror or error}.", "Check that its drive is connected."
    )
