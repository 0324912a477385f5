"""Which models learnt from a case."""

from __future__ import annotations

from collections.abc import Iterable

from medcontext.cards import CardSummary
from medcontext.case_list import CaseSummary


def modelsByHash(cards: Iterable[CardSummary]) -> dict[str, list[CardSummary]]:
    """The models by the hashes of the images that they learnt from; made once for many cases."""
    found: dict[str, list[CardSummary]] = {}
    for card in cards:
        for value in set(card.case_hashes):
            found.setdefault(value, []).append(card)
    return found


def trainedOn(case: CaseSummary, cards: Iterable[CardSummary] | dict[str, list[CardSummary]]) -> list[str]:
    """Titles of the models that learnt from a case with its label, by file or by voxels, each once.

    Args:
        case: the case.
        cards: the models, or what :func:`modelsByHash` makes of them.
    """
    byHash = cards if isinstance(cards, dict) else modelsByHash(cards)
    models = {
        str(card.folder): card
        for value in (case.content_hash, case.voxels)
        if value
        for card in byHash.get(value, [])
    }
    return [_title(card, models.values()) for card in models.values()]


def _title(card: CardSummary, others: Iterable[CardSummary]) -> str:
    """Its title, with the version where another one has the same."""
    alike = sum(other.title == card.title for other in others)
    return card.title if alike == 1 else f"{card.title} {card.version}"
