"""What the chosen case store holds, read beside the main thread and again when another program changed it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

from medcontext.case_list import StoreSummary, read_store
from medcontext.dataset_form import INDEX, SPLITS
from MedContextSegmentLib.Panel.Later import PATIENCE_SECONDS, Later

WATCH_MS = 3000

Stamp = tuple[tuple[int, int, int] | None, ...]


class StoreReader:
    """Reads a store so that no drive, slow or gone, keeps anybody waiting.

    Args:
        onRead: called when another store was chosen and whenever one was read.
        read: reads a store, for tests.
    """

    def __init__(
        self, onRead: Callable[[], None], read: Callable[[Path], StoreSummary] | None = None
    ) -> None:
        self._onRead, self._read = onRead, read or read_store
        self._stamp: Stamp | None = None
        self._later = Later(self._done)
        self.folder: Path | None = None
        self.summary: StoreSummary | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(WATCH_MS)
        self._timer.connect("timeout()", self._glance)

    @property
    def reading(self) -> bool:
        """Whether the drive has not answered yet."""
        return self._later.busy

    def choose(self, folder: Path | None) -> None:
        """Read another store; None for none."""
        self.folder, self.summary, self._stamp = folder, None, None
        self._later.stop()
        if folder is not None:
            self._begin(force=True)
        if self.summary is None:  # none was chosen, or the drive lets wait
            self._onRead()

    def reread(self) -> None:
        """Read the store anew, whether it has changed or not."""
        if self.folder is not None:
            self._begin(force=True)

    def look(self) -> None:
        """Read the store anew where another program has changed it."""
        if self.folder is not None and not self.reading:
            self._begin(force=False)

    def watch(self, watching: bool) -> None:
        """Whether to look from time to time."""
        if watching:
            self._timer.start()
        else:
            self._timer.stop()

    def stop(self) -> None:
        """Read nothing more."""
        self._timer.stop()
        self._later.stop()

    def _glance(self) -> None:
        """As :meth:`look`, without a moment of waiting: nobody asked for it."""
        if self.folder is not None and not self.reading:
            self._begin(force=False, patience=0.0)

    def _begin(self, force: bool, patience: float = PATIENCE_SECONDS) -> None:
        folder, known, read = self.folder, None if force else self._stamp, self._read
        if folder is None:
            return

        def work() -> tuple[Path, Stamp, StoreSummary | None]:
            stamp = stampOf(folder)
            return folder, stamp, read(folder) if stamp != known else None

        self._later.begin(work, patience)

    def _done(self, result: Any) -> None:
        folder, stamp, summary = result
        if folder == self.folder and summary is not None:
            self._stamp, self.summary = stamp, summary
            self._onRead()


def stampOf(folder: Path) -> Stamp:
    """What differs when the files that list the cases were written, came or went."""
    return tuple(_stampOfFile(folder / name) for name in (INDEX, SPLITS))


def _stampOfFile(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:  # not there: that is what the stamp says
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
