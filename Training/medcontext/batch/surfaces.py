"""Surfaces of labels: closed, smoothed, in millimetres in the patient, as STL or OBJ.

Coordinates are LPS, and each file says so (``SPACE=LPS``) where 3D Slicer looks for it: in the header of an STL, in
the first comment of an OBJ.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import medcontext
from medcontext.batch.identifiers import safe_id
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io.atomic import replacing
from medcontext.labels import Label, LabelSet

if TYPE_CHECKING:
    from trimesh import Trimesh

SMOOTHING_STEPS = 20
SHRINK, GROW = 0.5, 0.53
"""Taubin's filter: steps that shrink and steps that grow in turn take steps of voxels away and keep the volume."""
_PACKAGES = {"scikit-image": "skimage", "trimesh": "trimesh"}
_STL_HEADER_BYTES = 80


def require_surfaces() -> None:
    """Make sure that surfaces can be computed.

    Raises:
        InputError: a package is missing; the hint says how to install it.
    """
    missing = [name for name, module in _PACKAGES.items() if not find_spec(module)]
    if missing:
        raise InputError(
            f"Surfaces (stl, obj) need {' and '.join(missing)}, which this Python does not have.",
            "Install it with: pip install 'medcontext[surfaces]'.",
        )


def file_names(labels: LabelSet) -> dict[int, str]:
    """Label value -> name fit for a file on every system, without ending; unique whatever the case of letters."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for label in labels:
        name = safe_id(label.name if any(map(str.isalnum, label.name)) else f"label {label.value}")
        if name.casefold() in taken:
            name = f"{name}_{label.value}"
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        names[label.value] = name
    return names


def label_surfaces(labelmap: Volume, labels: LabelSet) -> Iterator[tuple[Label, Trimesh]]:
    """The surface of each label that has voxels, one at a time.

    Args:
        labelmap: ``(1, K, J, I)`` of uint8.
        labels: what its values mean.

    Yields:
        A label and its surface: closed also at the border of the image, LPS millimetres, outside is outside.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(labelmap.array[0])
    for label in labels:
        box = boxes[label.value - 1] if label.value <= len(boxes) else None
        if box is not None:
            start = np.array([part.start for part in box])
            yield label, _surface(labelmap.array[0][box] == label.value, start, labelmap.geometry)


def _surface(mask: np.ndarray, start: np.ndarray, geometry: Geometry) -> Trimesh:
    """The smoothed surface of a mask ``(K, J, I)`` whose first voxel has the index ``start``."""
    from skimage.measure import marching_cubes
    from trimesh import Trimesh
    from trimesh.smoothing import filter_taubin

    points, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)
    mesh = Trimesh(geometry.index_to_lps(points + (start - 1)), faces, process=False)
    filter_taubin(mesh, lamb=SHRINK, nu=GROW, iterations=SMOOTHING_STEPS)
    if mesh.volume < 0:  # axes that run backwards turn triangles inside out
        mesh.invert()
    return mesh


def write_surface(path: Path, surface: Trimesh) -> None:
    """Write one surface as ``.stl`` (binary) or ``.obj``, by the ending.

    Raises:
        InputError: the place cannot be written.
        ResourceError: the disk is full; an older file is untouched.
    """
    from trimesh.exchange.obj import export_obj
    from trimesh.exchange.stl import export_stl

    maker = f"MedContext {medcontext.__version__}; SPACE=LPS; unit mm"
    if path.suffix == ".stl":
        header = maker.encode("ascii")[:_STL_HEADER_BYTES].ljust(_STL_HEADER_BYTES)
        content = header + export_stl(surface)[_STL_HEADER_BYTES:]
    else:
        content = export_obj(surface, include_normals=False, include_color=False, header=maker).encode(
            "ascii"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(content)
