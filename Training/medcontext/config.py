"""Configuration is data: strict pydantic models that read and write JSON and YAML.

Unknown keys are errors; nothing read from a file is ever executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from medcontext.errors import InputError

_KIND = re.compile(r"constrained-\w+|(tuple|literal|list)\[.*\]|int|float|str")
"""What pydantic names among the parts of a place where a field takes several kinds of value."""


class StrictModel(BaseModel):
    """Base of every configuration: unknown keys are errors and values do not change after the check."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )

    @classmethod
    def parse(cls, data: Any, source: str) -> Self:
        """Check ``data`` that came from ``source`` (named in errors).

        Raises:
            InputError: a key is unknown or a value is not allowed; the sentence names each of them.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            found = "; ".join(_describe(entry, cls.model_fields) for entry in error.errors())
            raise InputError(f"{source} cannot be used: {found}.") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a ``.json``, ``.yaml`` or ``.yml`` file.

        Raises:
            InputError: the file is missing, is not JSON or YAML, or does not fit.
        """
        return cls.parse(read_data(path), str(path))

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")

    def updated(self, assignments: list[str]) -> Self:
        """A copy with ``key=value`` assignments applied (``a.b=3`` reaches inside; values are YAML).

        Raises:
            InputError: an assignment has no ``=``, there is no such setting, or the result is not valid.
        """
        data = self.model_dump(mode="json")
        for assignment in assignments:
            *parents, leaf = keys = self.keys_of(assignment)
            target: Any = data
            for parent in parents:
                target = target.get(parent) if isinstance(target, dict) else None
            if not isinstance(target, dict):
                raise self._no_setting(keys)
            target[leaf] = yaml.safe_load(assignment.partition("=")[2])
        return type(self).parse(data, "--set")

    @classmethod
    def keys_of(cls, assignment: str) -> list[str]:
        """The keys of a ``key=value`` assignment, from the outermost, which is a setting.

        Raises:
            InputError: it has no ``=`` or there is no such setting.
        """
        key, separator, _ = assignment.partition("=")
        if not separator:
            raise InputError(f"'{assignment}' is not of the form key=value.", "Example: --set mask.ratio=0.4")
        keys = key.strip().split(".")
        if keys[0] not in cls.model_fields:
            raise cls._no_setting(keys)
        return keys

    @classmethod
    def _no_setting(cls, keys: list[str]) -> InputError:
        known = ", ".join(cls.model_fields)
        return InputError(f"There is no setting '{'.'.join(keys)}'.", f"Known settings: {known}.")

    def merged(self, changes: Any, source: str) -> Self:
        """A copy with nested ``changes`` applied; what they do not name stays.

        Raises:
            InputError: the changes are not a mapping, name an unknown setting, or give it a wrong value.
        """
        return type(self).parse(_merge(self.model_dump(mode="json"), changes), source)


def _merge(data: Any, changes: Any) -> Any:
    if not isinstance(data, dict) or not isinstance(changes, dict):
        return changes
    return data | {key: _merge(data.get(key), value) for key, value in changes.items()}


def read_data(path: Path) -> Any:
    """The content of a JSON or YAML file as plain Python data.

    Raises:
        InputError: the file is missing or cannot be parsed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError as error:
        where = "" if path.is_absolute() else f"It was looked for in {Path.cwd()}."
        raise InputError(f"{path} does not exist.", where) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path} is not valid {path.suffix.lstrip('.').upper()}: {error}.") from error


def _describe(entry: Any, known: Iterable[str]) -> str:
    """One thing that is wrong, where ``known`` are the outermost fields."""
    parts = [str(part) for part in entry["loc"] if not _KIND.fullmatch(str(part))]
    where = ".".join(parts) or "content"
    if entry["type"] == "extra_forbidden":
        allowed = f"; allowed are {', '.join(known)}" if len(entry["loc"]) == 1 else ""
        return f"there is no field '{where}' (given: {str(entry.get('input'))[:80]}{allowed})"
    if entry["type"] == "missing":
        return f"the field '{where}' is missing"
    if (
        entry["type"] == "value_error" and not entry["loc"]
    ):  # settings that do not go together; all were given
        return str(entry["ctx"]["error"])
    return f"{where}: {entry['msg']} (given: {str(entry.get('input'))[:80]})"
