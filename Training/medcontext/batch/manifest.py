"""Manifests: tables (CSV) or lists (JSON) that name the images of each case."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.errors import InputError
from medcontext.io.dicom_folder import printable

ENDINGS = (".csv", ".tsv", ".json")
COLUMNS = ("id", "image", "channels", "roi", "reference", "text")
_SEPARATORS = (",", ";", "\t")
_VOXELS = re.compile(r"[\d:,\s]+")
_FORMS = "Give each row an 'image', one column for each channel of the model, or 'channels' as NAME=FILE;NAME=FILE."


@dataclass(frozen=True)
class ManifestRow:
    """One case as a manifest names it.

    Attributes:
        place: where it stands, for messages, such as ``row 3``.
        id: the name wanted, or empty.
        paths: one for each channel of the model, or one that holds all of them; absolute; may be missing.
        roi: voxels ``k0:k1,j0:j1,i0:i1`` or an absolute path, or None.
        reference: a labelmap to score against, absolute, or None.
        text: what a model with text reads.
        folder: that of the manifest.
    """

    place: str
    id: str
    paths: tuple[Path, ...]
    roi: str | None
    reference: Path | None
    text: str
    folder: Path


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest by its ending."""
    return path.suffix.lower() in ENDINGS


def read_manifest(path: Path, channels: Sequence[str]) -> list[ManifestRow]:
    """Read a manifest; whether the files it names exist is not asked.

    Args:
        path: CSV with ``,``, ``;`` or tabs between its columns, or a JSON list of objects.
        channels: names of the model's channels, which are allowed as columns.

    Raises:
        InputError: the file cannot be read, a column is unknown or missing, or a row lacks its image; the
            sentence says which row.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not written in UTF-8.", "Save it as UTF-8 text.") from error
    form = _Form(path, channels)
    rows = _from_json(text, form) if path.suffix.lower() == ".json" else _from_table(text, form)
    if not rows:
        raise InputError(f"{path} names no case.", _FORMS)
    return [form.row(place, row) for place, row in rows]


Fields = Mapping[str, str]


def _from_table(text: str, form: _Form) -> list[tuple[str, Fields]]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    rows: list[tuple[str, Fields]] = []
    try:
        for line in lines:
            cells = [cell.strip() for cell in line]
            if not any(cells):
                continue
            if not names:
                names = [cell.casefold() for cell in cells]
                form.check_columns("its first line", [name for name in names if name])
                continue
            place = f"row {lines.line_num}"
            if any(cells[len(names) :]):
                raise InputError(
                    f"{form.path}, {place}, has {len(cells)} cells under {len(names)} columns.",
                    "Put text that holds the separator into quotes.",
                )
            rows.append((place, dict(zip(names, cells, strict=False))))
    except csv.Error as error:
        raise InputError(
            f"{form.path}, row {lines.line_num}, is broken: {error}.", "Check its quotes."
        ) from error
    return rows


def _from_json(text: str, form: _Form) -> list[tuple[str, Fields]]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"{form.path} is no JSON: {error}.", "Check it with an editor.") from error
    if not isinstance(entries, list):
        raise InputError(f"{form.path} is no list of objects, one for each case.", _FORMS)
    rows: list[tuple[str, Fields]] = []
    for number, entry in enumerate(entries, start=1):
        place = f"entry {number}"
        if not isinstance(entry, dict):
            raise InputError(f"{form.path}, {place}, is no object.", _FORMS)
        form.check_columns(place, [key.casefold() for key in entry])
        rows.append((place, {key.casefold(): form.plain(value, key, place) for key, value in entry.items()}))
    return rows


class _Form:
    """What rows of one manifest look like, and turning their fields into rows.

    Args:
        path: the manifest; the files it names lie relative to it.
        channels: names of the model's channels.
    """

    def __init__(self, path: Path, channels: Sequence[str]) -> None:
        self.path = path
        self.folder = path.absolute().parent
        self.channels = channels
        self.known = {name.casefold(): name for name in channels if name.casefold() not in COLUMNS}

    def check_columns(self, place: str, names: Sequence[str]) -> None:
        """Refuse names that are unknown, there twice, or lack the image."""
        allowed = f"Allowed are {', '.join([*COLUMNS, *self.known.values()])}."
        for name in names:
            if name not in COLUMNS and name not in self.known:
                raise InputError(f"{self.path}, {place}: there is no column '{name}'.", allowed)
            if names.count(name) > 1:
                raise InputError(f"{self.path}, {place}, has the column '{name}' twice.", "Remove one.")
        if not {"image", "channels", *self.known}.intersection(names):
            raise InputError(f"{self.path}, {place}, has no column 'image'.", _FORMS)

    def plain(self, value: Any, key: str, place: str) -> str:
        """A value of JSON as a cell of a table."""
        if key.casefold() == "channels" and isinstance(value, dict):
            return ";".join(f"{name}={self.plain(file, key, place)}" for name, file in value.items())
        if value is None:
            return ""
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value).strip()
        raise InputError(f"{self.path}, {place}: '{key}' is {json.dumps(value)}; text is needed.", _FORMS)

    def row(self, place: str, fields: Fields) -> ManifestRow:
        roi = fields.get("roi") or None
        reference = fields.get("reference")
        return ManifestRow(
            place,
            printable(fields.get("id", "")),
            self._images(place, fields),
            roi if roi is None or _VOXELS.fullmatch(roi) else str(self.folder / roi),
            self.folder / reference if reference else None,
            printable(fields.get("text", "")),
            self.folder,
        )

    def _images(self, place: str, fields: Fields) -> tuple[Path, ...]:
        """The files of one row, in the order of the model's channels."""
        columns = {name: fields[name] for name in self.known if fields.get(name)}
        ways = [bool(fields.get("image")), bool(fields.get("channels")), bool(columns)]
        if sum(ways) != 1:
            what = "names no image" if not any(ways) else "names its image in two ways"
            raise InputError(f"{self.path}, {place}, {what}.", _FORMS)
        if fields.get("image"):
            return (self.folder / fields["image"],)
        given = columns or self._listed(place, fields["channels"])
        missing = [name for name in self.channels if not given.get(name.casefold())]
        if missing or len(given) > len(self.channels):
            raise InputError(
                f"{self.path}, {place}: the model needs the channels {', '.join(self.channels)}; "
                f"{', '.join(given) or 'none'} is named.",
                _FORMS,
            )
        return tuple(self.folder / given[name.casefold()] for name in self.channels)

    def _listed(self, place: str, text: str) -> dict[str, str]:
        given = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, equals, file = (piece.strip() for piece in part.partition("="))
            if not (name and equals and file) or name.casefold() in given:
                raise InputError(f"{self.path}, {place}: '{part}' is not NAME=FILE, each name once.", _FORMS)
            given[name.casefold()] = file
        return given
