"""Large results on disk instead of in memory."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np

from medcontext.errors import ResourceError
from medcontext.plan import Size


def probability_map(shape: Size, value: int, folder: Path | None) -> np.memmap:
    """A float16 array of zeros in a file of its own.

    Args:
        shape: ``(K, J, I)``.
        value: label value, for the name of the file.
        folder: where the file lies and stays; a nameless temporary file when None.

    Raises:
        ResourceError: the disk is full.
    """
    size = int(np.prod(shape)) * 2
    try:
        if folder is None:
            with tempfile.TemporaryFile() as file:
                return _mapped(file.fileno(), file, shape, size)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=folder, prefix=f"probability_{value}_", suffix=".f16", delete=False
        ) as file:
            return _mapped(file.fileno(), file, shape, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
            raise
        place = folder or tempfile.gettempdir()
        raise ResourceError(
            f"There is no room for a probability map of {size / 2**20:.0f} MB in {place}.", "Free disk space."
        ) from error


def _mapped(descriptor: int, file: object, shape: Size, size: int) -> np.memmap:
    # Without room set aside, a disk that fills up later would end the process on a plain write to the array.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    return np.memmap(file, np.float16, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=shape)  # type: ignore[call-overload]
