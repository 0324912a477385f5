"""How lists, tuples, dicts and unions are kept in a parameter node."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable
from typing import Any

import slicer
from slicer.parameterNodeWrapper.codecs import Codec, NodeCodec, NoneCodec

Make = Callable[[Any], Codec]


class ObservedList(collections.abc.MutableSequence):
    """A list whose changes go into the parameter node."""

    def __init__(self, node: Any, codec: ListCodec, name: str, values: list[Any]) -> None:
        self._node, self._codec, self._name, self._values = node, codec, name, values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[index] = value
        self._save()

    def __delitem__(self, index: Any) -> None:
        del self._values[index]
        self._save()

    def insert(self, index: int, value: Any) -> None:
        self._values.insert(index, value)
        self._save()

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"

    def __add__(self, _other: Any) -> Any:
        raise NotImplementedError("Adding an ObservedList is not supported. However, += is supported.")

    def _save(self) -> None:
        try:
            self._codec.write(self._node, self._name, self._values)
        finally:
            self._values = list(self._codec.read(self._node, self._name))


class ListCodec(Codec):
    def __init__(self, kind: Any, make: Make) -> None:
        self.kind = kind
        self.validators = []
        self._element = make(typing.get_args(kind)[0])
        self.cached = self._element.cached

    def check(self, value: Any) -> None:
        super().check(value)
        for entry in value:
            self._element.check(entry)

    def default(self) -> Any:
        return []

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}_len"))

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}_len")) if self.has(node, name) else 0

    def write(self, node: Any, name: str, value: Any) -> None:
        values = list(value)
        self.check(values)
        with slicer.util.NodeModify(node):
            old = self._length(node, name)
            for index, entry in enumerate(values):
                self._element.write(node, f"{name}_{index}", entry)
            node.SetParameter(f"{name}_len", str(len(values)))
            for index in range(len(values), old):
                self._element.remove(node, f"{name}_{index}")

    def read(self, node: Any, name: str) -> Any:
        length = self._length(node, name)
        values = [self._element.read(node, f"{name}_{index}") for index in range(length)]
        return ObservedList(node, self, name, values)

    def remove(self, node: Any, name: str) -> None:
        with slicer.util.NodeModify(node):
            self.write(node, name, [])
            node.UnsetParameter(f"{name}_len")


class TupleCodec(Codec):
    def __init__(self, kind: Any, make: Make) -> None:
        self.kind = kind
        self.validators = []
        self._elements = [make(entry) for entry in typing.get_args(kind)]
        self.cached = all(entry.cached for entry in self._elements)

    def check(self, value: Any) -> None:
        super().check(value)
        if len(tuple(value)) != len(self._elements):
            raise ValueError("Unexpected number of tuple values")
        for entry, codec in zip(value, self._elements, strict=True):
            codec.check(entry)

    def default(self) -> Any:
        return tuple(codec.default() for codec in self._elements)

    def has(self, node: Any, name: str) -> bool:
        return self._elements[0].has(node, f"{name}_0")

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            for index, (entry, codec) in enumerate(zip(value, self._elements, strict=True)):
                codec.write(node, f"{name}_{index}", entry)

    def read(self, node: Any, name: str) -> Any:
        return tuple(codec.read(node, f"{name}_{index}") for index, codec in enumerate(self._elements))

    def remove(self, node: Any, name: str) -> None:
        for index, codec in enumerate(self._elements):
            codec.remove(node, f"{name}_{index}")


class ObservedDict(collections.abc.MutableMapping):
    """A dict whose changes go into the parameter node."""

    def __init__(self, node: Any, codec: DictCodec, name: str, values: dict[Any, Any]) -> None:
        self._node, self._codec, self._name, self._values = node, codec, name, values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        return iter(self._values)

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[key] = value
        self._codec.write(self._node, self._name, self._values)

    def __delitem__(self, key: Any) -> None:
        del self._values[key]
        self._codec.write(self._node, self._name, self._values)

    def __repr__(self) -> str:
        return f"ObservedDict({self._values})"


class DictCodec(ListCodec):
    def __init__(self, kind: Any, make: Make) -> None:
        key, value = typing.get_args(kind)
        super().__init__(list[tuple[key, value]], make)  # type: ignore[valid-type]

    def default(self) -> Any:
        return {}

    def write(self, node: Any, name: str, value: Any) -> None:
        super().write(
            node, name, list(value.items()) if isinstance(value, collections.abc.Mapping) else value
        )

    def read(self, node: Any, name: str) -> Any:
        return ObservedDict(node, self, name, dict(super().read(node, name)))


class UnionCodec(Codec):
    def __init__(self, kind: Any, make: Make) -> None:
        self.kind = kind
        self.validators = []
        self._members = [make(entry) for entry in typing.get_args(kind)]
        self.cached = all(entry.cached for entry in self._members)

    def check(self, value: Any) -> None:
        super().check(value)
        self._index(value)

    def default(self) -> Any:
        optional = len(self._members) == 2 and isinstance(self._members[1], NoneCodec)
        return None if optional else self._members[0].default()

    def _index(self, value: Any) -> int:
        for index, codec in enumerate(self._members):
            exact = isinstance(codec, (NodeCodec, NoneCodec)) or type(value) is codec.kind
            try:
                codec.check(value)
            except (TypeError, ValueError):
                continue
            if exact and not (value is None and isinstance(codec, NodeCodec)):
                return index
        raise TypeError(f"Unable to write value '{value}' of type '{type(value)}'")

    def has(self, node: Any, name: str) -> bool:
        return any(codec.has(node, f"{name}_{index}") for index, codec in enumerate(self._members))

    def write(self, node: Any, name: str, value: Any) -> None:
        chosen = self._index(value)
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            self._members[chosen].write(node, f"{name}_{chosen}", value)

    def read(self, node: Any, name: str) -> Any:
        for index, codec in enumerate(self._members):
            if codec.has(node, f"{name}_{index}"):
                return codec.read(node, f"{name}_{index}")
        return None

    def remove(self, node: Any, name: str) -> None:
        for index, codec in enumerate(self._members):
            codec.remove(node, f"{name}_{index}")
