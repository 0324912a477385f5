"""Going back to the model that a new one came from, and to the new one again, by one click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from MedContextSegmentLib.Learn.LearningJob import LearningResult
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import shortened
from MedContextSegmentLib.Run.Models import modelKey


class ModelSwitch:
    """Offers whichever of the two models is not chosen.

    Args:
        button: a QPushButton.
        context: the panel around.
        onSwitched: called after a click.
    """

    def __init__(self, button: Any, context: LearnContext, onSwitched: Callable[[], None]) -> None:
        self._button, self._context, self._onSwitched = button, context, onSwitched
        self._result: LearningResult | None = None
        self._parent: CardSummary | None = None
        button.connect("clicked()", self._switch)

    def show(self, result: LearningResult | None) -> None:
        """Offer what a training made, or what it started from; nothing when None."""
        if result is not self._result:
            self._result, self._parent = result, self._parentOf(result)
        other = self._other()
        self._button.setVisible(other is not None)
        if other is None or result is None:
            return
        text = _("Back to '{title}'") if other is self._parent else _("Use '{title}'")
        self._button.text = text.format(title=shortened(other.title))
        self._button.toolTip = other.title

    def _other(self) -> CardSummary | None:
        result = self._result
        if result is None or result.card.problem is not None:
            return None
        chosen = self._context.chosenModel()
        if chosen is None or modelKey(chosen) != result.key:
            return result.card
        return self._parent

    def _parentOf(self, result: LearningResult | None) -> CardSummary | None:
        """The model that a new one came from, told by its weights; None where it is gone or cannot be used."""
        if result is None or not result.card.parent_sha256:
            return None
        same = [card for card in self._context.models() if card.sha256 == result.card.parent_sha256]
        usable = [card for card in same if card.problem is None and modelKey(card) != result.key]
        return next(iter(sorted(usable, key=lambda card: card.id != result.card.parent_id)), None)

    def _switch(self) -> None:
        other = self._other()
        if other is not None:
            self._context.selectModel(modelKey(other))
        self._onSwitched()
