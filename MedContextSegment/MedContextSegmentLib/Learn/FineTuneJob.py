"""A fine-tuning, or a training from scratch, as its job shows it: the Dice of each label, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.events import Event
from MedContextSegmentLib.Learn.FineTuneCommand import FINETUNE, TRAIN
from MedContextSegmentLib.Learn.LearningJob import LearningJob, LearningResult

WORSE = "worse"
"""The word of a verdict on a model that is not selected by itself."""


@dataclass(frozen=True)
class FineTuneResult(LearningResult):
    """A new model.

    Attributes:
        card: the new model.
        picture: it and its parent on one case, or None.
        word: "better", "worse", "undecided", "too_few" or "".
        sentence: the same in words, with the numbers.
    """

    word: str = ""
    sentence: str = ""


class FineTuneJob(LearningJob):
    """See :class:`LearningJob.LearningJob`.

    Attributes:
        scores: the Dice of each label: on held-out cases where they are watched, else on the cases by which the best
            state is chosen.
        scoresAreHeldOut: which of the two.
    """

    KINDS: ClassVar[tuple[str, ...]] = (FINETUNE, TRAIN)

    @property
    def stoppingText(self) -> str:
        """What it does after it was asked to stop, in words."""
        return _("Stopping, and keeping the best...")

    def _resultOf(self, event: Event, card: CardSummary) -> FineTuneResult:
        verdict = event.get("verdict")
        verdict = verdict if isinstance(verdict, Mapping) else {}
        picture = Path(str(event["picture"])) if event.get("picture") else None
        return FineTuneResult(
            card=card,
            picture=picture if picture is not None and picture.is_file() else None,
            word=str(verdict.get("word") or ""),
            sentence=str(verdict.get("sentence") or ""),
        )

    def _readyText(self, result: Any) -> str:
        if result.word == WORSE:
            text = _("The new model '{title}' is kept, and not selected.")
        else:
            text = _("The new model '{title}' is ready.")
        told = text.format(title=result.card.title)
        return " ".join(part for part in (result.sentence, told, self.warning) if part)

    def _clear(self) -> None:
        super()._clear()
        self.scoresAreHeldOut = False

    def _takeScores(self, step: float, event: Event) -> None:
        scores = event.get("dice")
        if not isinstance(scores, Mapping):
            return
        heldOut = bool(event.get("held_out"))
        if heldOut and not self.scoresAreHeldOut:
            self.scores.clear()
            self.scoresAreHeldOut = True
        if heldOut == self.scoresAreHeldOut:
            self.scores.add(step, scores)
