"""A job that is followed from its files, and asked to pause or to stop.

It outlives Slicer. Everything is read from the job's folder, so that it does not matter who started it. No Qt.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from medcontext import jobs
from medcontext.events import Event
from medcontext.jobs.files import EVENTS, RESTARTED, write_json

RUNNING, PAUSED, STOPPING = "running", "paused", "stopping"
FINISHED, FAILED, CANCELLED, LOST = "finished", "failed", "cancelled", "lost"

SEEN = "seen.json"
"""Beside the job's own files: how much of the events was there when a person saw how it ended."""

PIECE_BYTES = 1 << 17
"""How much of the events is read at once: about 800 of them, some 10 ms."""


class FollowedJob:
    """A job as its folder shows it.

    Args:
        folder: the job folder.

    Attributes:
        job: what :func:`medcontext.jobs.read` said at the last :meth:`poll`.
        warning: the last warning.

    Raises:
        InputError: there is no job there, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._offset = 0
        self._clear()
        self.job = jobs.read(self.folder)

    @property
    def state(self) -> str:
        """One of "running", "paused", "stopping", "finished", "failed", "cancelled" and "lost"."""
        if self.job.active and self.job.requested == "stop":
            return STOPPING
        return self.job.state

    @property
    def active(self) -> bool:
        """Whether it goes on, or rests."""
        return self.job.active

    @property
    def pausing(self) -> bool:
        """Whether it was asked to pause and has not yet."""
        return self.state == RUNNING and self.job.requested == "pause"

    @property
    def caughtUp(self) -> bool:
        """Whether all events have been read that were there at the last :meth:`poll`."""
        return self._caughtUp

    def poll(self) -> bool:
        """Read what is new, at most a piece; returns whether there was anything."""
        before = self.job
        self.job = jobs.read(self.folder)  # asked before reading, so that nothing written last is missed
        events, offset = jobs.follow(self.folder, self._offset, PIECE_BYTES)
        if offset < self._offset:  # the file was made anew
            self._clear()
        self._caughtUp = offset - self._offset < PIECE_BYTES  # a busy job always has a line more
        self._offset = offset
        for event in events:
            self._take(event)
        return bool(events) or self.job != before

    def pause(self) -> None:
        """Let it rest. Raises InputError where it has ended."""
        jobs.request(self.folder, "pause")

    def goOn(self) -> None:
        """Let a paused one go on. Raises InputError where it has ended."""
        jobs.request(self.folder, "resume")

    def stop(self) -> None:
        """Let it end now, and keep what it has. Raises InputError where it has ended."""
        jobs.request(self.folder, "stop")

    @property
    def seen(self) -> bool:
        """Whether a person saw how it ended."""
        return wasSeen(self.folder)

    def markSeen(self) -> None:
        """Remember that a person saw how it ended; a job that is taken up again is new again."""
        try:
            write_json(self.folder / SEEN, {"bytes": _size(self.folder / EVENTS)})
        except OSError as error:  # then it is shown once more
            logging.getLogger(__name__).warning("%s cannot be written: %s", self.folder / SEEN, error)

    def _clear(self) -> None:
        """Nothing was heard yet."""
        self.warning = ""
        self._caughtUp = False

    def _take(self, event: Event) -> None:
        """Something was heard."""
        if event["event"] in ("warning", RESTARTED):
            self.warning = str(event.get("message", ""))


def wasSeen(folder: Path) -> bool:
    """Whether a person saw how a job ended, and nothing has happened since."""
    try:
        seen = json.loads((folder / SEEN).read_text(encoding="utf-8"))
        return bool(seen["bytes"] == _size(folder / EVENTS))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
