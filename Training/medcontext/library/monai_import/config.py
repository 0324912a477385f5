"""The configuration files of a MONAI bundle as plain data: references are followed, expressions are not evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.config import read_data
from medcontext.errors import InputError

SUFFIXES = (".json", ".yaml", ".yml")
MAXIMUM_BYTES = 8 * 2**20
"""The largest configuration in public bundles has 40 kB."""

TARGET = "_target_"

_ORDER = ("inference", "evaluate", "train")
"""Files that say how a model is used come first; others follow by name."""

_REFERENCE = re.compile(r"[@%]([\w.-]+(?:(?:::|#)[\w.-]+)*)")
_LENGTH = re.compile(r"\$\s*len\(@([\w.-]+(?:(?:::|#)[\w.-]+)*)\)\s*")
_FOLLOWED = 50
"""References lead to references at most so often."""

MOST_ENTRIES = 20_000
"""The largest configuration in public bundles has 2 000 entries."""


@dataclass(frozen=True)
class Part:
    """A value in a configuration file, with what is needed to follow its references.

    Attributes:
        value: as it stands in the file.
        key: where it stands (``network_def#in_channels``), for sentences.
        root: the whole file.
        file: name of the file.
    """

    value: Any
    key: str
    root: Mapping[str, Any]
    file: str

    def plain(self, followed: int = 0) -> Any:
        """The value as data; what it holds may still be references, see :meth:`items` and :meth:`get`.

        ``@name`` is replaced by what stands there, and ``$len(@name)`` by its length: both can be read off the file.

        Raises:
            InputError: it is another expression, which would have to be run, or a reference leads nowhere.
        """
        text = self.value
        if not isinstance(text, str) or not text.lstrip().startswith(("$", "@", "%")):
            return text
        if followed > _FOLLOWED:
            raise InputError(f"{self.file}: '{self.key}' refers to itself.")
        if found := _REFERENCE.fullmatch(text.strip()):
            return self._at(found[1]).plain(followed + 1)
        if found := _LENGTH.fullmatch(text.strip()):
            counted = self._at(found[1]).plain(followed + 1)
            if isinstance(counted, list | dict):
                return len(counted)
        raise InputError(
            f"{self.file}: '{self.key}' is the expression {text.strip()[:80]}, and expressions are not run.",
            "Write its value into the file.",
        )

    def _at(self, place: str) -> Part:
        """What stands at ``a#b#0`` (or ``a::b::0``) of the file."""
        part = Part(self.root, "", self.root, self.file)
        for name in re.split("::|#", place):
            within = part.plain()
            if isinstance(within, list) and name.isdigit() and int(name) < len(within):
                part = part._part(name, within[int(name)])
            elif isinstance(within, Mapping) and name in within:
                part = part._part(name, within[name])
            else:
                raise InputError(f"{self.file}: '{self.key}' refers to '{place}', which is not there.")
        return part

    def get(self, name: str, otherwise: Any = None) -> Any:
        """An entry of a mapping as data, all the way down.

        Raises:
            InputError: as for :meth:`plain`.
        """
        entry = self.entry(name)
        return otherwise if entry is None else entry.deep()

    def entry(self, name: str) -> Part | None:
        """An entry of a mapping, not yet followed; None where there is none."""
        value = self.plain()
        if not isinstance(value, Mapping) or name not in value:
            return None
        return self._part(name, value[name])

    def items(self) -> list[Part]:
        """The entries of a list; of anything else itself.

        Raises:
            InputError: as for :meth:`plain`.
        """
        value = self.plain()
        if not isinstance(value, list):
            return [Part(value, self.key, self.root, self.file)]
        return [self._part(index, entry) for index, entry in enumerate(value)]

    def deep(self, left: Iterator[int] | None = None) -> Any:
        """The value with everything in it as data; ``left`` runs out where references grow without end.

        Raises:
            InputError: as for :meth:`plain`.
        """
        left = iter(range(MOST_ENTRIES)) if left is None else left
        if next(left, None) is None:
            raise InputError(f"{self.file}: '{self.key}' grows without end.")
        value = self.plain()
        if isinstance(value, list):
            return [part.deep(left) for part in self.items()]
        if isinstance(value, Mapping):
            return {str(name): self._part(name, entry).deep(left) for name, entry in value.items()}
        return value

    def _part(self, name: object, value: Any) -> Part:
        return Part(value, f"{self.key}#{name}".lstrip("#"), self.root, self.file)

    @property
    def target(self) -> str:
        """What a component is called, without its module: ``DynUNet``; empty where it is none."""
        value = self.plain()
        name = value.get(TARGET) if isinstance(value, Mapping) else None
        return name.rpartition(".")[2] if isinstance(name, str) else ""

    @property
    def disabled(self) -> bool:
        """Whether the file says that a component is not used."""
        value = self.plain()
        return isinstance(value, Mapping) and str(value.get("_disabled_", False)).casefold() == "true"


def read_configs(folder: Path) -> list[Part]:
    """The configuration files of a bundle but for its metadata, those that say how it is used first.

    Raises:
        InputError: one cannot be read, or is too large.
    """
    files = sorted(
        (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()), key=_order
    )
    parts = [(file, read_config(file)) for file in files if file.stem != "metadata"]
    return [Part(data, "", data, file.name) for file, data in parts if isinstance(data, Mapping)]


def read_config(file: Path) -> Any:
    """The content of one file.

    Raises:
        InputError: it cannot be read, or is too large.
    """
    if file.stat().st_size > MAXIMUM_BYTES:
        raise InputError(
            f"{file} is no configuration of a bundle: it has {file.stat().st_size / 2**20:.0f} MB."
        )
    data = read_data(file)
    for count, _ in enumerate(_entries(data)):
        if count > MOST_ENTRIES:
            raise InputError(
                f"{file} is no configuration of a bundle: it has more than {MOST_ENTRIES} entries."
            )
    return data


def first(configs: list[Part], *places: str) -> Part | None:
    """What stands at the first of some places (``train#preprocessing``) in the first file that has one."""
    for config in configs:
        for place in places:
            if (part := _within(config, place.split("#"))) is not None:
                return part
    return None


def _within(part: Part, names: list[str]) -> Part | None:
    for name in names:
        entry = part.entry(name)
        if entry is None:
            return None
        part = entry
    return part


def texts(data: Any) -> list[str]:
    """Every text in the content of a file, as it stands there."""
    return [entry for entry in _entries(data) if isinstance(entry, str)]


def _entries(data: Any) -> Iterator[Any]:
    """Everything in nested data; what YAML repeats by name is met each time."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _order(file: Path) -> tuple[int, str]:
    return _ORDER.index(file.stem) if file.stem in _ORDER else len(_ORDER), file.name
