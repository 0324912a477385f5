"""SNOMED CT codes of a structure as a line that a person can read and write."""

from __future__ import annotations

import re
from dataclasses import replace

from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.labels import UNCODED, Code, Terminology

STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
SIDES = {
    side.meaning.casefold(): side
    for side in (Code("SCT", "7771000", "Left"), Code("SCT", "24028007", "Right"))
}

_CODE = re.compile(r"(\d{6,18})\s+(\S.*)")


def codeText(terminology: Terminology | None) -> str:
    """A line such as ``64033007 Kidney, Left`` or ``108369006 Neoplasm; 10200004 Liver``: what, side; where."""
    if terminology is None or terminology == UNCODED:
        return ""
    text = _one(terminology.type)
    if terminology.modifier is not None:
        text += f", {terminology.modifier.meaning}"
    return f"{text}; {_one(terminology.region)}" if terminology.region is not None else text


def readCode(text: str, before: Terminology | None = None) -> Terminology | None:
    """The opposite of :func:`codeText`.

    Args:
        text: the line; "" for no code.
        before: codes that the line replaces: their category is kept, and a modifier that is still named so.

    Raises:
        InputError: it is no such line.
    """
    if not text.strip():
        return None
    if text.strip() == codeText(before):
        return before
    what, _semicolon, where = (part.strip() for part in text.partition(";"))
    what, _comma, modifier = (part.strip() for part in what.partition(","))
    known = before if before not in (None, UNCODED) else None
    kept = known.modifier if known is not None else None
    terms = Terminology(known.category if known is not None else STRUCTURE, _read(what))
    if modifier:
        named = {kept.meaning.casefold(): kept} if kept is not None else {}
        side = (SIDES | named).get(modifier.casefold())
        if side is None:
            raise InputError(_("'{text}' is no side.").format(text=modifier), _("Write Left or Right."))
        terms = replace(terms, modifier=side)
    return replace(terms, region=_read(where)) if where else terms


def _one(code: Code) -> str:
    return f"{code.value} {code.meaning}"


def _read(text: str) -> Code:
    found = _CODE.fullmatch(text)
    if found is None:
        raise InputError(
            _("'{text}' is no SNOMED CT code with its meaning.").format(text=text),
            _("Write it like 64033007 Kidney, Left."),
        )
    return Code("SCT", found[1], found[2])
