"""Which file of a bundle holds the weights, and the tensors in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from medcontext.errors import InputError
from medcontext.library.checkpoint_file import check_storage, read_checkpoint, state_dicts
from medcontext.library.monai_import.config import Part, texts
from medcontext.library.torchscript import is_torchscript, read_torchscript

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "models"
_SUFFIXES = (".pt", ".pth", ".safetensors", ".ts", ".ckpt")
_USUAL = ("model.pt", "model.safetensors", "model.pth", "model.ts")
_NAMED = re.compile(r"['\"/]([\w.-]+\.(?:pt|pth|safetensors|ts|ckpt))\b")
_LARGE = ("large_files.yml", "large_files.yaml", "large_files.json")


def weights_file(folder: Path, configs: list[Part]) -> Path:
    """The file of the weights that a bundle uses: the usual one, else the one its configuration names.

    Raises:
        InputError: there is none, or it is not told which of several is meant.
    """
    place = folder / FOLDER
    files = (
        sorted(f for f in place.iterdir() if f.suffix in _SUFFIXES and f.is_file()) if place.is_dir() else []
    )
    by_name = {file.name: file for file in files}
    wanted = [name for name in _USUAL if name in by_name]
    wanted += [
        name for c in configs for text in texts(c.root) for name in _NAMED.findall(text) if name in by_name
    ]
    if wanted or len(files) == 1:
        return by_name[wanted[0]] if wanted else files[0]
    if not files:
        listed = next((name for name in _LARGE if (folder / name).is_file()), None)
        hint = (
            f"{listed} in it says where they are: download them first." if listed else "Get the whole bundle."
        )
        raise InputError(f"{folder} holds no weights (models/model.pt or models/model.ts).", hint)
    raise InputError(
        f"{place} holds {len(files)} files of weights ({', '.join(by_name)}).",
        "Rename the one that is meant to model.pt.",
    )


def read_weights(path: Path) -> list[dict[str, Tensor]]:
    """Every group of named tensors in a file, the outermost first. Nothing of it is executed.

    Raises:
        InputError: it is no such file, is damaged, would run code, or holds no tensors.
    """
    if is_torchscript(path):
        groups = [read_torchscript(path)]
    else:
        groups = [tensors for _, tensors in state_dicts(read_checkpoint(path))]
    groups = [group for group in groups if group]
    if not groups:
        raise InputError(f"{path} holds no weights: there are no tensors in it.")
    for group in groups:
        check_storage(group, path)
    return groups
