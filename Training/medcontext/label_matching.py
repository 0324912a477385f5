"""Which structure of one list is which of another: by standard codes, else by name, never by a guess."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from medcontext.labels import UNCODED, Code, Label, Terminology

How = Literal["terminology", "name", "none", "ambiguous"]


@dataclass(frozen=True)
class LabelMatch:
    """What a label is in the other list.

    Attributes:
        source: the label.
        target: the same structure in the other list; None where there is none, or where it is not certain.
        how: "terminology", "name", "none" (nothing like it is there), or "ambiguous": several are possible, or
            another source is possible for the same target, or the name is the same and the codes are not.
        candidates: the targets that are possible, among which a person chooses when it is ambiguous.
    """

    source: Label
    target: Label | None
    how: How
    candidates: tuple[Label, ...] = ()


def match_labels(sources: Sequence[Label], targets: Sequence[Label]) -> list[LabelMatch]:
    """Find each label of one list in another.

    Two labels are the same by terminology when category, type and modifier (the side) have the same scheme and value
    and no two regions contradict; what nobody coded (no codes, or Slicer's *Tissue*) is like nothing. They are the
    same by name when only case, spaces and underscores differ and the codes do not contradict. Codes come first.

    Returns:
        One match for each source, in their order.
    """
    found = [_candidates(source, targets) for source in sources]
    wanted: dict[int, int] = {}
    for _how, places in found:
        for place in places:
            wanted[place] = wanted.get(place, 0) + 1
    matches = []
    for source, (how, places) in zip(sources, found, strict=True):
        candidates = tuple(targets[place] for place in places)
        certain = how != "ambiguous" and len(places) == 1 and wanted[places[0]] == 1
        if certain or not places:
            matches.append(LabelMatch(source, candidates[0] if places else None, how, candidates))
        else:
            matches.append(LabelMatch(source, None, "ambiguous", candidates))
    return matches


def plain_name(name: str) -> str:
    """What two spellings of one name have in common: ``"Left_Kidney "`` and ``"left  kidney"`` give the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def _candidates(source: Label, targets: Sequence[Label]) -> tuple[How, list[int]]:
    """The places of the targets that may be the source, and why."""
    codes, name = _coded(source), plain_name(source.name)
    if codes is not None:
        for same in (_same_codes_and_region, _same_codes):
            coded = [place for place, target in enumerate(targets) if same(codes, _coded(target))]
            if coded:
                return "terminology", coded
    named = [place for place, target in enumerate(targets) if plain_name(target.name) == name]
    contradicted = codes is not None and any(_coded(targets[place]) is not None for place in named)
    return "ambiguous" if contradicted else "name" if named else "none", named


def _coded(label: Label) -> Terminology | None:
    """The codes of a label; None where nobody gave any."""
    terms = label.terminology
    return None if terms is None or _same_codes_and_region(terms, UNCODED) else terms


def _same_codes_and_region(one: Terminology, other: Terminology | None) -> bool:
    return _same_codes(one, other) and other is not None and _plain(one.region) == _plain(other.region)


def _same_codes(one: Terminology, other: Terminology | None) -> bool:
    """Category, type and modifier are the same; a region contradicts only another region."""
    if other is None or (one.region and other.region and _plain(one.region) != _plain(other.region)):
        return False
    pairs = ((one.category, other.category), (one.type, other.type), (one.modifier, other.modifier))
    return all(_plain(a) == _plain(b) for a, b in pairs)


def _plain(code: Code | None) -> tuple[str, str] | None:
    """A code without its meaning, which people write in several ways."""
    return (code.scheme, code.value) if code is not None else None
