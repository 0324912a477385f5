"""Follows the output folder of a batch beside the main thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

from MedContextSegmentLib.Batch.BatchRows import BatchRows
from MedContextSegmentLib.Batch.FolderReader import FolderReader
from MedContextSegmentLib.Panel.Later import Later

FOLLOW_MS, WATCH_MS, CATCH_UP_MS = 500, 3000, 20
"""How often is looked: while a batch goes on, while none does, and while there is more to read."""


class FolderFollower:
    """Keeps what is known of one folder up to date.

    Args:
        onNews: called when something is known now that was not.

    Attributes:
        rows: what is known.
    """

    def __init__(self, onNews: Callable[[], None]) -> None:
        self._onNews = onNews
        self._reader: FolderReader | None = None
        self._working = self._watching = self._again = False
        self._later = Later(self._looked)
        self.rows = BatchRows()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._look)

    @property
    def looking(self) -> bool:
        """Whether the folder is being read."""
        return self._later.busy

    def follow(self, folder: Path | None) -> None:
        """Follow another folder; None for none."""
        if folder == self.rows.folder:
            return
        self._later.stop()
        self._timer.stop()
        self._again = False
        self.rows = BatchRows(folder)
        self._reader = FolderReader(folder) if folder is not None else None
        self._onNews()
        if self._watching:
            self._look()

    def watch(self, watching: bool, working: bool = False) -> None:
        """Whether somebody looks, and whether a batch goes on there."""
        soon = watching and (not self._watching or (working and not self._working))
        self._watching, self._working = watching, working
        if not watching:
            self._timer.stop()
        elif soon:
            self._look()

    def lookNow(self) -> None:
        """Look without waiting for the time, such as when a batch has just ended."""
        if self.looking:
            self._again = True  # what is being read may have been read too soon
        else:
            self._look()

    def stop(self) -> None:
        """Follow no more."""
        self._watching = self._again = False
        self._timer.stop()
        self._later.stop()

    def _look(self) -> None:
        self._timer.stop()
        if self._reader is not None and not self.looking:
            self._later.begin(self._reader.look, patience=0.0)

    def _looked(self, news: Any) -> None:
        if news.folder != self.rows.folder:
            return
        changed = self.rows.take(news)
        if self._watching:
            self._timer.setInterval(CATCH_UP_MS if news.more else FOLLOW_MS if self._working else WATCH_MS)
            self._timer.start()
        if self._again:
            self._again = False
            self._look()
        if changed:
            self._onNews()
