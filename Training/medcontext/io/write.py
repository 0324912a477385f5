"""Writing images and labelmaps whole, compressed fast, on exactly their grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from medcontext.errors import InputError
from medcontext.geometry import Volume
from medcontext.io.atomic import replacing
from medcontext.io.itk import save_itk
from medcontext.io.names import format_of
from medcontext.io.nifti import save_nifti
from medcontext.io.nrrd import save_nrrd

Check = Callable[[], None]
"""Asked between pieces of work; raises to stop."""


def write_volume(path: Path, volume: Volume, check: Check | None = None) -> None:
    """Write an image of any channels and type as ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``, by the ending.

    Args:
        path: the file.
        volume: the image.
        check: called between pieces of a NIfTI file; raises to stop, and nothing is left.

    Raises:
        InputError: the ending is another one, or the place cannot be written.
        ResourceError: the disk is full; an older file of that name is untouched.
    """
    kind = format_of(path)
    if kind is None or path.name.lower().endswith((".nhdr", ".mhd", ".seg.nrrd")):
        raise InputError(
            f"{path} cannot be written in that format.", "Allowed are .nii.gz, .nii, .nrrd and .mha."
        )
    with replacing(path) as temporary:
        if kind == "nifti":
            save_nifti(temporary, volume, check)
        elif kind == "nrrd":
            save_nrrd(temporary, volume)
        else:
            save_itk(temporary, volume)


def write_labelmap(path: Path, labelmap: Volume, check: Check | None = None) -> None:
    """Write a labelmap as uint8; formats, ``check`` and errors as :func:`write_volume`.

    Raises:
        InputError: there are several channels or a value does not lie in 0..255.
    """
    array = labelmap.array
    if labelmap.channels != 1 or array.dtype.kind not in "iub":
        raise InputError(
            f"A labelmap has one channel of whole numbers, not {labelmap.channels} of {array.dtype}."
        )
    if array.dtype != np.uint8 and (int(array.min()) < 0 or int(array.max()) > 255):
        raise InputError(f"Labels lie in 0..255, not {int(array.min())}..{int(array.max())}.")
    write_volume(path, Volume(array.astype(np.uint8, copy=False), labelmap.geometry), check)
