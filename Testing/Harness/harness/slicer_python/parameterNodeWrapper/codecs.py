"""How values of each supported type are kept in a parameter node."""

from __future__ import annotations

import pathlib
from typing import Any

from slicer.parameterNodeWrapper.annotations import IsInstance, NotNone, Validator

PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


class Codec:
    """Reads and writes one value; `cached` tells whether a wrapper may keep what it read."""

    cached = True

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.validators: list[Validator] = [NotNone(), IsInstance(kind)]

    def check(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def default(self) -> Any:
        return self.kind()

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        node.SetParameter(name, self.encode(value))

    def read(self, node: Any, name: str) -> Any:
        return self.decode(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)

    def encode(self, value: Any) -> str:
        return str(value)

    def decode(self, text: str) -> Any:
        return self.kind(text)


class NumberCodec(Codec):
    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        self.validators = [NotNone(), IsInstance((int, float) if kind is float else int)]


class BoolCodec(Codec):
    def decode(self, text: str) -> bool:
        return text == "True"


class EnumCodec(Codec):
    def default(self) -> Any:
        return next(iter(self.kind))

    def encode(self, value: Any) -> str:
        return value.name

    def decode(self, text: str) -> Any:
        return self.kind[text]


class NodeCodec(Codec):
    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        self.validators = [IsInstance(kind)]

    def default(self) -> None:
        return None

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        node.SetParameter(name, "")  # shows that the reference was set, to None maybe
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneCodec(Codec):
    def check(self, value: Any) -> None:
        if value is not None:
            raise ValueError("Value must be None")

    def encode(self, _value: Any) -> str:
        return "True"

    def decode(self, _text: str) -> None:
        return None
