"""Stands in for ``slicer.i18n``: nothing is translated, but what would break a translation is refused."""

from __future__ import annotations


def translate(context: str, text: str) -> str:
    """The text of `context` in the language of the application; here the text itself."""
    if not isinstance(context, str) or not isinstance(text, str):
        raise TypeError("translate() takes a context and a text")
    return text


def tr(text: str) -> str:
    """The text in the language of the application; here the text itself."""
    if not isinstance(text, str):
        raise TypeError(f"a text to translate must be a str, not {type(text).__name__}")
    return text
