"""Where a scan of the scene came from: its files on disk, and its patient without saying who that is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import slicer

READABLE = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")

NOBODY = {"", "0", "anon", "anonymous", "anonymized", "anonymised", "none", "unknown", "no id"}
"""Patient ids of data without patients: all of it would be one person's."""

ROUNDS = 50_000
"""Hospitals number their patients: whoever has a hash could try all numbers, were that not slow."""


def scanFiles(volumeNode: Any) -> tuple[Path, ...]:
    """The files, or one DICOM folder, that hold exactly the voxels of a volume; empty where none do.

    None do when the volume was changed after it was read, when it was not read from a file, when the file is gone,
    lies in a folder that Slicer empties, or is of a kind that is read only with Slicer.
    """
    storage = volumeNode.GetStorageNode()
    if storage is None or not storage.GetFileName() or volumeNode.GetModifiedSinceRead():
        return ()
    files = _filesOf(storage)
    if any(_isTemporary(file) or not file.is_file() for file in files):
        return ()
    if len(files) == 1 and files[0].name.lower().endswith(READABLE):
        return (files[0].absolute(),)
    return _folderOf(files)


def _filesOf(storage: Any) -> list[Path]:
    """All files of a storage node, sorted.

    Its list holds whole paths after loading; after saving they may be relative to the scene's folder or to the first
    file's.
    """
    first = Path(os.path.normpath(storage.GetFullNameFromFileName()))
    files = {first}
    for number in range(storage.GetNumberOfFileNames()):
        inScene = Path(os.path.normpath(storage.GetFullNameFromNthFileName(number) or first))
        beside = Path(os.path.normpath(first.parent / (storage.GetNthFileName(number) or "")))
        files.add(inScene if inScene.is_file() else beside)
    return sorted(files)


def _folderOf(files: list[Path]) -> tuple[Path, ...]:
    """The folder that holds these DICOM files and no others."""
    folder = files[0].parent
    if any(file.parent != folder or not isDicom(file) for file in files):
        return ()
    there = {file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")}
    return (folder.absolute(),) if there == set(files) else ()


def isDicom(file: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _isTemporary(file: Path) -> bool:
    cache = slicer.mrmlScene.GetCacheManager()
    folders = [slicer.app.temporaryPath, cache.GetRemoteCacheDirectory() if cache is not None else ""]
    return any(folder and file.resolve().is_relative_to(Path(folder).resolve()) for folder in folders)


def patientGroup(volumeNode: Any) -> str:
    """A name for the patient that tells whose scans belong together and not who it is.

    Returns:
        "patient-" and a hash of the DICOM patient id; empty for a volume that has none.
    """
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    if not item:
        return ""
    names = slicer.vtkMRMLSubjectHierarchyConstants
    patient = hierarchy.GetItemAncestorAtLevel(item, names.GetDICOMLevelPatient())
    if not patient:
        return ""
    number = hierarchy.GetItemUID(patient, names.GetDICOMUIDName()) or hierarchy.GetItemAttribute(
        patient, names.GetDICOMPatientIDAttributeName()
    )
    number = " ".join((number or "").split())
    if number.casefold() in NOBODY:
        return ""
    digest = hashlib.pbkdf2_hmac("sha256", number.encode(), b"MedContext patient", ROUNDS)
    return f"patient-{digest.hex()[:16]}"
