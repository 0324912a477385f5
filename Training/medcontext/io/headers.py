"""What the header of an image tells, without reading voxels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk

from medcontext.errors import InputError
from medcontext.io.dicom_folder import dicom_files, looks_like_dicom, read_header
from medcontext.io.itk import reading
from medcontext.io.names import FORMATS, format_of
from medcontext.io.nifti import nifti_sizes


class Header(NamedTuple):
    """How many channels an image has, and its modality as DICOM says it (empty in other formats)."""

    channels: int
    modality: str = ""


def look_at(path: Path) -> Header:
    """The header of an image file, of a DICOM folder (its first file) or of a file that stands for its series.

    Raises:
        InputError: the file is missing, empty, damaged at its beginning, 2D, or no image.
    """
    with reading(path):
        kind = None if path.is_dir() else format_of(path)
        if kind == "nifti":
            return Header(math.prod(nifti_sizes(path)[3:]))
        if kind is not None:
            return Header(_itk_channels(path))
        if path.is_dir() or looks_like_dicom(path):
            return _dicom_header(path)
    raise InputError(f"{path} is not an image that can be read; allowed are {FORMATS}.", "Convert it first.")


def _itk_channels(path: Path) -> int:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path} is truncated or damaged.", "Copy or export it again.") from error
    size = reader.GetSize()
    if len(size) < 3 or min(size[:3]) < 2:
        raise InputError(f"{path} is a 2D image ({' x '.join(map(str, size))}); a volume is needed.")
    return reader.GetNumberOfComponents() * math.prod(size[3:])


def _dicom_header(path: Path) -> Header:
    for file in dicom_files(path) if path.is_dir() else [path]:
        header = read_header(file)
        if header is not None:
            return Header(1, header.modality)
    raise InputError(f"{path} holds no DICOM image that can be read.", "Choose the folder of a CT or MR.")
