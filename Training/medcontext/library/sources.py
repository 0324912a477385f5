"""What a person gives to be imported, as a folder or a file of weights that can be read safely."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from medcontext.cards import MODEL_FILE, user_models
from medcontext.errors import InputError
from medcontext.library.checkpoint_file import SUFFIXES
from medcontext.library.folder import disk_errors, plain_path, staging
from medcontext.library.unpacking import checked_entries, opened_zip, write_entry

DEPTH = 10
"""Most folders in each other in an archive of another program."""

_NEEDED = (*SUFFIXES, ".ts", ".pkl", ".json", ".yaml", ".yml", ".txt", ".md")
"""Kinds of file that an import reads. Pictures, scans and programs stay packed."""

_TENSORS = "data.pkl"
"""What a zip of torch holds at the top of its one folder."""


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """A source as it can be read: a folder, or a file of weights.

    A zip of a folder is unpacked beside the library, for as long as this takes; files that no import reads are left
    out. Where it holds nothing but one folder that is still the folder given, since every form is looked for inside.

    Raises:
        InputError: there is no such file, or it is a zip with names that leave its folder, links, or too much data.
        ResourceError: the disk is full.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist.", "Check the path.")
    if source.is_dir() or not _is_archive(source):
        yield source
        return
    library = user_models()
    with disk_errors(library), staging(library / "import") as folder:
        _unpack(source, folder)
        yield folder


def is_own_model(source: Path) -> bool:
    """Whether a folder or zip says that it is a model of ours."""
    if source.is_dir():
        return (source / MODEL_FILE).is_file()
    return any(
        path.name == MODEL_FILE and len(path.parts) <= 2 for path in map(PurePosixPath, _names(source))
    )


def weights_in(folder: Path) -> Path:
    """The only file of weights in a folder.

    Raises:
        InputError: there is none, or there are several.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if len(files) == 1:
        return files[0]
    if not files:
        raise InputError(
            f"{folder} holds neither a model ({MODEL_FILE}) nor a file of weights ({', '.join(SUFFIXES)})."
        )
    names = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
    raise InputError(f"{folder} holds {len(files)} files of weights ({names}).", "Give one of them.")


def _is_archive(source: Path) -> bool:
    """Whether a file is a zip of a folder, and not one of tensors; what only is called .zip is a damaged one."""
    names = _names(source)
    tensors = any(path.name == _TENSORS and len(path.parts) <= 2 for path in map(PurePosixPath, names))
    return not tensors if names else source.suffix.lower() == ".zip"


def _names(source: Path) -> list[str]:
    """The names in a zip; none where it is no zip that can be read."""
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # whoever reads it says why
        return []


def _unpack(source: Path, folder: Path) -> None:
    with opened_zip(source) as archive:
        entries = checked_entries(
            archive,
            source,
            lambda name: plain_path(name, DEPTH),
            lambda path: path.suffix.lower() in _NEEDED,
        )
        for name, entry in entries:
            write_entry(archive, entry, folder / name)
