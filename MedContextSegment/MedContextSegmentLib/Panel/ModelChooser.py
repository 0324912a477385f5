"""The combo box that lists the models of the library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, selectData
from MedContextSegmentLib.Run.Models import channelTitle, listModels, modelKey, modelToolTip


class ModelChooser:
    """A QComboBox of models; broken ones cannot be chosen and say why in their tooltip.

    Args:
        combo: the combo box.
        onChanged: called when a person chose another model.
        models: gives the cards; the library when None.
    """

    def __init__(
        self,
        combo: Any,
        onChanged: Callable[[], None],
        models: Callable[[], list[CardSummary]] | None = None,
    ) -> None:
        self._combo, self._onChanged = combo, onChanged
        self._models = models or listModels
        self._cards: dict[str, CardSummary] = {}
        combo.connect("currentIndexChanged(int)", self._indexChanged)

    @property
    def card(self) -> CardSummary | None:
        """The chosen model; None where there is none that can be used."""
        return self.find(comboData(self._combo))

    @property
    def key(self) -> str:
        """``id@version`` of the chosen model, ""."""
        return modelKey(self.card) if self.card is not None else ""

    @property
    def title(self) -> str:
        """What a person reads of the chosen model, ""."""
        return self.card.title if self.card is not None else ""

    @property
    def empty(self) -> bool:
        """Whether the library holds no model that can be used."""
        return all(card.problem is not None for card in self._cards.values())

    def find(self, key: str) -> CardSummary | None:
        """The model with that ``id@version``; None where it is not listed or cannot be used."""
        card = self._cards.get(key)
        return card if card is not None and card.problem is None else None

    def refresh(self, wanted: str = "") -> None:
        """List what the library holds now.

        Args:
            wanted: the model to select where it is there and can be used; else the first that can be used.
        """
        self._cards = {modelKey(card): card for card in self._models()}
        titles = modelTitles(list(self._cards.values()))
        items = [(titles[key], key, modelToolTip(card)) for key, card in self._cards.items()]
        usable = [key for key, card in self._cards.items() if card.problem is None]
        fillCombo(self._combo, items, wanted if wanted in usable else next(iter(usable), ""))
        for index, card in enumerate(self._cards.values()):
            if card.problem is not None:
                self._combo.model().item(index).setEnabled(False)
        self._combo.enabled = bool(usable)
        self._showToolTip()

    def select(self, key: str) -> None:
        """Choose a model, without calling back."""
        if key in self._cards and self._cards[key].problem is None:
            selectData(self._combo, key)
            self._showToolTip()

    def _indexChanged(self, _index: int) -> None:
        self._showToolTip()
        self._onChanged()

    def _showToolTip(self) -> None:
        card = self.card
        self._combo.toolTip = modelToolTip(card) if card is not None else _("Model that segments the image.")


def modelTitles(cards: Sequence[CardSummary]) -> dict[str, str]:
    """What a list calls each model, by ``id@version``: its title, with what tells it from others of that title."""
    named = Counter(card.title for card in cards)
    versioned = Counter((card.title, card.version) for card in cards)
    titles = {}
    for card in cards:
        text = "{title}"
        if card.problem is not None:
            text = _("{title} (cannot be used)")
        elif versioned[card.title, card.version] > 1:
            text = _("{title} ({id})")
        elif named[card.title] > 1:
            text = _("{title}, version {version}")
        titles[modelKey(card)] = text.format(title=card.title, version=card.version, id=card.id)
    return titles


def modelSummary(card: CardSummary) -> str:
    """One line below the chooser: input, what it learnt from, licence."""
    channels = ", ".join(channelTitle(card, index) for index in range(len(card.channels)))
    parts = [channels, card.license]
    if card.shots:
        parts.insert(1, _("{count} training cases").format(count=card.shots))
    return " · ".join(part for part in parts if part)
