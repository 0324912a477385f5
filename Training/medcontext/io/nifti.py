"""NIfTI, read and written here because ITK's reader and writer hide failures.

ITK 5.4 returns unset memory for a truncated or damaged file and reports success on a full disk. Where an
image lies is still decided by ITK, so that it lies where 3D Slicer shows it.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.io.itk import DEFLATE_LIMIT, Loaded, itk_affine, storable
from medcontext.io.packing import write_gzip

_FIELDS_1 = {
    "sizeof_hdr": ("i4", (), 0), "dim": ("i2", 8, 40), "datatype": ("i2", (), 70), "bitpix": ("i2", (), 72),
    "pixdim": ("f4", 8, 76), "vox_offset": ("f4", (), 108), "scl_slope": ("f4", (), 112),
    "scl_inter": ("f4", (), 116), "xyzt_units": ("u1", (), 123), "qform_code": ("i2", (), 252),
    "sform_code": ("i2", (), 254), "quatern": ("f4", 3, 256), "qoffset": ("f4", 3, 268),
    "srow": ("f4", (3, 4), 280), "magic": ("S4", (), 344),
}  # fmt: skip
_FIELDS_2 = {
    "sizeof_hdr": ("i4", (), 0), "datatype": ("i2", (), 12), "dim": ("i8", 8, 16),
    "vox_offset": ("i8", (), 168),
    "scl_slope": ("f8", (), 176), "scl_inter": ("f8", (), 184), "qform_code": ("i4", (), 344),
    "sform_code": ("i4", (), 348), "srow": ("f8", (3, 4), 400),
}  # fmt: skip
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI counts millimetres to the right and anterior
_AGREE_MM = 1e-3  # headers store float32, and ITK splits the matrix into directions and spacing


class _Header(NamedTuple):
    """What is needed of a NIfTI-1 or NIfTI-2 header."""

    sizes: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float
    sform: np.ndarray | None
    qform_code: int


def load_nifti(path: Path) -> Loaded:
    """Read a ``.nii`` or ``.nii.gz`` file; every axis beyond the third becomes a channel.

    Raises:
        InputError: the file is not NIfTI, is truncated or damaged, is 2D, or does not hold plain numbers.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            header = _read_header(stream, path)
            array = _read_voxels(stream, header, path, packed)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path) from error
    geometry, remarks = _placement(path, header, array.shape[1:])
    return Loaded(Volume(_scaled(array, header), geometry), remarks)


