"""The tensors of a TorchScript archive. Its program is not loaded, compiled or run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.errors import InputError
from medcontext.library.checkpoint_file import BROKEN, check_archive, refusal
from medcontext.library.harmless_pickle import Bag, Call, read_pickle

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip

_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")

_MOST_PARTS, _DEEPEST = 1_000_000, 200
"""Attributes of a network, and modules in each other; modules that contain themselves have no end of both."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with a program in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Tensors by the names of the modules and attributes that they lie in (``encoder.layer.weight``).

    Raises:
        InputError: it is no such file, is damaged, or holds more than modules, tensors, numbers and text.
            Nothing of it is executed.
    """
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            place = _place(archive, path)
            storages = _Storages(archive, place)
            root = read_pickle(
                archive.read(f"{place}/data.pkl"), _known(), bags="__torch__", persistent=storages.get
            )
            return dict(_named(root))
    except BROKEN as error:
        raise refusal(path, error) from error


def _place(archive: zipfile.ZipFile, path: Path) -> str:
    """The one folder in the archive."""
    places = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(places) != 1:
        raise InputError(f"{path} is no TorchScript file: it holds {len(places)} networks.")
    return places[0]


class _Storages:
    """Reads the numbers of tensors when they are asked for, each once."""

    def __init__(self, archive: zipfile.ZipFile, place: str) -> None:
        self._archive, self._place = archive, place
        self._read: dict[str, Tensor] = {}

    def get(self, pid: Any) -> Tensor:
        """The numbers of ``('storage', kind, key, device, count)`` as a vector."""
        import torch

        _, kind, key, _, count = pid
        if not isinstance(kind, _Kind) or not isinstance(key, str):
            raise pickle.UnpicklingError("a storage of no known kind")
        if key not in self._read:
            data = self._archive.read(f"{self._place}/data/{key}")
            dtype: torch.dtype = getattr(torch, kind.dtype)
            self._read[key] = (
                torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
            )
        if self._read[key].numel() < count:
            raise pickle.UnpicklingError("a storage holds fewer numbers than it claims")
        return self._read[key]


class _Kind:
    """Stands for a storage class: the type of its numbers."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a kind of storage that is changed")


def _known() -> dict[str, Any]:
    """What the pickle of a TorchScript archive names beside its own modules."""
    kinds = {f"torch.{name}": _Kind(dtype) for name, dtype in _STORAGES.items()}
    lists = {f"torch.jit._pickle.{name}": Call(list) for name in _LISTS}
    return {
        **kinds,
        **lists,
        "torch.jit._pickle.restore_type_tag": Call(lambda value, _tag: value),
        "torch._utils._rebuild_tensor_v2": Call(_tensor),
        "torch.device": Call(str),
        "collections.OrderedDict": Call(dict),
    }


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """A view of a storage that does not leave it."""
    whole = len(size) == len(stride) and min((offset, *size, *stride)) >= 0
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=False))
    if not whole or (0 not in size and last >= storage.numel()):
        raise pickle.UnpicklingError("a tensor claims more numbers than there are")
    return storage.as_strided(size, stride, offset)


def _named(module: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor below a module, with its name; a module that two others share gives its tensors two names."""
    import torch

    waiting: list[tuple[str, Any]] = [("", module)]
    for _ in range(_MOST_PARTS):
        if not waiting:
            return
        name, thing = waiting.pop()
        if name.count(".") > _DEEPEST:
            break
        if isinstance(thing, torch.Tensor):
            yield name, thing
        elif isinstance(thing, Bag):
            waiting += [(f"{name}.{part}".lstrip("."), value) for part, value in thing.attributes.items()]
    raise pickle.UnpicklingError("modules that contain each other")
