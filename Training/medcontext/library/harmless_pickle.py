"""Reading pickles of other programs as data: what is named in them is looked up in a table and never imported."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

MOST_OPCODES = 20_000_000
"""A pickle of a network of 10 000 tensors has about half a million."""

_INDEX = ("PUT", "BINPUT", "LONG_BINPUT")
"""Opcodes with a place in the reader's memory, which it makes as long as they say."""

_REGISTRY = ("EXT1", "EXT2", "EXT4")


class Bag:
    """Stands for an object of any class: its attributes, and nothing that it could do."""

    def __init__(self, *_: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, Mapping):
            raise pickle.UnpicklingError(f"an object with a state of {type(state).__name__}")
        self.attributes = {str(name): value for name, value in state.items()}


class Call:
    """A function that a pickle may call, itself unchangeable by the pickle."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function that is changed")


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, data: bytes, known: Mapping[str, Any], bags: str, persistent: Callable[[Any], Any] | None
    ) -> None:
        super().__init__(BytesIO(data))
        self._known, self._bags, self._persistent = known, bags, persistent

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in self._known:
            return self._known[full]
        if self._bags and (module == self._bags or module.startswith(f"{self._bags}.")):
            return Bag
        raise pickle.UnpicklingError(f"Unsupported class {full}")

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise pickle.UnpicklingError("numbers that are kept elsewhere")
        return self._persistent(pid)


def read_pickle(
    data: bytes,
    known: Mapping[str, Any],
    *,
    bags: str = "",
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The content of a pickle.

    Args:
        data: the pickle.
        known: what stands for each class or function that it may name, as ``module.name``; functions as :class:`Call`.
        bags: every class of this package, such as ``__torch__``, becomes a :class:`Bag`.
        persistent: gives what the pickle keeps outside of itself.

    Raises:
        pickle.UnpicklingError: it names something else. Nothing of it was called.
        Exception: what :mod:`pickle` raises for a damaged one.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in _REGISTRY:
            raise pickle.UnpicklingError("a class of the registry")
        if count > MOST_OPCODES or (opcode.name in _INDEX and int(argument or 0) > len(data)):
            raise pickle.UnpicklingError("pickle would fill the memory")
    return _Unpickler(data, known, bags, persistent).load()