def nifti_sizes(path: Path) -> tuple[int, ...]:
    """Number of voxels along ``i``, ``j``, ``k`` and every further axis, from the header alone.

    Raises:
        InputError: as :func:`load_nifti`, as far as the header tells.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            return _read_header(stream, path).sizes
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is truncated or damaged.", "Copy or export it again.")


def _layout(fields: dict[str, Any], size: int, order: str) -> np.dtype:
    formats = [(order + kind, shape) for kind, shape, _ in fields.values()]
    offsets = [offset for *_, offset in fields.values()]
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


def _read_header(stream: Any, path: Path) -> _Header:
    start = stream.read(540)
    for fields, size in ((_FIELDS_1, 348), (_FIELDS_2, 540)):
        for order in "<>":
            if start[:4] == np.array(size, f"{order}i4").tobytes():
                if len(start) < size:
                    raise _damaged(path)
                return _interpreted(np.frombuffer(start[:size], _layout(fields, size, order))[0], order, path)
    raise InputError(f"{path} is not a NIfTI file, whatever its name says.", "Export the image again.")


def _interpreted(raw: np.void, order: str, path: Path) -> _Header:
    dim = [int(n) for n in raw["dim"]]
    sizes = tuple(dim[1 : 1 + dim[0]]) if 1 <= dim[0] <= 7 else (0,)
    if min(sizes) < 1:
        raise _damaged(path)
    if len(sizes) < 3 or min(sizes[:3]) < 2:
        raise InputError(f"{path} is a 2D image ({' x '.join(map(str, sizes))}); a volume is needed.")
    code = int(raw["datatype"])
    if code not in _TYPES:
        raise InputError(
            f"{path} holds colours or complex numbers (NIfTI type {code}); grey values are needed.",
            "Convert it to a grey-value image.",
        )
    sform = None
    if int(raw["sform_code"]) > 0:
        sform = _RAS @ np.vstack([raw["srow"].astype(np.float64), [0, 0, 0, 1]])
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    dtype = np.dtype(order + _TYPES[code])
    if not 0 <= float(raw["vox_offset"]) < math.inf:
        raise _damaged(path)
    return _Header(sizes, dtype, int(raw["vox_offset"]), slope, intercept, sform, int(raw["qform_code"]))


def _read_voxels(stream: Any, header: _Header, path: Path, packed: bool) -> np.ndarray:
    """``(C, K, J, I)`` as stored, in native byte order."""
    channels = int(np.prod(header.sizes[3:], dtype=object))
    shape = (channels, *header.sizes[2::-1])
    claimed = int(np.prod(shape, dtype=object)) * header.dtype.itemsize
    if claimed > path.stat().st_size * (DEFLATE_LIMIT if packed else 1):
        raise _damaged(path)
    array = np.empty(shape, header.dtype)
    target = array.data.cast("B")
    stream.seek(header.offset)
    done = 0
    while done < len(target):
        count = stream.readinto(target[done : done + (1 << 24)])
        if not count:
            raise _damaged(path)
        done += count
    while packed and stream.read(1 << 20):
        pass  # gzip compares its checksum only when the end is reached
    return array.astype(header.dtype.newbyteorder("="), copy=False)


def _scaled(array: np.ndarray, header: _Header) -> np.ndarray:
    intercept = header.intercept if np.isfinite(header.intercept) else 0.0
    if not np.isfinite(header.slope) or header.slope == 0 or (header.slope, intercept) == (1, 0):
        return array
    scaled = array.astype(np.float32)
    scaled *= np.float32(header.slope)
    scaled += np.float32(intercept)
    return scaled


def _placement(path: Path, header: _Header, shape: tuple[int, ...]) -> tuple[Geometry, tuple[str, ...]]:
    """Where ITK places the image; the sform itself where both agree, or where ITK refuses it as sheared."""
    size: Triple = (shape[0], shape[1], shape[2])
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NiftiImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if header.sform is not None:
            return Geometry(size, header.sform), ()
        raise InputError(f"{path} does not say where its voxels lie.", "Export the image again.") from error
    placed = Geometry(size, itk_affine(reader))
    if header.sform is None:
        unknown = f"{path} does not say how the patient lay; left and right may be swapped."
        return placed, () if header.qform_code > 0 else (unknown,)
    corners = np.array([(i, j, k, 1) for i in (0, size[2]) for j in (0, size[1]) for k in (0, size[0])])
    difference = float(np.abs(corners @ (placed.affine - header.sform).T).max())
    if difference <= _AGREE_MM:
        return Geometry(size, header.sform), ()
    return placed, (
        f"{path} holds two placements that differ by up to {difference:.3g} mm (qform and sform); "
        "the one that 3D Slicer shows is used.",
    )


def save_nifti(path: Path, volume: Volume, check: Callable[[], None] | None = None) -> None:
    """Write ``.nii`` or ``.nii.gz``, by the ending; with sform and, unless the axes are sheared, equal qform.

    Args:
        path: the file.
        volume: what to write.
        check: called between pieces; raises to stop.

    Raises:
        InputError: an axis is longer than 32767 voxels.
        OSError: the disk is full or the place cannot be written.
    """
    array = storable(volume.array)
    header = _header(volume, array.dtype)
    with path.open("wb") as raw:
        if path.name.lower().endswith(".gz"):
            write_gzip(raw, (header, array), check)
        else:
            raw.write(header)
            for plane in array.reshape(-1, *array.shape[2:]):
                if check is not None:
                    check()
                raw.write(plane.data.cast("B"))


def _header(volume: Volume, dtype: np.dtype) -> bytes:
    """The 348 bytes of NIfTI-1 and four that say that no extension follows."""
    longest = max(volume.array.shape)
    if longest > 32767:
        raise InputError(f"NIfTI allows 32767 voxels along an axis, not {longest}.", "Write NRRD instead.")
    header = np.zeros((), _layout(_FIELDS_1, 348, "<"))
    k, j, i = volume.shape
    affine = _RAS @ volume.geometry.affine
    header["sizeof_hdr"], header["magic"], header["vox_offset"] = 348, b"n+1\0", 352
    header["dim"] = (4 if volume.channels > 1 else 3, i, j, k, volume.channels, 1, 1, 1)
    header["datatype"] = next(code for code, name in _TYPES.items() if np.dtype(f"<{name}") == dtype)
    header["bitpix"], header["scl_slope"] = 8 * dtype.itemsize, 1
    header["xyzt_units"] = 2  # millimetres
    header["pixdim"][:5] = (1, *volume.spacing[::-1], 1)
    header["sform_code"], header["srow"] = 1, affine[:3]
    _set_qform(header, affine)
    return header.tobytes() + bytes(4)


def _set_qform(header: np.ndarray, affine: np.ndarray) -> None:
    from scipy.spatial.transform import Rotation

    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-5):
        return  # a qform cannot say shear; its code 0 sends readers to the sform
    handedness = 1.0 if np.linalg.det(axes) > 0 else -1.0
    quaternion = Rotation.from_matrix(axes * [1, 1, handedness]).as_quat(canonical=True)
    header["qform_code"], header["quatern"], header["qoffset"] = 1, quaternion[:3], affine[:3, 3]
    header["pixdim"][0] = handedness
