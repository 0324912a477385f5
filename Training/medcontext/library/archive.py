"""Models in and out of the library as one zip. An archive is untrusted until every check has passed."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from medcontext.card_schema import ModelCard
from medcontext.cards import MODEL_FILE, list_cards, resolve, user_models
from medcontext.errors import InputError
from medcontext.library.folder import (
    ALLOWED_SUFFIXES,
    checked_name,
    commit,
    disk_errors,
    staging,
    sync,
    write_file,
)
from medcontext.library.read import check_weights, read_card, weights_files
from medcontext.library.unpacking import Named, checked_entries, opened_zip, write_entry, write_stream
from medcontext.library.verify import verify
from medcontext.library.write import card_json

_PARTS_OF_A_MODEL = (".", "training")
_STORED = (".safetensors", ".png")


def import_archive(source: Path, id: str | None = None, title: str | None = None) -> Path:
    """Bring a model (a zip, or a folder) into the user's library; it appears there only when all is well.

    Args:
        source: a zip made by :func:`export_archive` or by hand, or a model folder.
        id: the library id to give it; its own when None.
        title: the title to give it; its own when None.

    Returns:
        Its folder in the library. A model that is there already (same id, version and weights) is left alone.

    Raises:
        InputError: the archive holds no model, more than one, names that leave the folder, links, other
            kinds of file or too much data; a check fails; or another model has this id and version.
        ResourceError: the disk is full.
    """
    library = user_models()
    with disk_errors(library / (id or source.stem)), staging(library / "import") as staged:
        folder = staged / "model"
        folder.mkdir()
        if source.is_dir():
            _copy_folder(source, folder)
        else:
            _unpack(source, folder)
        for finding in verify(folder):
            if finding.severity == "error":
                raise InputError(
                    f"{source} was not imported: {finding.message.replace(str(folder), source.name)}"
                )
        names = {key: value for key, value in (("id", id), ("title", title)) if value is not None}
        if names:
            card = ModelCard.parse(read_card(folder).model_dump(mode="json") | names, "The id or title")
            write_file(folder / MODEL_FILE, card_json(card))
        return place_in_library(folder, read_card(folder))


def look_at_archive(source: Path) -> tuple[ModelCard, int]:
    """The card of a model in a zip or folder, and the bytes that its files take; nothing is imported.

    Raises:
        InputError: there is no model, more than one, or the archive is not allowed, see :func:`import_archive`.
    """
    if source.is_dir():
        card = read_card(source)
        return card, sum(file.stat().st_size for _, file in model_files(source, card))
    with opened_zip(source) as archive, tempfile.TemporaryDirectory() as folder:
        entries = _model_entries(archive, source)
        found = next(entry for name, entry in entries if str(name) == MODEL_FILE)
        write_entry(archive, found, Path(folder) / MODEL_FILE)
        return read_card(Path(folder)), sum(entry.file_size for _, entry in entries)


def export_archive(model: str | Path, path: Path, *, replace: bool = False) -> Path:
    """Write a model as one zip that :func:`import_archive` takes; the same model gives the same bytes.

    Args:
        model: library id or folder.
        path: the zip to write.
        replace: whether a file that is there already may be replaced.

    Raises:
        InputError: there is no such model, it is broken, or the zip exists.
        ResourceError: the disk is full.
    """
    folder = resolve(model)
    card = read_card(folder)
    for entry in weights_files(card):
        check_weights(folder, entry)
    if path.exists() and not replace:
        raise InputError(f"{path} exists already.", "Choose another name.")
    with disk_errors(path), staging(path) as staged:
        part = staged / "model.zip"
        with part.open("wb") as stream:
            with zipfile.ZipFile(stream, "w") as archive:
                for name, file in model_files(folder, card):
                    _add(archive, f"{card.id}/{name}", file)
            sync(stream.fileno())
        part.replace(path)
    return path


def model_files(folder: Path, card: ModelCard) -> Iterator[tuple[str, Path]]:
    """What belongs to a model: the folder's own files and those of ``training/``, weights only if listed."""
    listed = {entry.file for entry in weights_files(card)}
    for part in _PARTS_OF_A_MODEL:
        for file in sorted((folder / part).iterdir()) if (folder / part).is_dir() else []:
            name = file.relative_to(folder).as_posix()
            known = (
                name in listed if file.suffix == ".safetensors" else file.suffix.lower() in ALLOWED_SUFFIXES
            )
            if known and file.is_file() and not file.name.startswith("."):
                yield name, file


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.compress_type = zipfile.ZIP_STORED if file.suffix in _STORED else zipfile.ZIP_DEFLATED
    with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target, 2**20)


def _copy_folder(source: Path, folder: Path) -> None:
    for name, file in model_files(source, read_card(source)):
        if file.is_symlink():
            raise InputError(
                f"{file} is a link; a model holds plain files.", "Replace it by the file it points to."
            )
        with file.open("rb") as stream:
            write_stream(folder / checked_name(name), stream)


def _unpack(source: Path, folder: Path) -> None:
    with opened_zip(source) as archive:
        for name, entry in _model_entries(archive, source):
            write_entry(archive, entry, folder / name)


def _model_entries(archive: zipfile.ZipFile, source: Path) -> list[Named]:
    """The files of the one model in an archive, by their places in its folder."""
    entries = checked_entries(archive, source, checked_name)
    roots = [name.parent for name, _ in entries if name.name == MODEL_FILE]
    if len(roots) != 1 or len(roots[0].parts) > 1:
        raise InputError(
            f"{source} holds {len(roots) or 'no'} model(s): one {MODEL_FILE} is needed, at the top."
        )
    root = roots[0]
    return [(name.relative_to(root), entry) for name, entry in entries if name.is_relative_to(root)]


def place_in_library(folder: Path, card: ModelCard) -> Path:
    """Move a checked model into the user's library, beside other versions of the same id.

    Returns:
        Its folder there. A model that is there already (same id, version and weights) is left alone.

    Raises:
        InputError: another model has this id and version.
    """
    same = [c for c in list_cards() if (c.id, c.version, c.bundled) == (card.id, card.version, False)]
    for other in same:
        if other.problem is None and read_card(other.folder).weights == card.weights:
            return other.folder
        raise InputError(
            f"Another model '{card.id}' of version {card.version} is in the library.",
            "Remove it first, or import this one with another id.",
        )
    version = "".join(c if c.isalnum() or c in ".+-" else "_" for c in card.version)[:32]
    targets = [user_models() / name for name in (card.id, f"{card.id}-{version}")]
    target = next((t for t in targets if not t.exists()), None)
    if target is None:
        raise InputError(f"{targets[0]} and {targets[1]} exist already.", "Remove one of them.")
    commit(folder, target)
    return target
