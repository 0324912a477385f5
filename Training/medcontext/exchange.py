"""Arrays that cross from one process to another: plain files that the reader maps into its memory.

The writer makes an :class:`ExchangeFolder`, writes arrays there and sends what :meth:`SharedArray.to_json`
gives; the reader opens them. Who made the folder removes it, after the reader let go of the arrays.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from medcontext.errors import InputError, MedContextError, ResourceError
from medcontext.jobs.files import read_json, write_json
from medcontext.jobs.process import creation_token, is_running

PIECE_BYTES = 8 * 2**20
"""How much is written at a time: 5 to 20 ms on most disks, so that a request to stop is followed at once."""

PREFIX = "medcontext-exchange-"
OWNER = "owner.json"

OWNERLESS_SECONDS = 24 * 3600.0
"""Age from which a folder without an owner is left-over; a younger one may be only just being made."""

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FREE_SPACE = "Free some space, or let TMPDIR (on Windows TEMP) name a folder on another disk."
_NUMBERS = "biuf"
_RESEND = "Send the request again."


@dataclass(frozen=True)
class SharedArray:
    """An array in a file: its bytes in C order and nothing else.

    Attributes:
        path: the file.
        dtype: type with byte order, as NumPy writes it, such as ``<i2``.
        shape: size of each axis; at least one, all positive.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"path": str(self.path), "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, data: Any) -> SharedArray:
        """From plain data.

        Raises:
            InputError: a part is missing or is no path, no type of numbers, or no list of positive sizes.
        """
        if not isinstance(data, dict) or not all(key in data for key in ("path", "dtype", "shape")):
            raise InputError("An array needs a path, a dtype and a shape.", _RESEND)
        path, dtype, shape = data["path"], data["dtype"], data["shape"]
        if not isinstance(path, str) or not path or "\0" in path:
            raise InputError(f"{path!r} is not the path of an array.", _RESEND)
        sizes = shape if isinstance(shape, list | tuple) else []
        if not sizes or not all(type(size) is int and size > 0 for size in sizes):
            raise InputError(f"{shape!r} is not the shape of an array: positive sizes are needed.", _RESEND)
        return cls(Path(path), _number_type(dtype).str, tuple(sizes))

    def open(self) -> np.ndarray:
        """The array, read-only; its file is mapped into memory and not read before it is used.

        Raises:
            InputError: the file is missing, cannot be read, or is too short.
        """
        dtype = _number_type(self.dtype)
        needed = math.prod(self.shape) * dtype.itemsize
        try:
            size = self.path.stat().st_size
            if size < needed:
                raise InputError(
                    f"{self.path} holds {size} bytes; an array of {self.shape} {dtype} takes {needed}.",
                    _RESEND,
                )
            return np.memmap(self.path, dtype, "r", shape=self.shape)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"The array {self.path} cannot be opened: {reason}.", _RESEND) from error


def _number_type(dtype: Any) -> np.dtype:
    try:
        found = np.dtype(dtype) if isinstance(dtype, str) else None
    except TypeError:
        found = None
    if found is None or found.kind not in _NUMBERS:
        raise InputError(f"{dtype!r} is not a type of numbers, such as int16 or float32.", _RESEND)
    return found


def write_array(path: Path, array: np.ndarray, check: Callable[[], None] | None = None) -> SharedArray:
    """Write an array to a new file; nothing stays of it when that fails.

    The file is written, not mapped: on a disk that fills up, a write is an error and a map a crash.

    Args:
        path: the file, which must not exist.
        array: numbers, at least one; any order in memory.
        check: called between pieces; raises to stop.

    Raises:
        InputError: the array holds no numbers, or the file cannot be made.
        ResourceError: the disk is full.
    """
    values = np.asarray(array)
    values = values if values.ndim else values.reshape(1)
    if values.dtype.kind not in _NUMBERS or not values.size:
        raise InputError(f"An array of {values.shape} {values.dtype} cannot be sent: it holds no numbers.")
    try:
        with path.open("xb", buffering=0) as file:
            for piece in _pieces(values):
                if check is not None:
                    check()
                rest = piece.view(np.uint8).data
                while rest:
                    rest = rest[file.write(rest) :]
    except FileExistsError as error:
        raise InputError(f"{path} exists already.", "Choose another name.") from error
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _explained(error, path.parent) from error
        raise
    return SharedArray(path, values.dtype.str, values.shape)


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Contiguous parts of about :data:`PIECE_BYTES`, in C order; copies only where memory is ordered otherwise."""
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        step = PIECE_BYTES // array.itemsize
        for begin in range(0, flat.size, step):
            yield flat[begin : begin + step]
        return
    step = max(1, PIECE_BYTES // (array.nbytes // len(array)))
    for begin in range(0, len(array), step):
        yield np.ascontiguousarray(array[begin : begin + step])


def _explained(error: OSError, folder: Path) -> MedContextError:
    if error.errno in _DISK_FULL:
        return ResourceError(f"The disk that holds {folder} is full.", _FREE_SPACE)
    return InputError(f"{folder} cannot be written: {error.strerror or error}.", "Check its rights.")


class ExchangeFolder:
    """A folder of its own that only this user can read; gone when the block ends.

    Args:
        root: where it is made; the system's folder for temporary files when None.

    Attributes:
        path: the folder.

    Raises:
        InputError: it cannot be made there.
        ResourceError: the disk is full.
    """

    def __init__(self, root: Path | None = None) -> None:
        place = Path(tempfile.gettempdir() if root is None else root)
        self._numbers = itertools.count()
        try:
            # mkdtemp gives a name that nobody can guess and rights for this user alone.
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place)).absolute()
        except OSError as error:
            raise _explained(error, place) from error
        try:
            pid = os.getpid()
            owner = {"pid": pid, "created": creation_token(pid), "host": platform.node()}
            write_json(self.path / OWNER, owner)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _explained(error, place) from error
            raise

    def write(self, name: str, array: np.ndarray, check: Callable[[], None] | None = None) -> SharedArray:
        """Write an array to a file of its own, named after ``name`` (letters, digits, ``-`` and ``_``).

        Two arrays of one name become two files: a reader may still have the first one open.

        Raises:
            InputError, ResourceError: as :func:`write_array`.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"{name!r} is no plain name")
        return write_array(self.path / f"{name}-{next(self._numbers)}.raw", array, check)

    def close(self) -> None:
        """Remove the folder and what it holds. What cannot be removed now (on Windows: a file that is still
        mapped) is left to :func:`remove_stale_folders`."""
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_stale_folders(root: Path | None = None) -> int:
    """Remove exchange folders whose process has ended without doing it: it was killed, or crashed.

    Args:
        root: where to look; the system's folder for temporary files when None.

    Returns:
        Number of folders removed.
    """
    place = Path(tempfile.gettempdir() if root is None else root)
    removed = 0
    for folder in place.glob(f"{PREFIX}*"):
        try:
            stale = not folder.is_symlink() and folder.is_dir() and _is_stale(folder)
        except (OSError, InputError):  # somebody else's, or going away right now
            continue
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
            removed += not folder.exists()
    return removed


def _is_stale(folder: Path) -> bool:
    status = folder.stat()
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return False
    owner = read_json(folder / OWNER)
    if owner is None:
        return time.time() - status.st_mtime > OWNERLESS_SECONDS
    pid, token = owner.get("pid"), owner.get("created")
    if not isinstance(pid, int) or not isinstance(token, str) or owner.get("host") != platform.node():
        return False
    return not is_running(pid, token)
