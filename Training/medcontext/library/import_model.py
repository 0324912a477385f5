"""One door for what others hand on: models of ours, and weights of other programs."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from medcontext.cards import MODEL_FILE
from medcontext.errors import InputError
from medcontext.library.archive import import_archive
from medcontext.library.checkpoint_file import SUFFIXES
from medcontext.library.import_encoder import import_encoder

if TYPE_CHECKING:
    from medcontext.networks.encoder import TransferReport


@dataclass(frozen=True)
class Imported:
    """A model that came into the library.

    Attributes:
        folder: of the model.
        report: of weights of another program, which of their tensors fitted; None of a model of ours.
    """

    folder: Path
    report: TransferReport | None = None


def import_model(source: Path, id: str | None = None, title: str | None = None) -> Imported:
    """Bring a model into the user's library; what it is, its content says.

    Args:
        source: a model of ours as folder or zip (:func:`import_archive`), a file of weights of another program
            (:func:`import_encoder`), or a folder that holds one.
        id: the library id to give it; its own when None.
        title: the title to give it; its own when None.

    Raises:
        InputError: it is none of these, or cannot be used, see there.
        ResourceError: the disk is full.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist.", "Check the path.")
    if _is_model(source):
        return Imported(import_archive(source, id, title))
    encoder = import_encoder(_weights_in(source) if source.is_dir() else source, id, title)
    return Imported(encoder.folder, encoder.report)


def _is_model(source: Path) -> bool:
    """Whether a folder or zip says that it is a model of ours."""
    if source.is_dir():
        return (source / MODEL_FILE).is_file()
    try:
        with zipfile.ZipFile(source) as archive:
            return any(PurePosixPath(name).name == MODEL_FILE for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # reading it as weights says why
        return source.suffix.lower() == ".zip"


def _weights_in(folder: Path) -> Path:
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
