"""A training that runs as a job: its curve and its pictures so far, and what came out. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from slicer.i18n import tr as _

from medcontext.cards import TRAINING_FOLDER, CardSummary, read_summary
from medcontext.errors import InputError
from medcontext.events import Event
from medcontext.jobs.files import JOB, read_json
from MedContextSegmentLib.Learn.CurvePoints import CurvePoints
from MedContextSegmentLib.Learn.FollowedJob import CANCELLED, FAILED, FINISHED, LOST, FollowedJob
from MedContextSegmentLib.Learn.LearningTask import Task, taskOf
from MedContextSegmentLib.Run.Models import modelKey

AGAIN = "--resume"
"""In the command of a job that was taken up."""

PREVIEW = Path(TRAINING_FOLDER) / "preview.png"


@dataclass(frozen=True)
class LearningResult:
    """What a training that ended well leaves behind.

    Attributes:
        card: the new model.
        picture: what it does at the end, or None.
    """

    card: CardSummary
    picture: Path | None

    @property
    def key(self) -> str:
        """``id@version`` of the new model."""
        return modelKey(self.card)


class LearningJob(FollowedJob):
    """A job that learns, as its folder shows it. What it learns is said by a class made from this one.

    Args:
        folder: the job folder.

    Attributes:
        KINDS: the commands of such jobs.
        task: what it does.
        losses: the curve of the loss terms.
        scores: the curve of what tells whether it learns.
        picture: the latest picture of what it can do so far, or None.
        pictures: how many there were.

    Raises:
        InputError: there is no job there, or it cannot be read.
    """

    KINDS: ClassVar[tuple[str, ...]] = ()

    _result: LearningResult | None

    def __init__(self, folder: Path) -> None:
        self.task = taskOf(read_json(Path(folder) / JOB) or {}, self.KINDS) or Task()
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
            event = self.job.result
            self._result = self._resultOf(
                event, read_summary(Path(str(event.get("model") or self.task.output)))
            )
        return self._result

    @property
    def stoppingText(self) -> str:
        """What it does after it was asked to stop, in words."""
        return _("Stopping, and keeping what it has learnt...")

    @property
    def finishedText(self) -> str:
        """What came out, in one or two sentences; "" before it ended well."""
        result = self.result
        if result is None:
            return ""
        problem = result.card.problem
        if problem:
            text = _("The new model '{title}' cannot be used: {problem}")
            return text.format(title=result.card.title, problem=problem)
        return self._readyText(result)

    def _resultOf(self, event: Event, card: CardSummary) -> Any:
        """What the event says that ends it well: a :class:`LearningResult`."""
        raise NotImplementedError

    def _readyText(self, result: Any) -> str:
        """What such a result is worth, and what can be done with it."""
        raise NotImplementedError

    def _takeScores(self, step: float, event: Event) -> None:
        """What a ``metric`` event says besides the loss."""
        raise NotImplementedError

    def _clear(self) -> None:
        super()._clear()
        self.losses, self.scores = CurvePoints(smoothed=True), CurvePoints(smoothed=False)
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
        step, losses = event.get("step"), event.get("loss")
        if not isinstance(step, int | float):
            return
        if isinstance(losses, Mapping):
            self.losses.add(step, losses)
        self._takeScores(step, event)
