"""The scene as one file, ``.mrb``, that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Export.WrittenFiles import explained, isWhole


def writeBundle(place: Path, workFolder: Path) -> None:
    """Write the scene to a file; an earlier one stays until the new one is complete.

    Args:
        place: the file, ending in ``.mrb``.
        workFolder: on the same disk; it is made, holds what is not finished, and is gone afterwards.

    Raises:
        ResourceError: the disk is full.
        InputError: the place cannot be written.
    """
    try:
        shutil.rmtree(workFolder, ignore_errors=True)  # of a run that was killed
        workFolder.mkdir(parents=True)
        temporary = workFolder / place.name
        _write(temporary)
        _checkWhole(temporary, workFolder / "check")
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        raise explained(error, place) from error
    finally:
        shutil.rmtree(workFolder, ignore_errors=True)


def _write(path: Path) -> None:
    messages = slicer.vtkMRMLMessageCollection()
    if slicer.mrmlScene.WriteToMRB(str(path), None, messages) and path.exists():
        return
    # Slicer does not say that a disk is full, and has made room again by removing what it had written.
    if any(shutil.disk_usage(folder).free < _imageBytes() for folder in _diskFolders(path)):
        raise OSError(errno.ENOSPC, "")
    count = messages.GetNumberOfMessages()
    reason = "; ".join(messages.GetNthMessageText(number) for number in range(count))
    raise InputError(
        _("Slicer could not write the scene: {reason}.").format(reason=reason or _("it does not say why"))
    )


def _diskFolders(path: Path) -> list[Path]:
    """Where Slicer writes a bundle: its parts lie in the folder for downloads, where there is one."""
    manager = slicer.mrmlScene.GetCacheManager()
    cache = manager.GetRemoteCacheDirectory() if manager is not None else ""
    return [path.parent, *([Path(cache)] if cache and Path(cache).is_dir() else [])]


def _imageBytes() -> int:
    """What the volumes of the scene take before they are compressed."""
    images = [node.GetImageData() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")]
    return sum(1024 * int(image.GetActualMemorySize()) for image in images if image is not None)


def _checkWhole(path: Path, folder: Path) -> None:
    """Raise OSError where the disk was full and what wrote the file did not notice."""
    try:
        with zipfile.ZipFile(path) as bundle:
            for entry in bundle.infolist():
                whole = isWhole(Path(bundle.extract(entry, folder))) if not entry.is_dir() else True
                if not whole:
                    raise OSError(errno.ENOSPC, "")
    except zipfile.BadZipFile as error:
        raise OSError(errno.ENOSPC, "") from error
