"""``@parameterPack``: several values as one parameter."""

from __future__ import annotations

import typing
from typing import Any

import slicer
from slicer.parameterNodeWrapper.annotations import split
from slicer.parameterNodeWrapper.codecs import Codec
from slicer.parameterNodeWrapper.making import make_codec, make_default


def isParameterPack(thing: Any) -> bool:
    return bool(getattr(thing, "_is_parameterPack", False))


def _member(name: str) -> property:
    def get(self: Any) -> Any:
        return self._values[name]

    def put(self: Any, value: Any) -> None:
        type(self).allParameters[name].codec.check(value)
        self._values[name] = value
        if self._bound:
            codec, node, parameter = self._bound
            codec.write(node, parameter, self)

    return property(get, put)


class _Info:
    def __init__(self, owner: type, name: str, kind: Any) -> None:
        self.unalteredType = kind
        self.codec = make_codec(kind)
        self.default = make_default(owner, name, kind, self.codec)


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    names = list(type(self).allParameters)
    given = dict(zip(names, args, strict=False)) | kwargs
    unknown = set(given) - set(names)
    if unknown or len(args) > len(names):
        raise TypeError(f"__init__() got unexpected arguments {sorted(unknown)}")
    self.__dict__["_values"], self.__dict__["_bound"] = {}, None
    for name, info in type(self).allParameters.items():
        setattr(self, name, given.get(name, info.default.value))


def _locate(self: Any, name: str) -> tuple[Any, str]:
    top, _, rest = name.partition(".")
    if top not in type(self).allParameters:
        raise ValueError(f"{self} has no member '{top}'")
    return _locate(getattr(self, top), rest) if rest else (self, top)


def _get_value(self: Any, name: str) -> Any:
    owner, member = _locate(self, name)
    return getattr(owner, member)


def _set_value(self: Any, name: str, value: Any) -> None:
    owner, member = _locate(self, name)
    setattr(owner, member, value)


def data_type(parameters: dict[str, Any], name: str) -> Any:
    """The annotated type of a parameter; "a.b" is the member b of the pack a."""
    top, _, rest = name.partition(".")
    if top not in parameters:
        raise ValueError(f"Cannot find a param with the given name: {top}")
    kind = parameters[top].unalteredType
    return data_type(split(kind)[0].allParameters, rest) if rest else kind


def parameterPack(cls: Any = None) -> Any:
    """Class decorator."""
    if cls is None:
        return parameterPack
    members = typing.get_type_hints(cls, include_extras=True)
    if not members:
        raise ValueError("Unable to find any members in parameterPack")
    cls.allParameters = {name: _Info(cls, name, kind) for name, kind in members.items()}
    for name in members:
        setattr(cls, name, _member(name))
    cls.__init__ = _init
    cls.__eq__ = lambda self, other: type(self) is type(other) and self._values == other._values
    cls.__hash__ = None
    cls.__repr__ = lambda self: f"{cls.__name__}({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"
    cls.getValue, cls.setValue = _get_value, _set_value
    cls.dataType = staticmethod(lambda name: data_type(cls.allParameters, name))
    cls._is_parameterPack = True
    return cls


def nestedParameterNames(pack: Any) -> list[str]:
    names = []
    for name, info in split(pack)[0].allParameters.items():
        inner = split(info.unalteredType)[0]
        names += (
            [f"{name}.{sub}" for sub in nestedParameterNames(inner)] if isParameterPack(inner) else [name]
        )
    return names


class PackCodec(Codec):
    """Members are stored as "<name>.<member>"; what is read writes its changes back."""

    cached = False

    def has(self, node: Any, name: str) -> bool:
        member, info = next(iter(self.kind.allParameters.items()))
        return info.codec.has(node, f"{name}.{member}")

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            for member, info in self.kind.allParameters.items():
                info.codec.write(node, f"{name}.{member}", value._values[member])

    def read(self, node: Any, name: str) -> Any:
        pack = self.kind()
        for member, info in self.kind.allParameters.items():
            pack._values[member] = info.codec.read(node, f"{name}.{member}")
        pack._bound = (self, node, name)
        return pack

    def remove(self, node: Any, name: str) -> None:
        for member, info in self.kind.allParameters.items():
            info.codec.remove(node, f"{name}.{member}")
