"""*Suggest next*: which unlabelled scan of a case store to annotate next, asked of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import CancelledError
from MedContextSegmentLib.Learn.WorkerSteps import Steps, WorkerSteps
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

if TYPE_CHECKING:
    from medcontext.case_list import CaseSummary, StoreSummary

UNLABELLED = "unlabelled"
LIMIT = 200
"""Scans looked at: more of them would take long, and the best of so many is hardly worse than that of all."""


@dataclass(frozen=True)
class SuggestionRequest:
    """What to rank, and with what.

    Attributes:
        store: folder of the case store.
        model: folder of the model.
        seed: decides which scans are looked at where there are more than :data:`LIMIT`.
        device: where to compute.
        precision: number format of the network's arithmetic.
    """

    store: Path
    model: Path
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class SuggestedScan:
    """A scan worth annotating.

    Attributes:
        case: its id in the store.
        score: 0 to 1, the higher the better.
        why: why it is suggested, in words; "" where nothing sets it apart.
        detail: what the words rest on, in numbers.
    """

    case: str
    score: float
    why: str
    detail: str


@dataclass(frozen=True)
class SuggestedScans:
    """What the worker found.

    Attributes:
        scans: best first.
        lookedAt: how many scans were looked at.
        unlabelled: how many there are.
        skipped: ``(case, why)`` of those that could not be looked at.
    """

    scans: tuple[SuggestedScan, ...]
    lookedAt: int
    unlabelled: int
    skipped: tuple[tuple[str, str], ...]


class SuggestionRun(WorkerSteps):
    """One search; see :class:`WorkerSteps.WorkerSteps`. Nothing of it touches the scene.

    Args:
        worker: what serves it.
        request: what to rank.
        listener: is told how it goes; may be None.

    Attributes:
        request: what was asked for.
        result: a :class:`SuggestedScans`; None before.
    """

    def __init__(self, worker: WorkerProcess, request: SuggestionRequest, listener: Any = None) -> None:
        super().__init__(worker, listener)
        self.request = request

    def giveWay(self) -> None:
        """Stop for something that waits behind it in the worker, which is therefore not ended by force."""
        if self.running and self._stop is None:
            self._stop = CancelledError(_("Stopped, as something else was begun."))
            if self._asked is not None:
                self._worker.send("cancel", target=self._asked.id)

    def _steps(self) -> Steps[SuggestedScans]:
        request = self.request
        fields = {
            "store": str(request.store),
            "model": str(request.model),
            "limit": LIMIT,
            "device": request.device,
            "precision": request.precision,
            "seed": request.seed,
        }
        return readAnswer((yield from self._ask("suggest", fields)))


def readAnswer(answer: Mapping[str, Any]) -> SuggestedScans:
    """The fields of the worker's answer as what a person sees."""
    return SuggestedScans(
        scans=tuple(_scan(entry) for entry in answer["ranking"]),
        lookedAt=int(answer["looked_at"]),
        unlabelled=int(answer["unlabelled"]),
        skipped=tuple((str(entry["case"]), str(entry["reason"])) for entry in answer["skipped"]),
    )


def unlabelledCases(store: StoreSummary) -> list[CaseSummary]:
    """The cases that could be annotated next."""
    return [case for case in store.cases if case.kind == UNLABELLED]


def suggestionReason(store: StoreSummary | None, card: CardSummary | None) -> str:
    """Why no scan can be suggested, as a sentence; "" when one can."""
    if store is None:
        return _("Choose a case store above.")
    if store.problem is not None:
        return store.problem
    if not unlabelledCases(store):
        return _("There is no unlabelled scan in the case store: add some above.")
    if card is None or card.problem is not None:
        return _("Choose a model in the section Segment: it says which scans it is unsure about.")
    if len(card.channels) != len(store.channels):
        text = _("The model '{title}' takes {given} image(s) of a scan, the case store holds {count}.")
        return text.format(title=card.title, given=len(card.channels), count=len(store.channels))
    return ""


def summaryOf(found: SuggestedScans) -> str:
    """How many scans were looked at, and what was wrong with others."""
    lines = []
    if found.lookedAt < found.unlabelled - len(found.skipped):
        text = _("{count} of {total} unlabelled scans were looked at, drawn at random.")
        lines.append(text.format(count=found.lookedAt, total=found.unlabelled))
    if found.skipped:
        case, reason = found.skipped[0]
        more = len(found.skipped) - 1
        text = _("'{case}' was skipped: {reason}")
        if more:
            text = _("'{case}' and {more} more were skipped: {reason}")
        lines.append(text.format(case=case, more=more, reason=reason))
    return "\n".join(lines)


def _scan(entry: Mapping[str, Any]) -> SuggestedScan:
    novelty = entry["novelty"]
    detail = [_("Disagreement of views: {value:.2f}").format(value=float(entry["uncertainty"]))]
    if novelty is not None:
        text = _("Distance from the annotated cases: {value:.2f}")
        detail.append(text.format(value=float(novelty)))
    return SuggestedScan(
        case=str(entry["case"]),
        score=float(entry["score"]),
        why=_why(entry["reasons"]),
        detail="\n".join(detail),
    )


def _why(reasons: list[str]) -> str:
    words = {
        "unsure": _("the model is unsure"),
        "unlike": _("unlike the annotated cases"),
        "stands_for_many": _("many scans are like it"),
        "nothing_found": _("the model finds nothing"),
    }
    return ", ".join(words[reason] for reason in reasons if reason in words)
