"""What a person reads can be translated: errors and the lines of the report go through ``_()``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[4] / "MedContextSegment" / "MedContextSegmentLib"
FOR_PEOPLE = {"InputError", "ResourceError", "CancelledError", "MedContextError", "Finding"}


def bare(source: str) -> list[int]:
    """Lines with words that are handed to a person as they are."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FOR_PEOPLE
        if any(_hasWords(argument) for argument in node.args[:1])
    ]


def _hasWords(argument: ast.expr) -> bool:
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    texts = (part.value for part in parts if isinstance(part, ast.Constant))
    return any(isinstance(text, str) and any(map(str.isalpha, text)) for text in texts)


@pytest.mark.parametrize("path", sorted(LIB.rglob("*.py")), ids=lambda path: path.stem)
def test_sentences_can_be_translated(path: Path) -> None:
    assert bare(path.read_text(encoding="utf-8")) == []


def test_the_check_finds_what_it_is_for() -> None:
    assert bare(
        'raise InputError("No.")\nFinding(f"a {b}", c)\nInputError(_("No."))\nInputError(f"{a}: {b}")'
    ) == [
        1,
        2,
    ]
