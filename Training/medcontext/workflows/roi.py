"""A region of interest as people give it, as a box of voxels of one image."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry
from medcontext.io import read_labelmap

Box = tuple[slice, slice, slice]

_VOXELS = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*,\s*(\d*)\s*:\s*(\d*)\s*,\s*(\d*)\s*:\s*(\d*)\s*")
_FORMS = "a label file, a Slicer ROI (.mrk.json), or voxels k0:k1,j0:j1,i0:i1"


def box_of(roi: str | Path, geometry: Geometry, reporter: Reporter | None = None) -> Box:
    """The voxels ``(K, J, I)`` of an image that a region of interest covers.

    Args:
        roi: voxels ``k0:k1,j0:j1,i0:i1`` (from 0, the end excluded, as in Python), a ``.mrk.json`` file of
            3D Slicer with a box in mm, or a label file: its bounding box, wherever its grid lies.
        geometry: grid of the image.
        reporter: is warned of a region that leaves the image; only the part inside counts.

    Raises:
        InputError: the form is unknown, the file is broken, or no voxel of the image lies inside.
    """
    if match := _VOXELS.fullmatch(str(roi)):
        numbers = [int(text) if text else None for text in match.groups()]
        stops = [n if stop is None else stop for stop, n in zip(numbers[1::2], geometry.shape, strict=True)]
        return _checked([start or 0 for start in numbers[::2]], stops, roi, geometry, reporter)
    check_roi(roi)
    path = Path(roi)
    corners = _markup_corners(path) if path.name.endswith(".json") else _label_corners(path)
    index = geometry.lps_to_index(corners)
    # Voxel n reaches from n - 0.5 to n + 0.5; a millionth of a voxel is rounding, not a further voxel.
    start = np.floor(index.min(0) + 0.5 + 1e-6).astype(int)
    stop = np.ceil(index.max(0) + 0.5 - 1e-6).astype(int)
    return _checked(start.tolist(), stop.tolist(), roi, geometry, reporter)


def check_roi(roi: str | Path) -> None:
    """Refuse what is neither a box of voxels nor a file.

    Raises:
        InputError: as above.
    """
    path = Path(roi)
    if _VOXELS.fullmatch(str(roi)) or path.exists():
        return
    if path.suffix:
        raise InputError(f"The region file {path} does not exist.", f"Allowed: {_FORMS}.")
    raise InputError(f"The region '{roi}' is no file and no box of voxels.", f"Allowed: {_FORMS}.")


def _checked(
    start: list[int], stop: list[int], roi: str | Path, geometry: Geometry, reporter: Reporter | None
) -> Box:
    box = tuple(slice(max(0, a), min(b, n)) for a, b, n in zip(start, stop, geometry.shape, strict=True))
    if any(side.start >= side.stop for side in box):
        size = " x ".join(str(n) for n in geometry.shape)
        raise InputError(
            f"The region '{roi}' holds no voxel of the image, which has {size} voxels (k, j, i).",
            "Choose a region that overlaps the image.",
        )
    if reporter is not None and (
        min(start) < 0 or any(b > n for b, n in zip(stop, geometry.shape, strict=True))
    ):
        inside = ",".join(f"{side.start}:{side.stop}" for side in box)
        reporter.warning(
            f"The region '{roi}' leaves the image: only the voxels {inside} of it are segmented."
        )
    return box  # type: ignore[return-value]


def _label_corners(path: Path) -> np.ndarray:
    """The eight corners in LPS mm of the box around all voxels that are not background."""
    label = read_labelmap(path)
    inside = [np.flatnonzero(label.array[0].any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not inside[0].size:
        raise InputError(f"The region file {path} is empty: all its voxels are background.")
    faces = [(float(axis[0]) - 0.5, float(axis[-1]) + 0.5) for axis in inside]
    return label.geometry.index_to_lps(np.array(list(itertools.product(*faces))))


def _markup_corners(path: Path) -> np.ndarray:
    """The eight corners in LPS mm of the first box in a markups file of 3D Slicer.

    ``orientation`` holds the box axes as the columns of a row-major matrix; LPS unless the file says RAS.
    """
    try:
        markups: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["markups"]
        roi = next(entry for entry in markups if entry.get("type") == "ROI")
        center, size = np.array(roi["center"], float), np.array(roi["size"], float)
        axes = np.array(roi.get("orientation", np.eye(3).ravel()), float).reshape(3, 3)
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError) as error:
        raise InputError(f"{path} holds no box (ROI) of 3D Slicer.", f"Allowed: {_FORMS}.") from error
    if center.shape != (3,) or size.shape != (3,) or not np.isfinite([*center, *size]).all():
        raise InputError(
            f"The box in {path} has no finite centre and size.", "Save the ROI from Slicer again."
        )
    halves = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * size
    corners = center + halves @ axes.T
    # 0 is how old files wrote RAS.
    return corners * [-1, -1, 1] if str(roi.get("coordinateSystem", "LPS")) in ("RAS", "0") else corners
