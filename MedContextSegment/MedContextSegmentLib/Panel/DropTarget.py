"""Files and folders that are dragged from the desktop onto a widget."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import qt

WEIGHTS = {".zip", ".pth", ".pt", ".ts", ".ckpt", ".safetensors"}
"""Endings of files that may hold a model."""

_NAMES = {"model.json", "plans.json", "configs", "metadata.json"}
_BEGINNINGS = ("nnUNetTrainer", "Dataset", "fold_")
_LOOKED_AT = 200
"""Entries of a dragged folder that are looked at: enough for a model, quick on any drive."""


class DropTarget(qt.QWidget):
    """An event filter that takes one file or folder; everything else goes its usual way.

    Args:
        target: the widget that things are dropped on.
        accepts: whether a path is wanted there.
        onDropped: called with the path, after the drop: the program that it comes from is not kept waiting.
    """

    def __init__(
        self, target: Any, accepts: Callable[[Path], bool], onDropped: Callable[[Path], None]
    ) -> None:
        qt.QWidget.__init__(self)
        self._accepts, self._onDropped = accepts, onDropped
        self._target = target
        target.acceptDrops = True
        target.installEventFilter(self)

    def stop(self) -> None:
        """Take nothing more."""
        self._target.removeEventFilter(self)

    def eventFilter(self, _watched: Any, event: Any) -> bool:
        """Called by Qt with each event of the widget; True: it goes no further."""
        kind = event.type()
        if kind not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        path = droppedPath(event.mimeData())
        if path is None or not self._accepts(path):
            return False
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            qt.QTimer.singleShot(0, lambda: self._onDropped(path))
        return True


def droppedPath(mime: Any) -> Path | None:
    """The one file or folder of this machine that is dragged; None where it is something else."""
    urls = mime.urls() if mime.hasUrls() else []
    path = urls[0].toLocalFile() if len(urls) == 1 else ""
    return Path(path) if path else None


def anything(_path: Path) -> bool:
    """Takes whatever is dropped, for places where only models are meant."""
    return True


def looksLikeModel(path: Path) -> bool:
    """Whether a path may be a model by its name, or by those in the folder; Slicer loads everything else itself."""
    if path.suffix.lower() in WEIGHTS:
        return True
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in islice(entries, _LOOKED_AT)]
    except OSError:  # a file, or a folder that cannot be read: not for us to say
        return False
    return any(
        name in _NAMES or name.startswith(_BEGINNINGS) or Path(name).suffix.lower() in WEIGHTS
        for name in names
    )
