"""The label files of a case: what was annotated, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary
from medcontext.errors import InputError
from medcontext.labels import IGNORE
from MedContextSegmentLib.Learn.StoredPart import turnBetween
from MedContextSegmentLib.Scene.OrientedImage import imageArray, matrixArray

FIRST_VALUE_BEYOND = 256


def readLabels(path: Path, case: CaseSummary, unknown: int | None = IGNORE) -> tuple[np.ndarray, np.ndarray]:
    """The labels in a file of a case.

    Args:
        path: the file.
        case: the case.
        unknown: the value of voxels that nobody annotated; None where there is none.

    Returns:
        uint8 ``(K, J, I)`` as it lies in the file, 0 where nobody annotated, and the matrix from
        ``(i, j, k, 1)`` to RAS mm.

    Raises:
        InputError: the file cannot be read or holds other values.
    """
    storage, node = slicer.vtkMRMLVolumeArchetypeStorageNode(), slicer.vtkMRMLLabelMapVolumeNode()
    storage.SetFileName(str(path))
    storage.SetForceRightHandedIJKCoordinateSystem(
        False
    )  # slices of a case are counted as they lie in its file
    if not storage.ReadData(node) or node.GetImageData() is None:
        raise unreadable(case, path)
    values = imageArray(node.GetImageData())
    if values.size and not (values.min() >= 0 and values.max() < FIRST_VALUE_BEYOND):
        raise unreadable(case, path)
    labelmap = values.astype(np.uint8)
    if unknown is not None:
        labelmap[labelmap == unknown] = 0
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return labelmap, matrixArray(matrix)


def readMask(case: CaseSummary, scan: str, shape: tuple[int, ...], ijkToRas: np.ndarray) -> np.ndarray:
    """Where a case was finished, on the voxels of a volume.

    Args:
        case: a case with a mask.
        scan: name of the volume.
        shape: of the volume, ``(K, J, I)``.
        ijkToRas: of the volume, without its transform.

    Returns:
        uint8 ``(K, J, I)``, 0 or 1.

    Raises:
        InputError: the file is gone or cannot be read, or the volume has other voxels.
    """
    assert case.mask is not None  # for the type checker: who calls has looked
    mask, grid = readLabels(case.mask, case, None)
    turn = turnBetween(grid, ijkToRas, mask.shape)
    if turn is None or turn.applied(mask).shape != shape:
        text = _("The part of '{case}' that was finished does not fit the voxels of {scan}.")
        raise InputError(text.format(case=case.id, scan=scan), _("Say again which part is finished."))
    return np.ascontiguousarray(turn.applied(mask) != 0).view(np.uint8)


def unreadable(case: CaseSummary, path: Path) -> InputError:
    """The error of a file of a case that cannot be read."""
    return InputError(
        _("The case '{case}' cannot be opened: {path} cannot be read.").format(case=case.id, path=path),
        _("Check the file, or remove the case."),
    )
