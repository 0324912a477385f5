"""NRRD and MetaImage through SimpleITK, and what all readers share."""

from __future__ import annotations

import errno
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume

RAN_OUT = "Failed to allocate memory"
"""What ITK says where memory does not suffice."""

DEFLATE_LIMIT = 1040
"""Deflate shrinks at most 1032-fold: a header that claims more is damaged."""

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # the readers check for themselves, in one sentence


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Refuse a missing or empty file, and say what the system says against reading it, in one sentence.

    Raises:
        InputError: as above.
    """
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist.", "Check the path.")
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes).", "Copy or export it again.")
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check its rights.") from error


class Loaded(NamedTuple):
    """What a file holds: voxels, in their own type where nothing had to be scaled, and remarks."""

    volume: Volume
    remarks: tuple[str, ...] = ()


def itk_affine(image: sitk.ImageFileReader | sitk.Image) -> np.ndarray:
    """``(4, 4)`` matrix from ``(i, j, k, 1)`` to LPS mm of an image or of a reader that knows the header."""
    rank = len(image.GetSpacing())
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (rank, rank))[:3, :3]
    affine[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine


def storable(array: np.ndarray) -> np.ndarray:
    """The array contiguous, little-endian and of a type files know: bool as uint8, float16 as float32."""
    name = {"bool": "uint8", "float16": "float32"}.get(array.dtype.name, array.dtype.name)
    return np.ascontiguousarray(array, np.dtype(name).newbyteorder("<"))


def load_itk(path: Path) -> Loaded:
    """Read a ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd`` file; components and a fourth axis become channels.

    Raises:
        InputError: the file is damaged, of another kind, 2D, or holds complex numbers.
    """
    image = execute(path)
    size = image.GetSize()
    if min(size[:3]) < 2:
        raise InputError(f"{path} is a 2D image ({' x '.join(map(str, size))}); a volume is needed.")
    return Loaded(itk_volume(image, path))


def itk_volume(image: sitk.Image, path: Path) -> Volume:
    """The voxels of an image in their own type, copied.

    Raises:
        InputError: it has two axes only or holds complex numbers.
    """
    size = image.GetSize()
    if len(size) < 3:
        raise InputError(f"{path} is a 2D image ({' x '.join(map(str, size))}); a volume is needed.")
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path} holds complex numbers; grey values are needed.")
    view = sitk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        view = np.moveaxis(view, -1, 0)
    array = np.array(view, order="C").reshape(-1, *size[2::-1])
    return Volume(array, Geometry((size[2], size[1], size[0]), itk_affine(image)))


def execute(path: Path) -> sitk.Image:
    """Read a file with whichever ITK reader its ending and content name.

    Raises:
        InputError: ITK refuses the file, or its checksum shows damage that ITK does not notice.
    """
    _check_packed(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_claim(path, reader)
        return reader.Execute()
    except RuntimeError as error:
        raise_if_too_large(error, path)
        raise _damaged(path) from error


def raise_if_too_large(error: RuntimeError, path: Path) -> None:
    """Tell want of memory from damage, which ITK reports in the same way.

    Raises:
        MemoryError: the image was too large.
    """
    if RAN_OUT in str(error):
        raise MemoryError(f"{path} takes more memory than there is.") from error


def _damaged(path: Path) -> InputError:
    kind = path.suffix.lstrip(".").upper()
    return InputError(f"{path} is truncated, damaged or not {kind}.", "Copy or export it again.")


def _check_packed(path: Path) -> None:
    """Unpack the voxels of a compressed NRRD or MetaImage once for their checksum; about 0.3 s for 100 MB."""
    with path.open("rb") as stream:
        found = _voxels_inside(stream.read(1 << 20))
        if found is None or not found.packed:
            return
        stream.seek(found.start)
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # zlib or gzip
        try:
            while not unpacker.eof and (part := stream.read(1 << 16)):
                unpacker.decompress(part)
        except zlib.error as error:
            raise _damaged(path) from error
    if not unpacker.eof:
        raise _damaged(path)


def _check_claim(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuse a header that claims more voxels than its file can hold: ITK would fill the memory before it looks.

    Raises:
        InputError: it does.
    """
    with path.open("rb") as stream:
        found = _voxels_inside(stream.read(1 << 20))
    if found is None:
        return
    components = reader.GetNumberOfComponents()
    voxel = components * sitk.Image([1, 1, 1], reader.GetPixelID(), components).GetSizeOfPixelComponent()
    limit = path.stat().st_size * (DEFLATE_LIMIT if found.packed else 1)
    if math.prod(reader.GetSize()) * voxel > limit:
        raise _damaged(path)


class _Inside(NamedTuple):
    """Where voxels begin in a file, and whether they are packed."""

    start: int
    packed: bool


def _voxels_inside(head: bytes) -> _Inside | None:
    """Of an NRRD or MetaImage; None where its voxels are elsewhere, or written as text or in another way."""
    nrrd = head.startswith(b"NRRD")
    end = re.search(rb"\n\r?\n" if nrrd else rb"\nElementDataFile *= *LOCAL\r?\n", head)
    header = head[: end.start() + 1] if end else b""
    packed = rb"^encoding: *gz(ip)?\s*$" if nrrd else rb"^CompressedData *= *True\s*$"
    raw = rb"^encoding: *raw\s*$" if nrrd else rb"^BinaryData *= *True\s*$"
    elsewhere = rb"^(data ?file|(line|byte) ?skip):"
    if not end or re.search(elsewhere, header, re.MULTILINE):
        return None
    is_packed = re.search(packed, header, re.MULTILINE) is not None
    return _Inside(end.end(), is_packed) if is_packed or re.search(raw, header, re.MULTILINE) else None


def save_itk(path: Path, volume: Volume) -> None:
    """Write ``.mha``, compressed; several channels become components.

    Raises:
        OSError: ITK could not write the file.
    """
    array = storable(volume.array)
    components = volume.channels > 1
    image = sitk.GetImageFromArray(np.moveaxis(array, 0, -1) if components else array[0], isVector=components)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.geometry.origin.tolist())
    image.SetDirection(volume.geometry.direction.ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=1)
    except RuntimeError as error:
        full = any(reason in str(error) for reason in ("No space left", "quota", "too large"))
        reason = str(error).strip().rpartition("Reason: ")[2]
        raise OSError(errno.ENOSPC if full else errno.EIO, reason) from error
