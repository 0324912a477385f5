"""What may stand in ``Annotated[type, ...]``: defaults, validators and hints for widgets."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Container
from typing import Any


class Default:
    """The value a parameter has at first."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


class Validator:
    """Base of all checks of a value; `validate` raises ValueError or TypeError."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


@dataclasses.dataclass
class IsInstance(Validator):
    classtype: Any

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(
                f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'"
            )


@dataclasses.dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclasses.dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclasses.dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclasses.dataclass
class Choice(Validator):
    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


@dataclasses.dataclass
class Exclude(Validator):
    excludedValues: Container[Any]

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value {value} is excluded")


@dataclasses.dataclass
class Decimals:
    """Digits a spin box or slider shows after the point."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Step of a spin box or slider."""

    value: float


def split(kind: Any) -> tuple[Any, list[Any]]:
    """The type without its annotations, and the annotations."""
    if typing.get_origin(kind) is typing.Annotated:
        arguments = typing.get_args(kind)
        return arguments[0], list(arguments[1:])
    return kind, []


def first(annotations: list[Any], kind: type) -> Any:
    """The first annotation of that kind, or None."""
    return next((entry for entry in annotations if isinstance(entry, kind)), None)
