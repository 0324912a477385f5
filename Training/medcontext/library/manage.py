"""Tidying the user's model library."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from medcontext.cards import bundled_models, resolve, user_models
from medcontext.disk import folder_size
from medcontext.errors import InputError
from medcontext.library.folder import disk_errors


def remove(model: str) -> Path:
    """Delete a model of the user's library; returns the folder that it was in.

    Args:
        model: library id, ``id@version``, its path, or (for broken ones) its folder's name in the library.

    Raises:
        InputError: there is no such model, it came with the program, or it lies outside of the library.
    """
    folder = user_models() / model
    if not model or folder.parent != user_models() or not folder.is_dir():
        folder = resolve(model)
    place = folder.parent.resolve() / folder.name
    if place.is_relative_to(bundled_models()):
        raise InputError(f"Model '{model}' came with MedContext and cannot be removed.")
    if place.parent != user_models().resolve() or folder.name in ("", ".", ".."):
        raise InputError(
            f"{folder} is not in the model library {user_models()}.", "Delete the folder yourself."
        )
    with disk_errors(folder):
        if folder.is_symlink():
            folder.unlink()
            return folder
        hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
        folder.rename(hidden)  # out of the list at once, whatever happens to the files
        shutil.rmtree(hidden)
    return folder


def disk_use(model: str | Path | None = None) -> int:
    """Bytes on disk of a model (library id or folder), or of the user's whole library.

    Raises:
        InputError: there is no such model.
    """
    folder = user_models() if model is None else resolve(model)
    return folder_size(folder)
