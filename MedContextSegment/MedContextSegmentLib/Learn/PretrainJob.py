"""A pre-training as its job shows it: the signals that tell whether it learns, and the encoder that came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.events import Event
from MedContextSegmentLib.Learn.LearningJob import LearningJob, LearningResult
from MedContextSegmentLib.Learn.PretrainCommand import PRETRAIN
from MedContextSegmentLib.Learn.Signals import onCurve


@dataclass(frozen=True)
class PretrainResult(LearningResult):
    """An encoder.

    Attributes:
        card: the encoder.
        picture: None: the last picture of the run stays.
        sentence: how well it learnt, in words, with the numbers; "" where nobody looked.
    """

    sentence: str = ""


class PretrainJob(LearningJob):
    """See :class:`LearningJob.LearningJob`.

    Attributes:
        scores: the signals.
    """

    KINDS: ClassVar[tuple[str, ...]] = (PRETRAIN,)

    def _resultOf(self, event: Event, card: CardSummary) -> PretrainResult:
        return PretrainResult(card=card, picture=None, sentence=str(event.get("sentence") or ""))

    def _readyText(self, result: Any) -> str:
        text = _("The encoder '{title}' is ready: Fine-tune can start from it.")
        told = text.format(title=result.card.title)
        return " ".join(part for part in (result.sentence, told, self.warning) if part)

    def _takeScores(self, step: float, event: Event) -> None:
        signals = event.get("signals")
        if isinstance(signals, Mapping):
            self.scores.add(step, onCurve(signals))
