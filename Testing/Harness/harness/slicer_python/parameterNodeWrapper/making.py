"""The codec and the default of a member, by its type."""

from __future__ import annotations

import enum
import typing
from typing import Any

import slicer
from slicer.parameterNodeWrapper.annotations import Default, Validator, split
from slicer.parameterNodeWrapper.codecs import (
    PATHS,
    BoolCodec,
    Codec,
    EnumCodec,
    NodeCodec,
    NoneCodec,
    NumberCodec,
)
from slicer.parameterNodeWrapper.containers import DictCodec, ListCodec, TupleCodec, UnionCodec

ORIGINS: dict[Any, Any] = {
    list: ListCodec,
    tuple: TupleCodec,
    dict: DictCodec,
    typing.Union: UnionCodec,
}


def _plain_codec(kind: Any) -> Codec:
    origin = typing.get_origin(kind)
    if origin in ORIGINS:  # "X | None" has another origin; Slicer wants Optional[X]
        return ORIGINS[origin](kind, make_codec)
    if kind in (int, float):
        return NumberCodec(kind)
    if kind is bool:
        return BoolCodec(kind)
    if kind is str or kind in PATHS:
        return Codec(kind)
    if kind is type(None):
        return NoneCodec(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return EnumCodec(kind)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeCodec(kind)
    if getattr(kind, "_is_parameterPack", False):
        from slicer.parameterNodeWrapper.packs import PackCodec

        return PackCodec(kind)
    raise TypeError(f"Unable to create serializer for type: {kind}")


def make_codec(kind: Any) -> Codec:
    """The codec of a type, annotated or not. TypeError for types Slicer cannot store."""
    plain, annotations = split(kind)
    codec = _plain_codec(plain)
    codec.validators = [*codec.validators, *(entry for entry in annotations if isinstance(entry, Validator))]
    return codec


def make_default(owner: type, name: str, kind: Any, codec: Codec) -> Default:
    """The default by `= value`, by Default(...), or that of the type."""
    if name in owner.__dict__:
        return Default(owner.__dict__[name])
    given = [entry for entry in split(kind)[1] if isinstance(entry, Default)]
    if len(given) > 1:
        raise ValueError("Multiple defaults found")
    return given[0] if given else Default(generator=codec.default)
