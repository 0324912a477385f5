"""A folder of wheels and models that was made on a computer with a network: reading and checking it."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from slicer.i18n import tr as _

from medcontext.errors import InputError

PACK_FILE = "pack.json"
SCHEMA = 1
WHEELS, MODELS = "wheels", "models"
PIECE = 1 << 22

SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}


@dataclass(frozen=True)
class OfflinePack:
    """A pack that is complete and unchanged, and was made for this computer.

    Attributes:
        folder: where it is.
        purpose: "segment" or "train": what its wheels are enough for.
        models: the models in it, as .zip files.
    """

    folder: Path
    purpose: str
    models: tuple[Path, ...]

    @property
    def wheels(self) -> Path:
        """The folder that pip is pointed at."""
        return self.folder / WHEELS


def openPack(folder: Path, between: Callable[[], None] = lambda: None) -> OfflinePack:
    """Read and check a pack; every file is compared with its hash.

    Args:
        folder: holds ``pack.json``, ``wheels`` and ``models``.
        between: called every few milliseconds, such as to let Slicer draw itself.

    Raises:
        InputError: it is no pack, is damaged, or is made for another kind of computer.
    """
    data = _read(folder)
    _checkComputer(data)
    hashes = data["files"]
    for name, digest in hashes.items():
        _checkFile(folder, name, digest, between)
    # pip takes whatever lies there
    for path in sorted((folder / WHEELS).rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in hashes:
            raise InputError(
                _("The offline pack holds a file that is not in its list: '{name}'.").format(name=path.name),
                _("Remove it, or make the pack again with 'medcontext pack'."),
            )
    models = tuple(folder / name for name in hashes if name.startswith(f"{MODELS}/"))
    return OfflinePack(folder, data["purpose"], models)


def _read(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / PACK_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            _("'{folder}' is no offline pack: it holds no {file}.").format(folder=folder, file=PACK_FILE),
            _("Make one with 'medcontext pack' on a computer with a network."),
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            _("{file} in '{folder}' cannot be read.").format(file=PACK_FILE, folder=folder)
        ) from error
    texts = ("python", "system", "machine", "purpose")
    if (
        not isinstance(data, dict)
        or not all(isinstance(data.get(key), str) for key in texts)
        or not isinstance(data.get("files"), dict)
        or not isinstance(data.get("schema_version"), int)
    ):
        raise InputError(
            _("{file} in '{folder}' is damaged.").format(file=PACK_FILE, folder=folder), _makeAgain()
        )
    if data["schema_version"] > SCHEMA:
        raise InputError(
            _("The offline pack was made by a newer version of MedContext."),
            _("Update the extension MedContext."),
        )
    return data


def _checkComputer(data: dict[str, Any]) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    made = (data["python"], data["system"], data["machine"])
    here = (python, sys.platform, machine)
    if made != here:
        text = _("The offline pack is for {made}; this Slicer has {here}.")
        raise InputError(text.format(made=_computer(*made), here=_computer(*here)), _makeAgain())


def _computer(python: str, system: str, machine: str) -> str:
    return f"Python {python}, {SYSTEMS.get(system, system)} {machine}"


def _checkFile(folder: Path, name: str, digest: Any, between: Callable[[], None]) -> None:
    parts = PurePosixPath(name).parts
    if len(parts) != 2 or parts[0] not in (WHEELS, MODELS) or parts[1] in (".", "..") or "\\" in name:
        raise InputError(
            _("The offline pack lists a file outside itself: '{name}'.").format(name=name), _makeAgain()
        )
    path = folder / name
    try:
        found = _hash(path, between)
    except OSError as error:
        text = _("'{name}' of the offline pack is missing or cannot be read.")
        raise InputError(text.format(name=name), _("Copy the whole folder again.")) from error
    if found != digest:
        text = _("'{name}' of the offline pack is damaged: its hash is another one.")
        raise InputError(text.format(name=name), _("Copy the whole folder again."))


def _hash(path: Path, between: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
            between()
    return digest.hexdigest()


def _makeAgain() -> str:
    return _("Make it again with 'medcontext pack' for this computer.")
