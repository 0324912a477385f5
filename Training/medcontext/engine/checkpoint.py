"""A checkpoint is one file that appears only complete."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from medcontext.errors import InputError, ResourceError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) under a temporary name, sync, rename.

    Raises:
        ResourceError: the disk is full or not writable; an older checkpoint is untouched.
    """
    scratch: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        scratch = Path(name)
        with os.fdopen(handle, "wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into RuntimeError
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        raise ResourceError(
            f"The checkpoint could not be written to {path.parent}: {error}.",
            "Free some space; the last complete checkpoint is kept.",
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        InputError: the file is missing or not a checkpoint of this package.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"There is no checkpoint at {path}.", "Start without --resume.") from error
    except Exception as error:  # torch raises pickle, zip, key and runtime errors for foreign files
        raise InputError(f"{path} is not a readable checkpoint.", "Start without --resume.") from error
    if not isinstance(state, dict) or state.get("format") != "medcontext-checkpoint-1":
        raise InputError(f"{path} is not a checkpoint of this program.", "Start without --resume.")
    return state
