"""A training that runs as a job: its curve and its pictures so far, and what came out. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medcontext.cards import TRAINING_FOLDER
from medcontext.errors import InputError
from medcontext.events import Event
from medcontext.jobs.files import JOB, read_json
from MedContextSegmentLib.Learn.CurvePoints import CurvePoints
from MedContextSegmentLib.Learn.FollowedJob import CANCELLED, FAILED, FINISHED, LOST, FollowedJob
from MedContextSegmentLib.Learn.LearningTask import LearningResult, Task, resultOf, taskOf

AGAIN = "--resume"
"""In the command of a job that was taken up."""

PREVIEW = Path(TRAINING_FOLDER) / "preview.png"


class LearningJob(FollowedJob):
    """A job that learns, as its folder shows it.

    Args:
        folder: the job folder.

    Attributes:
        task: what it does.
        losses: the curve of the loss terms.
        scores: the curve of the Dice of each label: on held-out cases where they are watched, else on the cases by
            which the best state is chosen.
        scoresAreHeldOut: which of the two.
        picture: the latest picture of what it can do so far, or None.
        pictures: how many there were.

    Raises:
        InputError: there is no job there, or it cannot be read.
    """

    _result: LearningResult | None

    def __init__(self, folder: Path) -> None:
        self.task = taskOf(read_json(Path(folder) / JOB) or {}) or Task()
        super().__init__(folder)

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
    def result(self) -> LearningResult | None:
        """What came out; None before it ended well."""
        if self._result is None and self.state == FINISHED and self.job.result is not None:
            self._result = resultOf(self.job.result, self.task)
        return self._result

    def _clear(self) -> None:
        super()._clear()
        self.losses, self.scores = CurvePoints(smoothed=True), CurvePoints(smoothed=False)
        self.scoresAreHeldOut = False
        self.picture: Path | None = None
        self.pictures = 0
        self._result = None

    def _take(self, event: Event) -> None:
        super()._take(event)
        if event["event"] == "metric":
            self._takeMetric(event)
        elif event["event"] == "picture":
            self.picture = Path(str(event.get("path") or self.task.output / PREVIEW))
            self.pictures += 1

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
