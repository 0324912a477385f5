"""What lies in a folder and the folders below: image files, files that look like DICOM, and the rest."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from medcontext.batch.case import Skipped
from medcontext.batch_ledger.layout import LEDGERS
from medcontext.events import Reporter
from medcontext.io.dicom_folder import has_text_name, looks_like_dicom, printable
from medcontext.io.names import LABEL_FOLDERS, format_of

SEGMENTATION = ".seg.nrrd"
NO_TEXT = "Its name, or that of its folder, is not UTF-8 text and cannot be read; rename it."
_CLOSED = "The folder cannot be read."
_NOTICE = 1000  # files between two looks at whether to stop

Identity = tuple[int, int]


class Placed(NamedTuple):
    """A file, and the folder whose search found it."""

    path: Path
    root: Path


@dataclass
class Tree:
    """What a search has found.

    Attributes:
        images: image files that are no DICOM, folder by folder, by name.
        dicom: files that look like DICOM.
        skipped: folders that were not searched and files that cannot be read.
        others: how many files of which ending are no images.
    """

    images: list[Placed] = field(default_factory=list)
    dicom: list[Placed] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def absolute(path: Path) -> Path:
    """The same place from the root; links keep their names, which those of cases come from."""
    return path.resolve() if ".." in path.parts else path.absolute()


def identity(path: Path) -> Identity | None:
    """What is the same for all names of one folder or file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a zero byte is no part of a name
        return None
    return found.st_dev, found.st_ino


class Walk:
    """Searches folders, each once, whatever links lead to it; hidden files and folders do not count.

    Args:
        output: the folder that is not searched, where it exists.
        reporter: asked whether to stop.

    Attributes:
        tree: what was found.
    """

    def __init__(self, output: Path, reporter: Reporter) -> None:
        self.tree = Tree()
        self._output = identity(output)
        self._reporter = reporter
        self._seen: set[Identity] = set()
        self._known: set[Path] = set()

    def search(self, root: Path) -> None:
        """Search a folder and those below; links to folders come last, so that what is real keeps its name."""
        links: list[Path] = []
        self._below(root, root, links)
        while links:
            self._below(links.pop(0), root, links)

    def add_file(self, path: Path, root: Path) -> None:
        """Sort one file, where it was not met before."""
        if path in self._known:
            return
        self._known.add(path)
        if len(self._known) % _NOTICE == 0:
            self._reporter.check_cancelled()
            self._reporter.progress("searching", None, files=len(self._known))
        name = path.name.lower()
        if name.endswith(SEGMENTATION) or name == "dicomdir":
            return
        try:
            if format_of(path) and not has_text_name(path):
                self._skip(path, root, NO_TEXT)
            elif format_of(path):
                self.tree.images.append(Placed(path, root))
            elif looks_like_dicom(path) or (_named_like_a_slice(path) and path.stat().st_size == 0):
                self.tree.dicom.append(Placed(path, root))
            else:
                self.tree.others[printable(path.suffix.lower()) or "no ending"] += 1
        except OSError as error:
            if _named_like_a_slice(path):  # without it a series would be taken for whole
                self.tree.dicom.append(Placed(path, root))
            else:
                self._skip(path, root, f"It cannot be read: {error.strerror or error}.")

    def _below(self, start: Path, root: Path, links: list[Path]) -> None:
        folders = [start]
        while folders:
            folder = folders.pop()
            reason = self._closed(folder, root)
            if reason is not None:
                if reason:
                    self._skip(folder, root, reason, lost=reason == _CLOSED)
                continue
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self._skip(folder, root, f"The folder cannot be read: {error.strerror or error}.", lost=True)
                continue
            if _is_batch_output([entry.name for entry in entries]):
                self._skip(folder, root, "It holds the results of another batch run.")
                continue
            below = [path for entry in entries if (path := self._enter(entry, root, links))]
            folders += reversed(below)

    def _closed(self, folder: Path, root: Path) -> str | None:
        """Why a folder is not searched: empty where nobody needs to be told; None where it is searched."""
        known = identity(folder)
        if known is None:
            return _CLOSED
        if known in self._seen or known == self._output:
            return ""
        self._seen.add(known)
        if folder.name.casefold() in LABEL_FOLDERS and folder != root:
            return "It is a folder of labels; name it as input to work on what it holds."
        return None

    def _enter(self, entry: os.DirEntry[str], root: Path, links: list[Path]) -> Path | None:
        """Sort a file; give a folder back to search it, or keep it for later where it is a link."""
        if entry.name.startswith("."):
            return None
        path = Path(entry.path)
        try:
            mode = entry.stat().st_mode
        except OSError:  # a link that leads nowhere: what is said of it depends on its name
            self.add_file(path, root)
            return None
        if stat.S_ISREG(mode):
            self.add_file(path, root)
        elif stat.S_ISDIR(mode) and entry.is_symlink():
            links.append(path)
        elif stat.S_ISDIR(mode):
            return path
        return None

    def _skip(self, path: Path, root: Path, reason: str, lost: bool = False) -> None:
        inner = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        place = inner if inner not in ("", ".") else path.name
        self.tree.skipped.append(Skipped(printable(place), reason, (path,), lost))


def _named_like_a_slice(path: Path) -> bool:
    """Whether a file is named as exports name slices: without ending, or with a number for one."""
    return path.suffix[1:].isdigit() == bool(path.suffix)


def _is_batch_output(names: list[str]) -> bool:
    return "batch.json" in names and any(fnmatch(name, LEDGERS) for name in names)
