"""A training that runs as a job: followed from its files, asked to pause or to stop.

It outlives Slicer. Everything is read from the job's folder, so that it does not matter who started it. No Qt.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from medcontext import jobs
from medcontext.cards import TRAINING_FOLDER
from medcontext.errors import InputError
from medcontext.events import Event
from medcontext.jobs.files import EVENTS, JOB, RESTARTED, read_json, write_json
from MedContextSegmentLib.Learn.CurvePoints import CurvePoints
from MedContextSegmentLib.Learn.LearningTask import LearningResult, Task, resultOf, taskOf

RUNNING, PAUSED, STOPPING = "running", "paused", "stopping"
FINISHED, FAILED, CANCELLED, LOST = "finished", "failed", "cancelled", "lost"

AGAIN = "--resume"
"""In the command of a job that was taken up."""

SEEN = "seen.json"
"""Beside the job's own files: how much of the events was there when a person saw how it ended."""

PIECE_BYTES = 1 << 17
"""How much of the events is read at once: about 800 of them, some 10 ms."""

PREVIEW = Path(TRAINING_FOLDER) / "preview.png"


class LearningJob:
    """A job that learns, as its folder shows it.

    Args:
        folder: the job folder.

    Attributes:
        task: what it does.
        job: what :func:`medcontext.jobs.read` said at the last :meth:`poll`.
        losses: the curve of the loss terms.
        scores: the curve of the Dice of each label: on held-out cases where they are watched, else on the cases by
            which the best state is chosen.
        scoresAreHeldOut: which of the two.
        picture: the latest picture of what it can do so far, or None.
        pictures: how many there were.
        warning: the last warning.

    Raises:
        InputError: there is no job there, or it cannot be read.
    """

    _result: LearningResult | None

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.task = taskOf(read_json(self.folder / JOB) or {}) or Task()
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
    def refused(self) -> bool:
        """Whether it was taken up and could not go on with what it was given: that is so the next time, too."""
        asked, code = AGAIN in self.job.command, self.job.exit_code
        return self.state == FAILED and asked and code == InputError.exit_code

    @property
    def resumable(self) -> bool:
        """Whether it ended before its time and can be taken up where it was, be it only to score the model."""
        ended = self.state in (FAILED, CANCELLED, LOST) and not self.refused
        return ended and self.holdsTraining

    @property
    def holdsTraining(self) -> bool:
        """Whether what it has learnt so far lies in its output folder."""
        return (self.task.output / TRAINING_FOLDER).is_dir()

    @property
    def caughtUp(self) -> bool:
        """Whether all events have been read that were there at the last :meth:`poll`."""
        return self._caughtUp

    @property
    def result(self) -> LearningResult | None:
        """What came out; None before it ended well."""
        if self._result is None and self.state == FINISHED and self.job.result is not None:
            self._result = resultOf(self.job.result, self.task)
        return self._result

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
        """Let it finish now with the best that it has. Raises InputError where it has ended."""
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
        self.losses, self.scores = CurvePoints(smoothed=True), CurvePoints(smoothed=False)
        self.scoresAreHeldOut = False
        self.picture: Path | None = None
        self.pictures = 0
        self.warning = ""
        self._caughtUp = False
        self._result = None

    def _take(self, event: Event) -> None:
        kind = event["event"]
        if kind == "metric":
            self._takeMetric(event)
        elif kind == "picture":
            self.picture = Path(str(event.get("path") or self.task.output / PREVIEW))
            self.pictures += 1
        elif kind in ("warning", RESTARTED):
            self.warning = str(event.get("message", ""))

    def _takeMetric(self, event: Event) -> None:
        step, losses, scores = event.get("step"), event.get("loss"), event.get("dice")
        if not isinstance(step, int | float):
            return
        if isinstance(losses, Mapping):
            self.losses.add(step, losses)
        if isinstance(scores, Mapping):
            heldOut = bool(event.get("held_out"))
            if heldOut and not self.scoresAreHeldOut:
                self.scores.clear()
                self.scoresAreHeldOut = True
            if heldOut == self.scoresAreHeldOut:
                self.scores.add(step, scores)


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
