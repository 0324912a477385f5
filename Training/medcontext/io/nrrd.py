"""Writing NRRD: a few header lines and gzipped voxels.

Names may hold any letter; pynrrd's writer allows ASCII only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medcontext.geometry import Volume
from medcontext.io.itk import storable
from medcontext.io.packing import write_gzip

_TYPES = {
    "uint8": "unsigned char", "int8": "signed char", "uint16": "unsigned short", "int16": "short",
    "uint32": "unsigned int", "int32": "int", "uint64": "unsigned long long", "int64": "long long",
    "float32": "float", "float64": "double",
}  # fmt: skip


def save_nrrd(path: Path, volume: Volume, fields: Mapping[str, str] | None = None) -> None:
    """Write ``.nrrd``; several channels become a list axis that varies slowest.

    Args:
        fields: key/value pairs added to the header.

    Raises:
        OSError: the disk is full or the place cannot be written.
    """
    array = storable(volume.array)
    listed = volume.channels > 1
    affine = volume.geometry.affine
    directions = [_vector(affine[:3, column]) for column in range(3)]
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {_TYPES[array.dtype.newbyteorder('=').name]}",
        f"dimension: {3 + listed}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, (*volume.shape[::-1], *([volume.channels] if listed else [])))),
        "space directions: " + " ".join([*directions, *(["none"] if listed else [])]),
        "kinds: domain domain domain" + (" list" if listed else ""),
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3])}",
        *(f"{_escaped(key)}:={_escaped(value)}" for key, value in (fields or {}).items()),
    ]
    with path.open("wb") as raw:
        raw.write(("\n".join(lines) + "\n\n").encode("utf-8"))
        write_gzip(raw, [array])


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(v)) for v in values) + ")"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
