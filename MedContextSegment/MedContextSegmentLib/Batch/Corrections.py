"""The segments of cases as people corrected them: ``corrected/<case>.seg.nrrd``, and what was put aside of them."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.batch_ledger import Layout
from medcontext.errors import InputError
from MedContextSegmentLib.Export.WrittenFiles import isWhole
from MedContextSegmentLib.Scene.SegmentationTarget import placeBeside

EARLIER = "earlier"
"""Folder beside the corrections, of those that hold no more: nothing that a person drew is removed."""


def correctionOf(out: Path, case: str) -> Path:
    """Where the corrected segments of a case lie, be they there or not."""
    return Layout(out).corrected(case)


def putAside(out: Path, case: str) -> None:
    """Move the correction of a case out of the way, where there is one: the batch did the case again, say.

    Raises:
        InputError: the folder cannot be written.
    """
    path = correctionOf(out, case)
    if not path.exists():
        return
    folder = path.parent / EARLIER
    makeFolder(folder)
    names = (folder / f"{case}.{number}.seg.nrrd" for number in count(1))
    try:
        path.rename(next(name for name in names if not name.exists()))
    except OSError as error:
        raise _unwritable(folder, error) from error


def makeFolder(folder: Path) -> None:
    """Make a folder unless it is there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> InputError:
    text = _("'{path}' cannot be written: {reason}.")
    return InputError(text.format(path=folder, reason=error.strerror or error))


def loadCorrection(path: Path, case: str, volumeNode: Any) -> Any:
    """Add what a person kept of a case to the scene, as its segmentation node.

    Raises:
        InputError: the file is gone or cannot be read.
    """
    name = slicer.mrmlScene.GenerateUniqueName(_("{volume} segmentation").format(volume=case))
    text = _("The corrected segments of '{case}' cannot be read: {path}.")
    broken = InputError(
        text.format(case=case, path=path), _("Move the file away to see what the batch found.")
    )
    try:
        if not isWhole(path):  # Slicer's reader ends Slicer over such a file
            raise broken
        node = slicer.util.loadSegmentation(str(path), {"name": name})
    except (OSError, RuntimeError) as error:
        raise broken from error
    node.SetName(name)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    placeBeside(node, volumeNode)
    return node
