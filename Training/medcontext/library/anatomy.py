"""Colours and standard codes of structures by their usual names, for labels of models that say neither."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from medcontext.labels import UNCODED, Code, Label, LabelSet, Terminology, default_color

Side = Literal["left", "right"]
Color = tuple[int, int, int]

SIDES: dict[str, Side] = {
    **dict.fromkeys(("left", "l", "lt"), "left"),
    **dict.fromkeys(("right", "r", "rt"), "right"),
}
"""How sides are written in names of labels: ``kidney_right``, ``Right kidney``, ``Kidney_R``."""

UNSAID = ("of", "the")
RIGHT_SHADE = 0.8
"""The right one of a pair is shown in the colour of the left one, so much darker."""


@dataclass(frozen=True)
class Structure:
    """What the table says of one name.

    Attributes:
        color: sRGB 0..255.
        terminology: SNOMED CT codes; None where no code is certain.
        sided: there is a left one and a right one.
        of_region: it can be in another structure, whose name is then part of its name (``liver tumor``).
    """

    color: Color
    terminology: Terminology | None
    sided: bool = False
    of_region: bool = False

    def on(self, side: Side) -> Structure:
        """The left or the right one of a pair."""
        terms = self.terminology and replace(self.terminology, modifier=_side_codes()[side])
        red, green, blue = self.color
        dark = (round(red * RIGHT_SHADE), round(green * RIGHT_SHADE), round(blue * RIGHT_SHADE))
        return Structure(dark if side == "right" else self.color, terms)


def propose_labels(labels: LabelSet) -> LabelSet:
    """Give labels the colours and codes that they lack, by their names.

    What is there already is kept: names always, a colour that is not the default one of the label's value, and codes
    other than Slicer's *Tissue*. A colour is not given twice, so that no two labels look the same because of this.
    """
    colors = {label.color for label in labels}
    proposed = []
    for label in labels:
        known = find_structure(label.name)
        if known is not None:
            label = _filled(label, known, colors)
            colors.add(label.color)
        proposed.append(label)
    return LabelSet(tuple(proposed))


def find_structure(name: str) -> Structure | None:
    """What the table knows under a name, or None.

    Case, underscores, hyphens and the place of *left* and *right* do not count: ``rib_left_1`` and ``Left rib 1`` are
    the same, and so are the abbreviations that models use (``lkid``, ``IVC``, ``Kidney_R``).
    """
    side, words = _split(name)
    return _plain_structure(side, words) or _in_region(side, words)


def _filled(label: Label, known: Structure, taken: set[Color]) -> Label:
    if label.color == default_color(label.value) and known.color not in taken:
        label = replace(label, color=known.color)
    if label.terminology in (None, UNCODED):
        label = replace(label, terminology=known.terminology)
    return label


def _plain_structure(side: Side | None, words: tuple[str, ...]) -> Structure | None:
    table = _table()
    found = table.get((side, words))
    if found is None and side is not None:
        pair = table.get((None, words))
        found = pair.on(side) if pair is not None and pair.sided else None
    return found


def _in_region(side: Side | None, words: tuple[str, ...]) -> Structure | None:
    """A finding, a tissue or a vessel in another structure: ``kidney cyst left``, ``tumor of the liver``."""
    for cut in range(1, len(words)):
        for what, where in ((words[cut:], words[:cut]), (words[:cut], words[cut:])):
            found, place = _table().get((None, what)), _plain_structure(side, where)
            if found is None or not found.of_region or place is None or place.terminology is None:
                continue
            if found.terminology is None:
                return found
            terms = replace(
                found.terminology, modifier=place.terminology.modifier, region=place.terminology.type
            )
            return Structure(found.color, terms)
    return None


def _split(name: str) -> tuple[Side | None, tuple[str, ...]]:
    """The side that a name speaks of, and its other words; both sides at once are left among the words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = [word for word in re.split(r"[\W_]+", apart.casefold()) if word and word not in UNSAID]
    sides = {SIDES[word] for word in words if word in SIDES}
    if len(sides) != 1:
        return None, tuple(words)
    return sides.pop(), tuple(word for word in words if word not in SIDES)


@cache
def _raw() -> dict[str, Any]:
    text = (files("medcontext") / "resources" / "anatomy.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def _side_codes() -> dict[str, Code]:
    return {side: _code(code) for side, code in _raw()["sides"].items()}


@cache
def _table() -> dict[tuple[Side | None, tuple[str, ...]], Structure]:
    """Structures by side and words of their names."""
    return dict(pair for entry in _raw()["structures"] for pair in _named(entry))


def _named(entry: dict[str, Any]) -> Iterator[tuple[tuple[Side | None, tuple[str, ...]], Structure]]:
    red, green, blue = entry["color"]
    structure = Structure(
        (red, green, blue), _terminology(entry), entry.get("sided", False), entry.get("of_region", False)
    )
    for name in (entry["name"], *entry.get("also", ())):
        yield _split(name), structure
    sides: tuple[Side, Side] = ("left", "right")
    for side in sides:
        for name in entry.get(side, ()):
            yield _split(name), structure.on(side)


def _terminology(entry: dict[str, Any]) -> Terminology | None:
    if "type" not in entry:
        return None
    category = _raw()["categories"][entry.get("category", "structure")]
    modifier, region = (_code(entry[key]) if key in entry else None for key in ("modifier", "region"))
    return Terminology(_code(category), _code(entry["type"]), modifier, region)


def _code(pair: list[str]) -> Code:
    value, meaning = pair
    return Code("SCT", value, meaning)
