"""Reading files of weights that other programs wrote: tensors and numbers come out, and nothing in them runs."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medcontext.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".model", ".safetensors")
"""What such files are called. What is in them is read from their content, whatever they are called."""

_DEPTH = 3
"""Weights lie at most so many dictionaries deep."""

_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"
_PACKED = 2
"""PyTorch stores numbers as they are. A file that grows more than so many times when it is opened is no such file."""

BROKEN = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, OSError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What torch raises for a file that is cut off or not its own."""


def read_checkpoint(path: Path) -> Any:
    """The content of a PyTorch or safetensors file: dictionaries and lists of tensors, numbers and text.

    Tensors stay in the file until they are used.

    Raises:
        InputError: it is no such file, is damaged, or holds more than that. Nothing of it is executed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    form = _form(path)
    try:
        return load_file(path) if form == "safetensors" else _torch_load(path, mapped=form == "zip")
    except (*BROKEN, SafetensorError) as error:
        raise refusal(path, error) from error


def state_dicts(data: Any, place: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary of named tensors in the content of a file, outermost first, with its place (``a.b``)."""
    import torch

    if not isinstance(data, Mapping):
        return
    tensors = {k: v for k, v in data.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if tensors:
        yield place, tensors
    if depth:
        for key, value in data.items():
            yield from state_dicts(value, f"{place}.{key}".lstrip("."), depth - 1)


def check_storage(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that claim more numbers than the file holds: what follows them would fill the memory.

    Raises:
        InputError: there is one.
    """
    import torch

    for name, value in tensors.items():
        plain = value.layout == torch.strided and not value.is_quantized
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(
                f"{path} is damaged: '{name}' claims {value.numel()} numbers and holds fewer.",
                "Get it again.",
            )


def _form(path: Path) -> str:
    """What kind of file it is, by its first bytes."""
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if head.startswith(_ZIP):
        _check_zip(path)
        return "zip"
    if head[8:9] == b"{":
        return "safetensors"
    if head.startswith(_PICKLE):
        return "pickle"
    raise InputError(
        f"{path} is no file of weights.",
        "Give a PyTorch (.pt, .pth) or safetensors file, or a model as .zip.",
    )


def check_archive(path: Path) -> list[str]:
    """The names in a zip of tensors.

    Raises:
        InputError: it is damaged, holds no tensors, or grows when it is opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except BROKEN as error:
        raise refusal(path, error) from error
    names = [entry.filename for entry in entries]
    if not any(name.endswith("data.pkl") for name in names):
        raise InputError(f"{path} holds neither a model nor weights.")
    if sum(entry.file_size for entry in entries) > _PACKED * path.stat().st_size:
        raise InputError(f"{path} grows when it is opened, as no file of weights does.", "Do not use it.")
    return names


def _check_zip(path: Path) -> None:
    if any("/code/" in name for name in check_archive(path)):
        raise InputError(
            f"{path} is a TorchScript program, not a file of weights.", "Get the weights (state_dict) of it."
        )


def _torch_load(path: Path, mapped: bool) -> Any:
    import torch

    with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # of other writers than torch
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def refusal(path: Path, error: Exception) -> InputError:
    """What is wrong with a file that could not be read because of ``error``, in a sentence."""
    told = str(error)
    needed = re.search(r"GLOBAL ([\w.]+)", told) or re.search(
        r"[Uu]nsupported (?:global|class):? ([\w.]+)", told
    )
    if needed is None and "weights_only" not in told and "WeightsUnpickler" not in told:
        return InputError(f"{path} is damaged or no file of weights.", "Get it again.")
    what = needed.group(1) if needed else "an object that is none of these"
    return InputError(
        f"{path} needs more than tensors and numbers to be opened ({what}), which could run any program; it was "
        "not opened.",
        "Ask who made it for a file of the weights alone, as torch.save(network.state_dict(), ...) writes it.",
    )


class NumberType:
    """Stands for ``numpy.dtype`` while a file is read: plain numbers only."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[<>=|]?[biuf]\d{1,2}", code):
            raise pickle.UnpicklingError(f"Unsupported class numpy.dtype of {code}")
        self.code = code

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if order in ("<", ">"):
            self.code = order + self.code.lstrip("<>=|")


class _Forgotten:
    """Stands for ``argparse.Namespace`` while a file is read; what is in it is not kept."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Array(_Forgotten):
    """Stands for ``numpy.ndarray`` while a file is read, likewise."""


def _array_maker() -> Callable[..., _Array]:
    """Stands for ``numpy.core.multiarray._reconstruct`` while a file is read."""
    return lambda *_: _Array()


def number(kind: NumberType, data: bytes) -> float | int:
    """Stands for ``numpy.core.multiarray.scalar`` while a file is read."""
    value: float | int = np.frombuffer(data, np.dtype(kind.code), 1)[0].item()
    return value


def _number_reader() -> Callable[[NumberType, bytes], float | int]:
    """:func:`number` as a function of its own, which may be given another name."""
    return lambda kind, data: number(kind, data)


def _called(thing: Any, module: str, name: str) -> Any:
    """The class or function under the name that files call it by."""
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    return thing


_HARMLESS = [
    _called(NumberType, "numpy", "dtype"),
    _called(_number_reader(), "numpy.core.multiarray", "scalar"),  # numpy 1
    _called(_number_reader(), "numpy._core.multiarray", "scalar"),  # numpy 2
    _called(_array_maker(), "numpy.core.multiarray", "_reconstruct"),
    _called(_array_maker(), "numpy._core.multiarray", "_reconstruct"),
    _called(_Array, "numpy", "ndarray"),
    _called(_Forgotten, "argparse", "Namespace"),
]
"""Numbers of numpy, such as the best score, and options lie in many checkpoints beside the weights."""
